//! What `kubectl get batchruns` prints, recomputed from `status.stages` alone.

use trackway_crds::{
    Score,
    duration::for_people,
    status::{BatchRunStatus, StagePhase, StageStatus, Summary, Verdict},
};

use crate::{attempts, timing::millis_between};

/// The summary of `status` for a track of `total` stages.
#[must_use]
pub fn summarize(status: &BatchRunStatus, total: usize) -> Summary {
    let done = status.stages.iter().filter(|stage| stage.phase == StagePhase::Succeeded).count();
    let fan_out = status.stages.last().filter(|stage| stage.phase == StagePhase::Running);
    let targets = fan_out.and_then(|stage| stage.targets.as_ref());
    let targets = targets.map(|targets| format!(" {}/{}", targets.succeeded + targets.failed, targets.total));
    Summary {
        stage: status.stages.last().map(|stage| stage.name.clone()).unwrap_or_default(),
        progress: format!("{done}/{total}{}", targets.unwrap_or_default()),
        score: failed_best(&status.stages).or_else(|| lowest_accepted(&status.stages)),
        retries: status.stages.iter().map(retries).sum(),
        duration: status
            .started_at
            .as_ref()
            .zip(status.completed_at.as_ref())
            .map(|(from, to)| for_people(millis_between(from.0, to.0))),
    }
}

/// The number of stages that the last summary told of.
pub(crate) fn total(status: &BatchRunStatus) -> Option<usize> {
    status.summary.as_ref()?.progress.split(' ').next()?.split_once('/')?.1.parse().ok()
}

fn failed_best(stages: &[StageStatus]) -> Option<Score> {
    let failed = stages.iter().find(|stage| stage.phase == StagePhase::Failed)?;
    match &failed.targets {
        // The target that decided it comes first.
        Some(targets) => targets.worst.first().filter(|worst| worst.error.is_some())?.score,
        None => attempts::best(failed)?.score,
    }
}

fn lowest_accepted(stages: &[StageStatus]) -> Option<Score> {
    let accepted = |stage: &StageStatus| match &stage.targets {
        Some(targets) => targets.lowest.filter(|_| stage.phase == StagePhase::Succeeded),
        None => stage.attempts.last().filter(|last| last.verdict == Some(Verdict::Advance))?.score,
    };
    stages.iter().filter_map(accepted).min()
}

fn retries(stage: &StageStatus) -> u32 {
    let targets = stage.targets.as_ref().map_or(0, |targets| targets.retries);
    targets + stage.retries()
}
