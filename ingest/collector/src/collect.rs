//! What is done with one delivery of a sealed batch. Safe to repeat at any point.

use futures::future::join_all;
use std::{sync::Arc, time::Duration};
use trackway_crds::{Track, contracts::BatchReady};
use trackway_kubernetes::ApiError;
use trackway_nats::NatsError;

use crate::{
    config::Binding,
    ledger::{Ledger, LedgerError, Match, Record},
    message,
    route::route,
    run::{Identity, build},
    runs::{RunCreation, Runs},
};

pub use crate::message::Subject;

/// Runs of one batch that are created at the same time.
const CREATES_AT_ONCE: usize = 8;
/// Compare-and-set rounds; only another collector with the same batch makes a second one necessary.
const MARK_ROUNDS: usize = 5;
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What becomes of the delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every run of the match set exists or existed: acknowledge.
    Done {
        /// `namespace/track` of the runs made by this delivery.
        created: Vec<(String, String)>,
        /// The match set is empty.
        unmatched: bool,
    },
    /// Nobody can ever route it: dead-letter with this reason.
    Poison(String),
    /// Not now: deliver again after this long.
    Later {
        /// How long.
        delay: Duration,
        /// Why.
        reason: String,
    },
}

/// Routes batches: match sets in `ledger`, runs in `runs`.
#[derive(Debug)]
pub struct Collector<L, R> {
    ledger: L,
    runs: R,
    bindings: Vec<Binding>,
}

/// What became of one run.
enum Settled {
    Created(Match),
    There(Match),
    Foreign(String),
    Failed(ApiError),
}

impl<L: Ledger, R: Runs> Collector<L, R> {
    /// A collector that offers batches to the Tracks of `bindings`.
    pub fn new(ledger: L, runs: R, bindings: Vec<Binding>) -> Self {
        Self { ledger, runs, bindings }
    }

    /// Handles the `delivered`-th delivery of a message. `tracks` are all Tracks of the bound namespaces and must come from a
    /// cache that is complete; they are looked at only when the batch has no match set yet.
    ///
    /// # Errors
    /// What NATS refuses for good: a person must change its settings.
    pub async fn collect(
        &self,
        subject: Subject<'_>,
        payload: &[u8],
        delivered: i64,
        tracks: &[Arc<Track>],
    ) -> Result<Outcome, NatsError> {
        let ready = match message::parse(subject, payload) {
            Ok(ready) => ready,
            Err(poison) => return Ok(Outcome::Poison(poison.to_string())),
        };
        match self.settle(&ready, delivered, tracks).await {
            Ok(outcome) => Ok(outcome),
            Err(LedgerError::Nats(error @ NatsError::Permanent { .. })) => Err(error),
            Err(LedgerError::Nats(error)) => Ok(Outcome::Later { delay: pause(delivered, None), reason: error.to_string() }),
            Err(error @ LedgerError::Unreadable { .. }) => Ok(Outcome::Poison(error.to_string())),
        }
    }

    async fn settle(&self, ready: &BatchReady, delivered: i64, tracks: &[Arc<Track>]) -> Result<Outcome, LedgerError> {
        let id = &ready.batch.id;
        let (record, revision) = self.record(ready, tracks).await?;
        if record.input != ready.input {
            let known = &record.input.sha256;
            return Ok(Outcome::Poison(format!("batch {id} was routed already with another document, sha256 {known}")));
        }
        let open: Vec<Match> = record.matches.iter().filter(|entry| !entry.created).cloned().collect();
        let mut settled = Vec::with_capacity(open.len());
        for some in open.chunks(CREATES_AT_ONCE) {
            settled.extend(join_all(some.iter().map(|entry| self.create(ready, entry.clone()))).await);
        }
        let unmatched = record.matches.is_empty();
        if settled.iter().any(|one| matches!(one, Settled::Created(_) | Settled::There(_))) {
            self.mark(id, record, revision, &settled).await?;
        }
        Ok(conclude(settled, unmatched, delivered))
    }

    /// The batch's match set, recorded now unless it was before.
    async fn record(&self, ready: &BatchReady, tracks: &[Arc<Track>]) -> Result<(Record, u64), LedgerError> {
        let id = &ready.batch.id;
        if let Some(found) = self.ledger.get(id).await? {
            return Ok(found);
        }
        let record = Record::new(ready, route(&ready.batch, &self.bindings, tracks));
        if let Some(revision) = self.ledger.create(id, &record).await? {
            return Ok((record, revision));
        }
        let first = self.ledger.get(id).await?;
        first.ok_or_else(|| transient(id, "its match set was recorded by another collector and cannot be read yet"))
    }

    async fn create(&self, ready: &BatchReady, entry: Match) -> Settled {
        let run = build(ready, &entry);
        match self.runs.create(&run).await {
            Ok(RunCreation::Created) => Settled::Created(entry),
            Ok(RunCreation::Exists(identity)) if identity == Identity::of(&run) => Settled::There(entry),
            Ok(RunCreation::Exists(other)) => {
                let Match { namespace, run, .. } = &entry;
                let Identity { batch, input, track } = other;
                let whose = format!("track {track}, batch {batch}, input sha256 {}", input.sha256);
                Settled::Foreign(format!("BatchRun {namespace}/{run} exists and is not of this batch but of {whose}"))
            }
            Err(error) => Settled::Failed(error),
        }
    }

    /// Marks what exists as created, before the batch is acknowledged.
    async fn mark(&self, id: &str, record: Record, revision: u64, settled: &[Settled]) -> Result<(), LedgerError> {
        let (mut record, mut revision) = (record, revision);
        for _ in 0..MARK_ROUNDS {
            for one in settled {
                let (Settled::Created(done) | Settled::There(done)) = one else { continue };
                let same = |entry: &&mut Match| entry.namespace == done.namespace && entry.run == done.run;
                if let Some(entry) = record.matches.iter_mut().find(same) {
                    entry.created = true;
                }
            }
            if self.ledger.update(id, &record, revision).await?.is_some() {
                return Ok(());
            }
            let Some((newer, at)) = self.ledger.get(id).await? else { break };
            (record, revision) = (newer.joined(&record), at);
        }
        Err(transient(id, "its match set is being written by other collectors"))
    }
}

fn conclude(settled: Vec<Settled>, unmatched: bool, delivered: i64) -> Outcome {
    let mut created = Vec::new();
    let mut dead = Vec::new();
    let mut failed: Option<ApiError> = None;
    for one in settled {
        match one {
            Settled::Created(entry) => created.push((entry.namespace, entry.track)),
            Settled::There(_) => {}
            Settled::Foreign(reason) => dead.push(reason),
            Settled::Failed(error) if is_refused(&error) => dead.push(error.to_string()),
            Settled::Failed(error) => failed = Some(error),
        }
    }
    // What may still succeed comes first: a dead letter is the end of the batch.
    if let Some(error) = failed {
        return Outcome::Later { delay: pause(delivered, Some(&error)), reason: error.to_string() };
    }
    if dead.is_empty() { Outcome::Done { created, unmatched } } else { Outcome::Poison(dead.join("; ")) }
}

/// The object itself is refused, so the next delivery would be as well. A missing right or namespace can be mended meanwhile.
fn is_refused(error: &ApiError) -> bool {
    matches!(error, ApiError::Permanent { code: Some(400 | 413 | 422), .. })
}

/// 1 s, 2 s, 4 s … 60 s, or what the server asked for if that is longer.
fn pause(delivered: i64, error: Option<&ApiError>) -> Duration {
    let doublings = u32::try_from(delivered.clamp(1, 7) - 1).unwrap_or_default();
    let grown = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    let asked = match error {
        Some(ApiError::Transient { retry_after: Some(wait), .. }) => *wait,
        _ => Duration::ZERO,
    };
    grown.max(asked)
}

fn transient(id: &str, reason: &str) -> LedgerError {
    LedgerError::Nats(NatsError::Transient { action: format!("route batch {id}"), reason: reason.to_owned() })
}

#[cfg(test)]
#[path = "collect_tests.rs"]
mod tests;
