//! Invariant 1: at most one Job uid for each name a run can give, and only a recorded Job runs.

use super::{Fault, Faults};
use crate::{
    observed::Run,
    plan::{After, Plan},
};
use std::collections::BTreeSet;
use trackway_crds::{
    names,
    status::{AttemptStatus, BatchRunStatus, StageStatus},
};

/// Invariant 1 of `plan`, computed from `before`.
#[must_use]
pub fn inv01_only_recorded_jobs_run(run: &Run<'_>, before: &BatchRunStatus, plan: &Plan) -> Vec<Fault> {
    let after = plan.status.as_ref().unwrap_or(before);
    let mut faults = Faults::default();
    if plan.create.is_some() {
        faults.unless(1, plan.status.is_none() && plan.after.is_empty(), || "a Job is created together with other acts".into());
    }
    let recorded = recorded(after);
    for act in &plan.after {
        if let After::Release { name, uid } = act {
            faults.unless(1, recorded.contains(uid.as_str()), || format!("releases Job {name}, whose uid no status names"));
        }
    }
    created_jobs_have_their_own_name(&mut faults, run, after, plan);
    for (old, new) in before.stages.iter().zip(&after.stages) {
        same_try_same_job(&mut faults, old, new);
        same_wave_same_job(&mut faults, old, new);
    }
    if let Some((old, new)) = before.catch.as_ref().zip(after.catch.as_ref()) {
        let kept = old.try_ != new.try_ || old.job_uid.is_none() || old.job_uid == new.job_uid;
        faults.unless(1, kept, || format!("debugger try {} got a second Job", new.try_));
    }
    faults.0
}

/// The uids of every Job that `status` names.
fn recorded(status: &BatchRunStatus) -> BTreeSet<&str> {
    let attempts = status.stages.iter().flat_map(|stage| &stage.attempts).filter_map(|attempt| attempt.job_uid.as_deref());
    let targets = status.stages.iter().filter_map(|stage| stage.targets.as_ref());
    let waves = targets.flat_map(|targets| &targets.waves).map(|wave| wave.job_uid.as_str());
    let debugger = status.catch.as_ref().and_then(|catch| catch.job_uid.as_deref());
    attempts.chain(waves).chain(debugger).collect()
}

fn created_jobs_have_their_own_name(faults: &mut Faults, run: &Run<'_>, after: &BatchRunStatus, plan: &Plan) {
    let Some(intent) = &plan.create else { return };
    let told = &intent.assignment;
    let stage = after.stages.iter().find(|stage| stage.name == told.stage);
    let name = match &told.wave {
        Some(wave) => names::wave_job_name(run.name, run.uid, &told.stage, wave.wave, told.try_),
        None => names::job_name(run.name, run.uid, &told.stage, told.attempt, told.try_),
    };
    faults.unless(1, intent.name == name, || format!("creates Job {} where {name} belongs", intent.name));
    let taken = match &told.wave {
        Some(wave) => stage.and_then(|stage| stage.targets.as_ref()).is_some_and(|targets| wave.wave <= targets.cut),
        None if told.stage == names::DEBUGGER => {
            after.catch.as_ref().is_some_and(|catch| catch.try_ == told.try_ && catch.job_uid.is_some())
        }
        None => stage
            .into_iter()
            .flat_map(|stage| &stage.attempts)
            .any(|attempt| (attempt.attempt, attempt.try_) == (told.attempt, told.try_) && attempt.job_uid.is_some()),
    };
    faults.unless(1, !taken, || format!("creates Job {name} for a try that has one"));
}

fn same_try_same_job(faults: &mut Faults, old: &StageStatus, new: &StageStatus) {
    for AttemptStatus { attempt, try_, job_uid: was, .. } in &old.attempts {
        let same = new.attempts.iter().find(|other| (other.attempt, other.try_) == (*attempt, *try_));
        let other = same.and_then(|same| same.job_uid.as_ref());
        let kept = was.is_none() || other.is_none() || was.as_ref() == other;
        faults.unless(1, kept, || format!("{} attempt {attempt} try {try_} got a second Job", new.name));
    }
}

fn same_wave_same_job(faults: &mut Faults, old: &StageStatus, new: &StageStatus) {
    let Some((old, new, name)) = old.targets.as_ref().zip(new.targets.as_ref()).map(|(o, n)| (o, n, &new.name)) else { return };
    faults.unless(1, new.cut >= old.cut, || format!("{name}: {} waves became {}", old.cut, new.cut));
    for wave in &new.waves {
        let known = old.waves.iter().find(|known| known.wave == wave.wave);
        match known {
            Some(known) => faults.unless(1, known == wave, || format!("{name}: wave {} was changed", wave.wave)),
            None => faults.unless(1, wave.wave > old.cut && wave.wave <= new.cut, || {
                format!("{name}: wave {} is recorded a second time", wave.wave)
            }),
        }
    }
    let uids: BTreeSet<_> = new.waves.iter().map(|wave| &wave.job_uid).collect();
    faults.unless(1, uids.len() == new.waves.len(), || format!("{name}: one Job serves two waves"));
}
