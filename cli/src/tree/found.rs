//! What the payload store tells of a run beyond its status. All of it is optional: a picture is drawn without it too.

use super::targets::TargetAttempt;
use crate::payloads::{Document, Payloads};
use futures::{StreamExt, stream};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use trackway_crds::{
    BatchRun,
    contracts::{BroadcastCounts, BroadcastOutput, FanOutOutput, NameKind, ResolvedStage, ResolvedWork, Revision, StoredVerdict},
    ledger::Ledger,
    status::{StagePhase, StageStatus},
};

/// Requests to the store that may be under way at a time.
const AT_ONCE: usize = 16;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// Keys of the targets in order, by stage.
    pub keys: BTreeMap<String, Vec<String>>,
    /// Judged attempts of a target, by stage and index.
    pub attempts: BTreeMap<(String, u32), Vec<TargetAttempt>>,
    /// What became of the notices, by broadcast stage.
    pub broadcasts: BTreeMap<String, BroadcastCounts>,
    /// What may be sent, by the stage that decided it.
    pub approvals: BTreeMap<String, Approvals>,
}

/// What an editorial stage decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Approvals {
    /// May be sent.
    pub approved: u32,
    /// May not.
    pub withheld: u32,
    /// Why the first of them may not.
    pub reason: Option<String>,
}

#[derive(Deserialize)]
struct Review {
    items: Vec<ReviewItem>,
}

#[derive(Deserialize)]
struct ReviewItem {
    approve: bool,
    #[serde(default)]
    reason: Option<String>,
}

impl From<Review> for Approvals {
    fn from(review: Review) -> Self {
        let approved = review.items.iter().filter(|item| item.approve).count();
        let withheld = review.items.len() - approved;
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let reason = review.items.into_iter().find(|item| !item.approve).and_then(|item| item.reason);
        Self { approved: count(approved), withheld: count(withheld), reason }
    }
}

/// How much is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// What a picture shows by itself.
    Short,
    /// The keys of all targets too.
    All,
}

/// Whether the store can add anything to the picture of `run`.
pub(crate) fn worth_asking(run: &BatchRun, revision: Option<&Revision>, wanted: Wanted) -> bool {
    let stages = run.status.as_ref().map(|status| status.stages.as_slice()).unwrap_or_default();
    stages.iter().any(|stage| match &stage.targets {
        Some(targets) => wanted == Wanted::All || !targets.worst.is_empty(),
        None => stage.phase == StagePhase::Succeeded && revision.is_some_and(|revision| speaks_of_sending(revision, &stage.name)),
    })
}

fn speaks_of_sending(revision: &Revision, stage: &str) -> bool {
    is_broadcast(revision.stage(stage)) || approves(revision, stage)
}

fn is_broadcast(stage: Option<&ResolvedStage>) -> bool {
    stage.is_some_and(|stage| matches!(stage.work, ResolvedWork::Broadcast { .. }))
}

/// Whether a broadcast sends what `stage` approved.
fn approves(revision: &Revision, stage: &str) -> bool {
    revision
        .stages
        .iter()
        .any(|other| matches!(&other.work, ResolvedWork::Broadcast { approved_by: Some(by), .. } if by == stage))
}

impl Found {
    /// Reads what there is. What cannot be read is left out, and the first reason told.
    pub(crate) async fn gather(
        payloads: &Payloads,
        run: &BatchRun,
        revision: Option<&Revision>,
        wanted: Wanted,
    ) -> (Self, Option<anyhow::Error>) {
        let mut found = Self::default();
        let mut first = None;
        let stages = run.status.as_ref().map(|status| status.stages.as_slice()).unwrap_or_default();
        for stage in stages {
            let outcome = found.add(payloads, run, stage, revision, wanted).await;
            first = first.or(outcome.err());
        }
        (found, first)
    }

    async fn add(
        &mut self,
        payloads: &Payloads,
        run: &BatchRun,
        stage: &StageStatus,
        revision: Option<&Revision>,
        wanted: Wanted,
    ) -> anyhow::Result<()> {
        if let Some(targets) = &stage.targets {
            let shown: Vec<_> = targets.worst.iter().map(|worst| (worst.index, worst.attempt)).collect();
            for (index, attempts) in judged(payloads, &stage.name, &shown).await? {
                self.attempts.insert((stage.name.clone(), index), attempts);
            }
            if wanted == Wanted::All {
                let keys = keys(payloads, run, stage, revision).await?;
                self.keys.extend(keys.map(|keys| (stage.name.clone(), keys)));
            }
        } else if let (Some(output), Some(revision)) = (&stage.output, revision) {
            if is_broadcast(revision.stage(&stage.name)) {
                let output: BroadcastOutput = payloads.blob_as(output).await?;
                self.broadcasts.insert(stage.name.clone(), output.counts);
            } else if approves(revision, &stage.name) {
                let review: Review = payloads.blob_as(output).await?;
                self.approvals.insert(stage.name.clone(), review.into());
            }
        }
        Ok(())
    }

    /// Adds the judged attempts of one target.
    pub(crate) async fn add_target(&mut self, payloads: &Payloads, stage: &StageStatus, index: u32) -> anyhow::Result<()> {
        let ledger = stage.targets.as_ref().and_then(|targets| Ledger::decode(&targets.ledger).ok()).unwrap_or_default();
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        let Some(target) = ledger.0.get(place) else { return Ok(()) };
        for (index, attempts) in judged(payloads, &stage.name, &[(index, target.attempt)]).await? {
            self.attempts.insert((stage.name.clone(), index), attempts);
        }
        Ok(())
    }
}

/// Keys of the targets of `stage`, in order, from its composed output, else from the list it is done over. `None` when neither
/// can be read.
pub(crate) async fn keys(
    payloads: &Payloads,
    run: &BatchRun,
    stage: &StageStatus,
    revision: Option<&Revision>,
) -> anyhow::Result<Option<Vec<String>>> {
    let composed = Document { stage: &stage.name, attempt: 0, index: 0, kind: NameKind::Output };
    if let Some(composed) = payloads.named_as::<FanOutOutput>(composed).await? {
        return Ok(Some(composed.items.into_iter().map(|item| item.key).collect()));
    }
    let for_each = revision.and_then(|revision| revision.stage(&stage.name)?.for_each.as_ref());
    let stages = run.status.as_ref().map(|status| status.stages.as_slice()).unwrap_or_default();
    let source = for_each.and_then(|for_each| stages.iter().find(|stage| stage.name == for_each.stage)?.output.as_ref());
    let (Some(for_each), Some(source)) = (for_each, source) else { return Ok(None) };
    let source: Value = payloads.blob_as(source).await?;
    let Some(list) = source.get(&for_each.field).and_then(Value::as_array) else { return Ok(None) };
    Ok(Some(list.iter().enumerate().map(|(index, entry)| key_of(entry, &for_each.key, index)).collect()))
}

fn key_of(entry: &Value, field: &str, index: usize) -> String {
    match entry.get(field) {
        Some(Value::String(key)) => key.clone(),
        Some(Value::Number(key)) => key.to_string(),
        _ => index.to_string(),
    }
}

/// The verdicts of targets up to the attempt given with each.
async fn judged(payloads: &Payloads, stage: &str, targets: &[(u32, u32)]) -> anyhow::Result<BTreeMap<u32, Vec<TargetAttempt>>> {
    let wanted = targets.iter().flat_map(|(index, last)| (1..=*last).map(move |attempt| (*index, attempt)));
    let reads = wanted.map(|(index, attempt)| async move {
        let document = Document { stage, attempt, index, kind: NameKind::Verdict };
        anyhow::Ok((index, attempt, payloads.named_as::<StoredVerdict>(document).await?))
    });
    let mut read = stream::iter(reads.collect::<Vec<_>>()).buffered(AT_ONCE);
    let mut attempts: BTreeMap<u32, Vec<TargetAttempt>> = BTreeMap::new();
    while let Some(outcome) = read.next().await {
        let (index, attempt, verdict) = outcome?;
        attempts.entry(index).or_default().extend(verdict.map(|verdict| of_verdict(attempt, verdict)));
    }
    Ok(attempts)
}

fn of_verdict(attempt: u32, verdict: StoredVerdict) -> TargetAttempt {
    TargetAttempt {
        attempt,
        score: verdict.score,
        dimensions: verdict.dimensions.into_iter().map(|one| (one.name, one.score)).collect(),
        feedback: verdict.feedback,
    }
}
