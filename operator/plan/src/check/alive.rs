//! Invariants 7 and 11: something runs, or something is waited for, or a deadline ends it.

use super::{Fault, Faults};
use crate::plan::{After, Plan};
use jiff::Timestamp;
use std::collections::BTreeSet;
use trackway_crds::status::{BatchRunStatus, Phase, StagePhase, StageStatus};

/// Invariant 7 of `plan`, which leads to `after`.
#[must_use]
pub fn inv07_never_running_with_nothing(after: &BatchRunStatus, plan: &Plan) -> Vec<Fault> {
    let mut faults = Faults::default();
    let finished = after.phase.is_some_and(Phase::is_finished);
    faults.unless(7, finished == after.completed_at.is_some(), || {
        "finished without a time, or a time without being finished".into()
    });
    if finished {
        return faults.0;
    }
    open_jobs_are_kept(&mut faults, after, plan);
    faults.unless(7, plan.requeue.is_some(), || "an unfinished run is not looked at again".into());
    let running = after.stages.iter().find(|stage| stage.phase == StagePhase::Running);
    let open = running.is_some_and(|stage| stage.not_before.is_some() || !open_jobs_of(stage).is_empty());
    let waits = matches!(after.phase, Some(Phase::Pending | Phase::WaitingForContext | Phase::Suspended | Phase::Diagnosing));
    if after.phase == Some(Phase::WaitingForContext) {
        waits_rightly(&mut faults, after, running);
    }
    faults.unless(7, open || waits || plan.create.is_some(), || "running with nothing running".into());
    let pauses = running.is_some_and(|stage| stage.not_before.is_some());
    let on_a_clock = after.deadline_at.is_some() || waits || plan.create.is_some() || pauses;
    faults.unless(7, on_a_clock, || "running without a deadline".into());
    faults.0
}

/// Invariant 11 at a moment: a run that is Diagnosing is looked at again by its deadline, and is not Diagnosing after it.
#[must_use]
pub fn inv11_diagnosing_ends(after: &BatchRunStatus, plan: &Plan, now: Timestamp) -> Vec<Fault> {
    let mut faults = Faults::default();
    let Some(catch) = after.catch.as_ref().filter(|_| after.phase == Some(Phase::Diagnosing)) else { return faults.0 };
    faults
        .unless(11, now < catch.deadline_at.0 || plan.create.is_some(), || "still Diagnosing after the catch's deadline".into());
    let left = catch.deadline_at.0.duration_since(now).as_millis();
    let again = plan.requeue.map_or(i128::MAX, |requeue| i128::try_from(requeue.as_millis()).unwrap_or(i128::MAX));
    faults.unless(11, again <= left.max(1), || format!("looked at again in {again} ms, the catch's deadline is in {left} ms"));
    faults.0
}

/// Invariant 11 as far as it can be seen without a clock.
pub(super) fn inv11_diagnosing_has_a_deadline(before: &BatchRunStatus, after: &BatchRunStatus, plan: &Plan) -> Vec<Fault> {
    let mut faults = Faults::default();
    if after.phase == Some(Phase::Diagnosing) {
        faults
            .unless(11, after.catch.is_some() && after.failure.is_some(), || "Diagnosing without a deadline or a failure".into());
        faults.unless(11, plan.requeue.is_some(), || "a run that is Diagnosing is not looked at again".into());
    }
    if let Some(old) = &before.catch {
        let same =
            after.catch.as_ref().is_some_and(|new| (&old.deadline_at, &old.started_at) == (&new.deadline_at, &new.started_at));
        faults.unless(11, same, || "the catch's deadline was moved".into());
        faults.unless(11, before.failure == after.failure, || "the failure was written twice".into());
        let ends = matches!(after.phase, Some(Phase::Diagnosing | Phase::Failed));
        faults.unless(11, ends, || format!("a failed stage led to {:?}", after.phase));
    }
    faults.0
}

/// A run that waits for answers names what it waits for and until when, holds no Job, and its active clock stands still.
fn waits_rightly(faults: &mut Faults, after: &BatchRunStatus, running: Option<&StageStatus>) {
    let names = running.is_some_and(|stage| stage.waits_for().is_some());
    faults.unless(7, names, || "waits for answers to nothing".into());
    faults.unless(7, running.is_none_or(|stage| open_jobs_of(stage).is_empty()), || "waits for answers with a Job".into());
    faults.unless(7, after.deadline_at.is_none(), || "waits for answers while its active clock runs".into());
}

fn open_jobs_of(stage: &StageStatus) -> BTreeSet<&str> {
    let attempt = stage.attempts.last().filter(|last| last.verdict.is_none()).and_then(|last| last.job_uid.as_deref());
    let waves = stage.targets.iter().flat_map(|targets| &targets.waves).map(|wave| wave.job_uid.as_str());
    attempt.into_iter().chain(waves).collect()
}

fn open_jobs_are_kept(faults: &mut Faults, after: &BatchRunStatus, plan: &Plan) {
    let running = after.stages.iter().filter(|stage| stage.phase == StagePhase::Running);
    let debugger = after.catch.as_ref().filter(|_| after.phase == Some(Phase::Diagnosing));
    let debugger = debugger.and_then(|catch| catch.job_uid.as_deref());
    let open: BTreeSet<&str> = running.flat_map(open_jobs_of).chain(debugger).collect();
    for act in &plan.after {
        if let After::Delete { name, uid } = act {
            faults.unless(7, !open.contains(uid.as_str()), || format!("deletes Job {name}, whose result is waited for"));
        }
    }
}
