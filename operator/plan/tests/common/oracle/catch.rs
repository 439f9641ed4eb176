//! Invariant 11: a failed stage ends as Failed by its deadline, whatever the debugger does.

use super::Faults;
use trackway_crds::{
    contracts::Revision,
    status::{BatchRunStatus, Phase},
};

/// How late an operator may be that is alive and was asked to look again at the deadline, in milliseconds.
const SLACK: i64 = 1_000;

/// The failure is written before anything is done about it and stays what it is; the deadline follows from it.
pub fn inv11_failed_in_time(revision: &Revision, before: &BatchRunStatus, after: &BatchRunStatus, faults: &mut Faults) {
    if before.failure.is_some() && before.failure != after.failure {
        faults.push(("inv11", format!("the failure {:?} became {:?}", before.failure, after.failure)));
    }
    if after.phase == Some(Phase::Diagnosing) {
        let (Some(debugger), Some(failure), Some(catch)) = (&revision.debugger, &after.failure, &after.catch) else {
            faults.push(("inv11", "diagnosing without a failure, a catch or a debugger".into()));
            return;
        };
        let timeout = i64::try_from(debugger.timeout_millis).unwrap();
        let window = catch.deadline_at.0.as_millisecond() - failure.at.0.as_millisecond();
        if window > timeout {
            faults.push(("inv11", format!("the catch ends {window} ms after the failure, allowed are {timeout} ms")));
        }
    }
    if after.diagnosis.is_some() && after.failure.is_none() {
        faults.push(("inv11", "a diagnosis of no failure".into()));
    }
}

/// A run that is still being diagnosed at `now` (in milliseconds), long enough after its deadline that somebody must have looked.
pub fn inv11_overdue(status: &BatchRunStatus, now: i64, faults: &mut Faults) {
    let Some(catch) = status.catch.as_ref().filter(|_| status.phase == Some(Phase::Diagnosing)) else { return };
    let late = now - catch.deadline_at.0.as_millisecond();
    if late > SLACK {
        faults.push(("inv11", format!("still diagnosing {late} ms after the catch's deadline")));
    }
}
