//! The columns of `kubectl get`, worked out a second way.

use super::Faults;
use trackway_crds::status::{BatchRunStatus, StagePhase, StageStatus, Verdict};

pub fn summary_is_what_stages_say(status: &BatchRunStatus, total: usize, faults: &mut Faults) {
    let Some(summary) = &status.summary else {
        if !status.stages.is_empty() {
            faults.push(("summary", "no summary although stages have begun".into()));
        }
        return;
    };
    let done = status.stages.iter().filter(|stage| stage.phase == StagePhase::Succeeded);
    let lowest = |stage: &StageStatus| match &stage.targets {
        Some(targets) => targets.lowest,
        None => stage.attempts.last()?.score,
    };
    let accepted = done.clone().filter_map(lowest).min();
    let failed = status.stages.iter().find(|stage| stage.phase == StagePhase::Failed);
    let best = failed.and_then(|stage| match &stage.targets {
        // The target that decided it.
        Some(targets) => targets.worst.first().filter(|worst| worst.error.is_some())?.score,
        None => stage.attempts.iter().filter_map(|attempt| attempt.score).max(),
    });
    let retries = |stage: &StageStatus| match &stage.targets {
        Some(targets) => targets.retries,
        None => match stage.attempts.last().and_then(|last| last.verdict) {
            // The last verdict either accepted or led to nothing; all others before it were too low.
            Some(Verdict::Advance | Verdict::Retry) => stage.used.quality.saturating_sub(1),
            Some(Verdict::Ask) | None => stage.used.quality,
        },
    };
    let retries: u32 = status.stages.iter().map(retries).sum();
    let done = done.count();
    let mut progress = format!("{done}/{total}");
    let open = status.stages.iter().find(|stage| stage.phase == StagePhase::Running);
    if let Some(targets) = open.and_then(|stage| stage.targets.as_ref()) {
        progress = format!("{progress} {}/{}", targets.succeeded + targets.failed, targets.total);
    }
    let ended = status.completed_at.is_some() && status.started_at.is_some();
    let told = (summary.progress.clone(), summary.score, summary.retries, summary.duration.is_some());
    let right = (progress, best.or(accepted), retries, ended);
    if told != right || summary.stage != status.stages.last().map_or("", |stage| &stage.name) {
        faults.push(("summary", format!("summary says {told:?}, stages say {right:?}")));
    }
}
