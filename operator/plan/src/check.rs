//! An independent look at a plan before it is applied: it knows the invariants, not how the plan came about.

use crate::{
    observed::{Observed, RevisionView, Run},
    plan::{After, Plan},
    shed::stored_bytes,
};
use std::collections::BTreeSet;
use trackway_crds::{
    contracts::Revision,
    names,
    status::{AttemptStatus, BatchRunStatus, MAX_STATUS_BYTES, Phase, StagePhase, StageStatus, Verdict},
};

/// A plan that breaks an invariant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invariant {invariant}: {message}")]
pub struct Fault {
    /// Number in design.md §6.
    pub invariant: u8,
    /// What is broken.
    pub message: String,
}

/// Everything wrong with `plan`, computed from `status`; empty when it may be applied.
#[must_use]
pub fn check(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, plan: &Plan) -> Vec<Fault> {
    let mut faults = Faults::default();
    let after = plan.status.as_ref().unwrap_or(status);
    if plan.create.is_some() {
        faults.unless(1, plan.status.is_none() && plan.after.is_empty(), || "a Job is created together with other acts".into());
    }
    only_recorded_jobs_run(&mut faults, after, plan);
    the_open_job_is_kept(&mut faults, after, plan);
    created_jobs_have_their_own_name(&mut faults, run, after, plan);
    if status.phase.is_some_and(Phase::is_finished) {
        faults.unless(5, plan.status.is_none() && plan.create.is_none(), || "a finished run is changed".into());
    }
    // A refusal ends a try that never started, in the same write as whatever made it the next one.
    numbers_only_grow(&mut faults, status, after, 1 + u32::from(observed.refusal.is_some()));
    if let RevisionView::Available { name, revision } = &observed.revision {
        faults.unless(6, after.revision.is_none() || after.revision.as_deref() == Some(name), || {
            format!("executes {name}, started with {:?}", after.revision)
        });
        advanced_on_a_verdict(&mut faults, after, revision);
    }
    faults.unless(4, stored_bytes(after) <= MAX_STATUS_BYTES, || format!("status has {} bytes", stored_bytes(after)));
    never_running_with_nothing(&mut faults, after, plan);
    faults.0
}

#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn unless(&mut self, invariant: u8, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Fault { invariant, message: message() });
        }
    }
}

fn recorded(status: &BatchRunStatus) -> BTreeSet<&str> {
    status.stages.iter().flat_map(|stage| &stage.attempts).filter_map(|attempt| attempt.job_uid.as_deref()).collect()
}

fn only_recorded_jobs_run(faults: &mut Faults, after: &BatchRunStatus, plan: &Plan) {
    let recorded = recorded(after);
    for act in &plan.after {
        if let After::Release { name, uid } = act {
            faults.unless(1, recorded.contains(uid.as_str()), || format!("releases Job {name}, whose uid no status names"));
        }
    }
}

fn the_open_job_is_kept(faults: &mut Faults, after: &BatchRunStatus, plan: &Plan) {
    let running = after.stages.iter().filter(|stage| stage.phase == StagePhase::Running);
    let open = running.filter_map(|stage| stage.attempts.last()).find(|last| last.verdict.is_none());
    let Some(open) = open.and_then(|open| open.job_uid.as_ref()) else { return };
    for act in &plan.after {
        if let After::Delete { name, uid } = act {
            faults.unless(7, uid != open, || format!("deletes Job {name}, whose result is waited for"));
        }
    }
}

fn created_jobs_have_their_own_name(faults: &mut Faults, run: &Run<'_>, after: &BatchRunStatus, plan: &Plan) {
    let Some(intent) = &plan.create else { return };
    let assignment = &intent.assignment;
    let name = names::job_name(run.name, run.uid, &assignment.stage, assignment.attempt, assignment.try_);
    faults.unless(1, intent.name == name, || format!("creates Job {} where {name} belongs", intent.name));
    let stage = after.stages.iter().find(|stage| stage.name == assignment.stage);
    let taken = stage
        .into_iter()
        .flat_map(|stage| &stage.attempts)
        .any(|attempt| (attempt.attempt, attempt.try_) == (assignment.attempt, assignment.try_) && attempt.job_uid.is_some());
    faults.unless(1, !taken, || format!("creates Job {name} for a try that has one"));
}

fn numbers_only_grow(faults: &mut Faults, before: &BatchRunStatus, after: &BatchRunStatus, tries: u32) {
    faults.unless(3, after.stages.len() >= before.stages.len(), || "a stage vanished".into());
    for (old, new) in before.stages.iter().zip(&after.stages) {
        faults.unless(3, old.name == new.name, || format!("stage {} became {}", old.name, new.name));
        let used = [
            (old.used.quality, new.used.quality),
            (old.used.infrastructure, new.used.infrastructure),
            (old.used.model, new.used.model),
            (old.used.judge, new.used.judge),
        ];
        faults.unless(3, used.iter().all(|(old, new)| new >= old), || format!("{}: a budget was given back", new.name));
        let spent: u32 = used.iter().map(|(old, new)| new.saturating_sub(*old)).sum();
        faults.unless(3, spent <= tries, || format!("{}: {tries} ended tries used up {spent} budgets", new.name));
        faults.unless(3, last_number(new) >= last_number(old), || format!("{}: an attempt or try number fell", new.name));
        same_try_same_job(faults, old, new);
        faults.unless(5, old.phase == StagePhase::Running || old == new, || format!("{}: an ended stage changed", new.name));
    }
}

fn last_number(stage: &StageStatus) -> (u32, u32) {
    stage.attempts.last().map_or((0, 0), |last| (last.attempt, last.try_))
}

fn same_try_same_job(faults: &mut Faults, old: &StageStatus, new: &StageStatus) {
    for AttemptStatus { attempt, try_, job_uid: was, .. } in &old.attempts {
        let same = new.attempts.iter().find(|other| (other.attempt, other.try_) == (*attempt, *try_));
        let other = same.and_then(|same| same.job_uid.as_ref());
        let kept = was.is_none() || other.is_none() || was.as_ref() == other;
        faults.unless(1, kept, || format!("{} attempt {attempt} try {try_} got a second Job", new.name));
    }
}

fn advanced_on_a_verdict(faults: &mut Faults, after: &BatchRunStatus, revision: &Revision) {
    for stage in after.stages.iter().filter(|stage| stage.phase == StagePhase::Succeeded) {
        let Some(judge) = revision.stage(&stage.name).and_then(|stage| stage.judge.as_ref()) else { continue };
        let good = stage.attempts.last().is_some_and(|last| {
            let minimums = judge.dimensions.iter().all(|dimension| {
                // Shedding may have dropped the dimensions of an attempt that was checked when it was recorded.
                last.dimensions.is_empty()
                    || last.dimensions.get(&dimension.name).is_some_and(|score| *score >= dimension.minimum)
            });
            last.verdict == Some(Verdict::Advance) && last.score.is_some_and(|score| score >= judge.threshold) && minimums
        });
        faults.unless(2, good, || format!("{} advanced without a verdict at or above its threshold", stage.name));
    }
}

fn never_running_with_nothing(faults: &mut Faults, after: &BatchRunStatus, plan: &Plan) {
    let finished = after.phase.is_some_and(Phase::is_finished);
    faults.unless(7, finished == after.completed_at.is_some(), || {
        "finished without a time, or a time without being finished".into()
    });
    if finished {
        return;
    }
    faults.unless(7, plan.requeue.is_some(), || "an unfinished run is not looked at again".into());
    let running = after.stages.iter().find(|stage| stage.phase == StagePhase::Running);
    let open = running.is_some_and(|stage| {
        stage.not_before.is_some() || stage.attempts.last().is_some_and(|last| last.verdict.is_none() && last.job_uid.is_some())
    });
    let waits = matches!(after.phase, Some(Phase::Pending | Phase::Suspended));
    faults.unless(7, open || waits || plan.create.is_some(), || "running with nothing running".into());
    let on_a_clock =
        after.deadline_at.is_some() || waits || plan.create.is_some() || running.is_some_and(|stage| stage.not_before.is_some());
    faults.unless(7, on_a_clock, || "running without a deadline".into());
}
