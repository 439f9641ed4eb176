//! Where time went.

use super::Faults;
use trackway_crds::status::{BatchRunStatus, Phase, StageStatus};

/// What stages account for is the time from the run's creation (where a wait was written down) or start to its end.
pub fn timings_add_up(status: &BatchRunStatus, faults: &mut Faults) {
    let (Some(started), Some(completed), Some(Phase::Succeeded)) = (&status.started_at, &status.completed_at, status.phase)
    else {
        return;
    };
    let parts = |stage: &StageStatus| {
        let ms = &stage.millis;
        ms.queued + ms.pod_start + ms.generate + ms.judge + ms.operator + ms.paused + ms.waiting
    };
    let told: u64 = status.stages.iter().map(parts).sum();
    let birth = crate::common::track::birth().as_millisecond();
    let since = |from: i64| u64::try_from(completed.0.as_millisecond() - from).unwrap();
    if told != since(started.0.as_millisecond()) && told != since(birth) {
        let (run, life) = (since(started.0.as_millisecond()), since(birth));
        faults.push(("timings", format!("stages account for {told} ms of {run} ms since the start, {life} ms since creation")));
    }
}
