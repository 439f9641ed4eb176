//! Where a fan-out's time went. Targets overlap, so the parts are slices of the stage's own time: each ended wave accounts for the
//! time since the one before, by what its last result says; they add up to the stage's wall time.

use super::LastResult;
use crate::{plan::Draft, timing::millis_between};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use trackway_crds::status::{Phase, StageMillis};

/// Accounts for the time up to now of stage `index`: of work, if waves are live, else of waiting.
pub(crate) fn account(draft: &mut Draft<'_>, index: usize, last: Option<&LastResult>) {
    let now = draft.now;
    let paused = draft.before.phase == Some(Phase::Suspended);
    let Some(stage) = draft.status.stages.get_mut(index) else { return };
    let Some(targets) = stage.targets.as_mut() else { return };
    let slice = millis_between(targets.accounted_until.0, now);
    targets.accounted_until = MicroTime(now);
    match (targets.waves.is_empty(), paused) {
        (true, true) => stage.millis.paused += slice,
        (true, false) => stage.millis.queued += slice,
        (false, _) => share_out(&mut stage.millis, slice, last.map(|last| (last, millis_between(last.arrived_at, now)))),
    }
}

/// Fills `slice` from its end: what the operator took since the last result arrived, the judge, the model; the rest is the start.
fn share_out(stage: &mut StageMillis, slice: u64, last: Option<(&LastResult, u64)>) {
    let mut rest = slice;
    let mut take = |part: u64| {
        let part = part.min(rest);
        rest -= part;
        part
    };
    if let Some((last, operator)) = last {
        stage.operator += take(operator);
        stage.judge += take(last.millis.judge);
        stage.generate += take(last.millis.generate);
    }
    stage.pod_start += rest;
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use trackway_crds::contracts::ResultMillis;

    #[test]
    fn the_parts_of_a_slice_are_the_slice() {
        let last = LastResult { millis: ResultMillis { generate: 5_000, judge: 1_000 }, arrived_at: Timestamp::UNIX_EPOCH };
        for (slice, parts) in [(9_000, [10, 1_000, 5_000, 2_990]), (3_000, [10, 1_000, 1_990, 0]), (5, [5, 0, 0, 0])] {
            let mut stage = StageMillis::default();
            share_out(&mut stage, slice, Some((&last, 10)));
            assert_eq!([stage.operator, stage.judge, stage.generate, stage.pod_start], parts);
            assert_eq!(parts.iter().sum::<u64>(), slice);
        }
    }
}
