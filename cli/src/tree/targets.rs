//! The targets of a fan-out, from the ledger and what the status and the payload store say beyond it.

use super::found::Found;
use serde::Serialize;
use std::collections::BTreeMap;
use trackway_crds::{
    Score,
    contracts::{ErrorClass, ResolvedStage},
    ledger::{Ledger, Target, TargetState},
    status::{StageStatus, TargetError, TargetsStatus, WaveStatus},
};

/// A fan-out.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetsPicture {
    /// All.
    pub total: u32,
    /// Waiting for a pod.
    pub due: u32,
    /// With a pod.
    pub running: u32,
    /// Accepted.
    pub succeeded: u32,
    /// Failed for good.
    pub failed: u32,
    /// How many may fail for good; `None` when the revision is out of reach.
    pub tolerated: Option<u32>,
    /// Attempts beyond the first, of all targets.
    pub retries: u32,
    /// Lowest score with which a target was accepted.
    pub lowest: Option<Score>,
    /// Jobs made so far.
    pub waves: u32,
    /// Pods in work.
    pub pods: u32,
    /// Indexes of those that failed or came off badly, worst first.
    pub worst: Vec<u32>,
    /// Every target, in the order of the list.
    pub targets: Vec<TargetPicture>,
}

/// A target.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetPicture {
    /// Its place in the list, from 0.
    pub index: u32,
    /// Its key, where that is known.
    pub key: Option<String>,
    /// Where it stands.
    pub phase: TargetPhase,
    /// The attempt in work, or the last one.
    pub attempt: u32,
    /// The try in work, or the last one: one more than its failures.
    #[serde(rename = "try")]
    pub try_: u32,
    /// The score it was accepted with, or its best; in hundredths where only the ledger tells it.
    pub score: Option<Score>,
    /// Whose failure it was, when it failed.
    pub class: Option<ErrorClass>,
    /// Why it failed, where the status has room for it.
    pub error: Option<TargetError>,
    /// What the judge said of each attempt, where the payload store was asked.
    pub attempts: Vec<TargetAttempt>,
}

/// Where a target stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum TargetPhase {
    /// To be given to a pod, for the first time or again.
    Due,
    /// With a pod.
    Running,
    /// Accepted.
    Succeeded,
    /// Failed for good.
    Failed,
}

/// A judged attempt of a target.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TargetAttempt {
    /// From 1.
    pub attempt: u32,
    /// Weighted mean.
    pub score: Score,
    /// Each dimension.
    pub dimensions: BTreeMap<String, Score>,
    /// The judge's words.
    pub feedback: String,
}

impl TargetsPicture {
    pub(super) fn of(stage: &StageStatus, resolved: Option<&ResolvedStage>, found: Option<&Found>) -> Option<Self> {
        let status = stage.targets.as_ref()?;
        let for_each = resolved.and_then(|stage| stage.for_each.as_ref());
        Some(Self {
            total: status.total,
            due: status.total.saturating_sub(status.running + status.succeeded + status.failed),
            running: status.running,
            succeeded: status.succeeded,
            failed: status.failed,
            tolerated: for_each.map(|for_each| for_each.tolerated_failures.of(status.total)),
            retries: status.retries,
            lowest: status.lowest,
            waves: status.cut,
            pods: status.waves.iter().map(pods).sum(),
            worst: status.worst.iter().map(|worst| worst.index).collect(),
            targets: targets(&stage.name, status, found),
        })
    }

    /// The target at `index`.
    #[must_use]
    pub fn target(&self, index: u32) -> Option<&TargetPicture> {
        self.targets.iter().find(|target| target.index == index)
    }

    /// The target that is meant by a key or, where no key is so, by an index.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&TargetPicture> {
        let by_key = self.targets.iter().find(|target| target.key.as_deref() == Some(name));
        by_key.or_else(|| self.target(name.parse().ok()?))
    }
}

impl TargetPicture {
    /// Its key, or its index as `#3`.
    #[must_use]
    pub fn name(&self) -> String {
        self.key.clone().unwrap_or_else(|| format!("#{}", self.index))
    }

    /// What the command line takes for it: its key, or its index.
    #[must_use]
    pub fn argument(&self) -> String {
        let plain = |key: &&String| key.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:@".contains(c));
        self.key.as_ref().filter(plain).cloned().unwrap_or_else(|| self.index.to_string())
    }
}

fn targets(stage: &str, status: &TargetsStatus, found: Option<&Found>) -> Vec<TargetPicture> {
    // A ledger of a later version shows nothing; the counters beside it still do.
    let ledger = Ledger::decode(&status.ledger).unwrap_or_default();
    let keys = found.and_then(|found| found.keys.get(stage));
    let mut pictures: Vec<_> = (0..).zip(&ledger.0).map(|(index, target)| of_ledger(index, *target)).collect();
    for worst in &status.worst {
        if let Some(picture) = pictures.iter_mut().find(|picture| picture.index == worst.index) {
            picture.key = Some(worst.key.clone());
            picture.attempt = worst.attempt;
            picture.score = worst.score.or(picture.score);
            picture.error.clone_from(&worst.error);
        }
    }
    for picture in &mut pictures {
        let place = usize::try_from(picture.index).unwrap_or(usize::MAX);
        if let Some(key) = keys.and_then(|keys| keys.get(place)) {
            picture.key = Some(key.clone());
        }
        if let Some(attempts) = found.and_then(|found| found.attempts.get(&(stage.to_owned(), picture.index))) {
            picture.attempts.clone_from(attempts);
        }
    }
    pictures
}

fn of_ledger(index: u32, target: Target) -> TargetPicture {
    let (phase, class) = match target.state {
        TargetState::Due => (TargetPhase::Due, None),
        TargetState::Running => (TargetPhase::Running, None),
        TargetState::Succeeded => (TargetPhase::Succeeded, None),
        TargetState::FailedQuality => (TargetPhase::Failed, Some(ErrorClass::Quality)),
        TargetState::FailedModel => (TargetPhase::Failed, Some(ErrorClass::Model)),
        TargetState::FailedJudge => (TargetPhase::Failed, Some(ErrorClass::Judge)),
        TargetState::FailedInfrastructure => (TargetPhase::Failed, Some(ErrorClass::Infrastructure)),
        TargetState::FailedPermanent => (TargetPhase::Failed, Some(ErrorClass::Permanent)),
    };
    TargetPicture {
        index,
        key: None,
        phase,
        attempt: target.attempt,
        try_: target.try_(),
        score: target.best_score(),
        class,
        error: None,
        attempts: Vec::new(),
    }
}

/// Pods of a wave in work.
fn pods(wave: &WaveStatus) -> u32 {
    indexes(&wave.targets).div_ceil(wave.targets_per_pod.max(1))
}

/// How many indexes `0-9,17,23` names.
fn indexes(ranges: &str) -> u32 {
    let count = |range: &str| match range.split_once('-') {
        Some((first, last)) => Some((last.parse::<u32>().ok()? + 1).saturating_sub(first.parse().ok()?)),
        None => range.parse::<u32>().ok().map(|_| 1),
    };
    ranges.split(',').filter_map(count).sum()
}

#[cfg(test)]
mod tests {
    use super::indexes;

    #[test]
    fn ranges_are_counted() {
        assert_eq!((indexes("0-9,17,23"), indexes("4"), indexes("")), (12, 1, 0));
    }
}
