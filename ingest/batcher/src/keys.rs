//! States of keys: read, changed by a pure function, written if nobody else has written meanwhile.

use std::collections::VecDeque;

use bytes::Bytes;
use jiff::Timestamp;
use trackway_batching::{Applied, Arrival, BatchingPolicy, KeyState, OUTBOX_MAX, apply, next_tick};
use trackway_crds::contracts::CONTRACT;
use trackway_nats::{KvEntry, NatsError, with_retry};

use crate::metrics::{Metrics, SealedLabels};
use crate::outside::Outside;

/// One key in memory: what the bucket holds, as far as we know, and what waits to be taken.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) key: String,
    pub(crate) state: KeyState,
    /// 0: the bucket has no value.
    revision: u64,
    /// Events that a full outbox keeps from being taken, oldest first.
    pub(crate) waiting: VecDeque<Arrival>,
    /// When the open batch is due, as things are.
    pub(crate) due: Option<Timestamp>,
}

impl Held {
    /// What `entry` holds.
    pub(crate) fn parse(key: String, entry: &KvEntry) -> Result<Self, NatsError> {
        let state = parse(&key, entry)?;
        Ok(Self { key, state, revision: entry.revision, waiting: VecDeque::new(), due: None })
    }

    /// Reads the key; one without a value begins.
    pub(crate) async fn load(outside: &impl Outside, key: String, tenant: &str, user: Option<&str>) -> Result<Self, NatsError> {
        match with_retry(None, "read a batch's state", || outside.load(&key)).await? {
            Some(entry) => Self::parse(key, &entry),
            None => Ok(Self { key, state: KeyState::new(tenant, user), revision: 0, waiting: VecDeque::new(), due: None }),
        }
    }

    /// Whether there is anything to remember that the next reader of the bucket would have to act on.
    pub(crate) fn is_active(&self) -> bool {
        self.state.open.is_some() || !self.state.outbox.is_empty() || !self.waiting.is_empty()
    }

    /// Whether time alone may change it.
    pub(crate) fn ticks_at(&self, now: Timestamp) -> bool {
        let room = self.state.outbox.len() < OUTBOX_MAX;
        room && self.waiting.is_empty() && self.due.is_some_and(|due| due <= now)
    }

    /// Takes what waits, as far as the outbox has room. Returns how many were new.
    pub(crate) async fn take(
        &mut self,
        outside: &impl Outside,
        metrics: &Metrics,
        policy: &BatchingPolicy,
    ) -> Result<u64, NatsError> {
        let waiting = std::mem::take(&mut self.waiting);
        let taken = |state: &mut KeyState| {
            let (mut done, mut new) = (0, 0);
            for arrival in &waiting {
                match apply(state, policy, arrival) {
                    Applied::Full => break,
                    Applied::Skipped => done += 1,
                    Applied::Taken(_) => (done, new) = (done + 1, new + 1),
                }
            }
            (done, new)
        };
        let (done, new) = self.change(outside, metrics, taken).await?;
        self.waiting = waiting.into_iter().skip(done).collect();
        self.due = next_tick(&self.state, policy);
        metrics.events.inc_by(new);
        Ok(new)
    }

    /// Changes the state and writes it; when somebody else has written meanwhile, changes what they wrote.
    pub(crate) async fn change<T>(
        &mut self,
        outside: &impl Outside,
        metrics: &Metrics,
        change: impl Fn(&mut KeyState) -> T,
    ) -> Result<T, NatsError> {
        loop {
            let mut state = self.state.clone();
            let outcome = change(&mut state);
            if state == self.state {
                return Ok(outcome);
            }
            let value = write(&self.key, &state)?;
            let saved =
                with_retry(None, "write a batch's state", || outside.save(&self.key, value.clone(), self.revision)).await?;
            if let Some(revision) = saved {
                count_sealed(metrics, &self.state, &state);
                (self.state, self.revision) = (state, revision);
                return Ok(outcome);
            }
            // Also when our own write of before went through and its acknowledgement was lost.
            metrics.conflicts.inc();
            self.read_again(outside).await?;
        }
    }

    async fn read_again(&mut self, outside: &impl Outside) -> Result<(), NatsError> {
        match with_retry(None, "read a batch's state", || outside.load(&self.key)).await? {
            Some(entry) => (self.state, self.revision) = (parse(&self.key, &entry)?, entry.revision),
            // Removed by hand: it begins anew.
            None => (self.state, self.revision) = (KeyState::new(&self.state.tenant, self.state.user.as_deref()), 0),
        }
        Ok(())
    }
}

fn parse(key: &str, entry: &KvEntry) -> Result<KeyState, NatsError> {
    let unusable = |reason: String| NatsError::Permanent {
        action: format!("use the state of key {key}"),
        reason: format!("{reason}; look at it in the bucket batches, or run the release that wrote it"),
    };
    let state: KeyState = serde_json::from_slice(&entry.value).map_err(|error| unusable(error.to_string()))?;
    if state.contract != CONTRACT {
        return Err(unusable(format!("it has contract {}, known is {CONTRACT}", state.contract)));
    }
    Ok(state)
}

fn write(key: &str, state: &KeyState) -> Result<Bytes, NatsError> {
    let text = serde_json::to_vec(state);
    let text = text.map_err(|error| NatsError::Permanent { action: format!("write {key}"), reason: error.to_string() })?;
    Ok(text.into())
}

fn count_sealed(metrics: &Metrics, before: &KeyState, after: &KeyState) {
    for batch in after.outbox.iter().filter(|batch| !before.outbox.contains(batch)) {
        let reason = batch.reason.split(' ').next().unwrap_or_default().to_owned();
        let labels = SealedLabels { level: after.level().as_str(), priority: batch.priority.as_str(), reason };
        metrics.sealed.get_or_create(&labels).inc();
    }
}
