//! Where time went. Each duration is measured on one clock: generate and judge by the worker, everything else by the operator;
//! podStart is the rest and never below zero, whatever the clocks say.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use trackway_crds::{
    contracts::ResultMillis,
    status::{BatchRunStatus, StageMillis},
};

/// Milliseconds from `from` to `to`, 0 when `to` is earlier.
pub(crate) fn millis_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_millisecond().saturating_sub(from.as_millisecond())).unwrap_or(0)
}

/// `at` plus `millis`.
pub(crate) fn later(at: Timestamp, millis: u64) -> Timestamp {
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    at.checked_add(jiff::SignedDuration::from_millis(millis)).unwrap_or(Timestamp::MAX)
}

/// Adds one ended try to its stage's account.
pub(crate) fn account(stage: &mut StageMillis, total: u64, worker: &ResultMillis, operator: u64) {
    stage.generate = stage.generate.saturating_add(worker.generate);
    stage.judge = stage.judge.saturating_add(worker.judge);
    stage.operator += operator;
    stage.pod_start += total.saturating_sub(worker.generate).saturating_sub(worker.judge).saturating_sub(operator);
}

/// Starts the clock of the active deadline, if it stands still.
pub(crate) fn resume_clock(status: &mut BatchRunStatus, active_deadline_millis: u64, now: Timestamp) {
    if status.deadline_at.is_none() {
        let left = active_deadline_millis.saturating_sub(status.active_millis);
        status.deadline_at = Some(MicroTime(later(now, left)));
    }
}

/// Stops the clock of the active deadline and keeps what it showed.
pub(crate) fn pause_clock(status: &mut BatchRunStatus, active_deadline_millis: u64, now: Timestamp) {
    if let Some(deadline) = status.deadline_at.take() {
        status.active_millis = active_deadline_millis.saturating_sub(millis_between(now, deadline.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_000_000 + millis).unwrap()
    }

    #[test]
    fn pod_start_is_the_rest_and_never_below_zero() {
        let mut stage = StageMillis::default();
        account(&mut stage, 1_000, &ResultMillis { generate: 500, judge: 200 }, 10);
        assert_eq!(stage.pod_start, 290);
        // A worker whose clock runs fast.
        account(&mut stage, 100, &ResultMillis { generate: 500, judge: 0 }, 1);
        assert_eq!((stage.pod_start, stage.generate), (290, 1_000));
    }

    #[test]
    fn the_active_clock_stands_still_while_paused() {
        let mut status = BatchRunStatus::default();
        resume_clock(&mut status, 10_000, at(0));
        pause_clock(&mut status, 10_000, at(3_000));
        assert_eq!(status.active_millis, 3_000);
        resume_clock(&mut status, 10_000, at(60_000));
        assert_eq!(status.deadline_at, Some(MicroTime(at(67_000))));
    }
}
