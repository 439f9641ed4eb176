//! The next wave: which targets, and whether its Job is to be created, recorded or waited for (invariant 1).

use super::{
    FanOut,
    cut::{self, Cut, Decision},
    timing,
    waves::wave_text,
};
use crate::{
    assignment::assignment,
    decide,
    events::EventReason,
    observed::JobView,
    open::{self, REFUSED},
    plan::{After, Draft, JobIntent},
    timing::{later, millis_between},
    tokens,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use trackway_crds::{
    contracts::{ErrorClass, ResultError, Revision, TargetAssignment, WaveAssignment},
    ledger::TargetState,
    names,
    status::{Phase, WaveStatus},
};

/// Targets of one pod that a Job may say.
const MAX_PER_POD: u32 = 32;
/// Tries of one wave. It has more than one only when names were taken.
const MOST_TRIES: u32 = 16;

/// Cuts the next wave if it is time, and says what is waited for.
pub(super) fn go_on(draft: &mut Draft<'_>, revision: &Revision, mut fan_out: FanOut<'_>) {
    next(draft, revision, &mut fan_out);
    if draft.out.create.is_none() && !draft.has_ended() {
        fan_out.hold_progress(draft);
    }
}

fn next(draft: &mut Draft<'_>, revision: &Revision, fan_out: &mut FanOut<'_>) {
    let Some(targets) = fan_out.targets(draft).cloned() else { return };
    let (live, number) = (targets.waves.len(), targets.cut + 1);
    delete_spent(draft, fan_out, targets.cut, &targets.waves);
    let due = fan_out.ledger.count(|state| state == TargetState::Due);
    if due > 0 && draft.run.spec.suspend {
        return hold(draft, revision, live);
    }
    if live == 0 && draft.before.phase == Some(Phase::Suspended) {
        draft.event(EventReason::Resumed, format!("run/{}", draft.run.generation), "spec.suspend is false again");
    }
    if due == 0 || live >= cut::MAX_WAVES {
        return runs(draft, revision);
    }
    let not_before = draft.status.stages[fan_out.stage].not_before.as_ref().map(|at| at.0);
    if let Some(at) = not_before.filter(|at| draft.now < *at) {
        draft.wake_at.push(at);
        return if live > 0 { runs(draft, revision) } else { open::back_off(draft, revision, at) };
    }
    if tokens::exhausted(&draft.status, revision) {
        timing::account(draft, fan_out.stage, fan_out.last.as_ref());
        return tokens::end(draft, revision, &fan_out.resolved.name);
    }
    let since = targets.due_since.as_ref().map_or(draft.now, |since| since.0);
    let max = fan_out.resolved.retry.infrastructure_max_tries;
    let decision = cut::cut(&fan_out.ledger, fan_out.for_each, max, live, millis_between(since, draft.now));
    let Some(Named { name, try_, found }) = named(draft, fan_out, number) else {
        let message = format!("the names of the Jobs of wave {number} are taken by Jobs that cannot be used; delete them");
        timing::account(draft, fan_out.stage, fan_out.last.as_ref());
        return decide::fail_stage(draft, fan_out.stage, None, ErrorClass::Permanent, "JobNamesTaken", &message);
    };
    match (found, decision) {
        (Some((job, wave)), _) => record(draft, revision, fan_out, &job, wave, try_),
        (None, Decision::Now(cut)) => create(draft, revision, fan_out, cut, (number, try_, name)),
        (None, Decision::After(millis)) => {
            draft.wake_at.push(later(draft.now, millis));
            runs(draft, revision);
        }
        (None, Decision::Not) => runs(draft, revision),
    }
}

fn runs(draft: &mut Draft<'_>, revision: &Revision) {
    draft.keep_active(revision);
    draft.enter(Phase::Running, "Running", "a stage runs");
}

/// Suspended: the waves that are open finish and are recorded, nothing new is cut.
fn hold(draft: &mut Draft<'_>, revision: &Revision, live: usize) {
    if live > 0 { runs(draft, revision) } else { open::suspend(draft, revision) }
}

/// A name for the next wave's Job.
struct Named {
    name: String,
    try_: u32,
    /// The Job that has it and may be recorded as it is, and what it was told; `None`: one is to be created.
    found: Option<(JobView, WaveAssignment)>,
}

/// The first name of wave `number` that can be used; `None` when all are taken.
fn named(draft: &Draft<'_>, fan_out: &FanOut<'_>, number: u32) -> Option<Named> {
    for try_ in 1..=MOST_TRIES {
        let name = names::wave_job_name(draft.run.name, draft.run.uid, &fan_out.resolved.name, number, try_);
        let Some(job) = draft.observed.jobs.iter().find(|job| job.name == name) else {
            return Some(Named { name, try_, found: None });
        };
        let wave = job.wave.as_ref().filter(|_| job.can_be_adopted(draft.status.revision.as_deref()));
        if let Some(wave) = wave.filter(|wave| fits(fan_out, wave, number)) {
            return Some(Named { name, try_, found: Some((job.clone(), wave.clone())) });
        }
        // Someone else's, one that ran although nothing recorded it, or one over targets that have moved on: its name is spent.
    }
    None
}

/// Whether everything that `wave` says is still so: each of its targets due, with this attempt and try, and room for all of them.
fn fits(fan_out: &FanOut<'_>, wave: &WaveAssignment, number: u32) -> bool {
    let due = |told: &TargetAssignment| {
        let target = usize::try_from(told.index).ok().and_then(|index| fan_out.ledger.0.get(index));
        target.is_some_and(|target| {
            target.state == TargetState::Due && (target.attempt, target.try_()) == (told.attempt, told.try_)
        })
    };
    let running = fan_out.ledger.count(|state| state == TargetState::Running);
    let free = fan_out.for_each.max_concurrency.saturating_sub(running);
    let ascending = wave.targets.is_sorted_by(|a, b| a.index < b.index);
    wave.wave == number
        && (1..=MAX_PER_POD).contains(&wave.targets_per_pod)
        && !wave.targets.is_empty()
        && u32::try_from(wave.targets.len()).is_ok_and(|count| count <= free)
        && ascending
        && wave.targets.iter().all(due)
}

fn create(
    draft: &mut Draft<'_>,
    revision: &Revision,
    fan_out: &mut FanOut<'_>,
    cut: Cut,
    (number, try_, name): (u32, u32, String),
) {
    if let Some(refusal) = draft.observed.refusal.as_ref().filter(|refusal| refusal.name == name) {
        let message = format!("the API server refused Job {name}: {}", refusal.message);
        return refused(draft, revision, fan_out, &cut, message);
    }
    let stage = fan_out.resolved.name.clone();
    let told = |index: &u32| {
        let target = fan_out.ledger.0.get(usize::try_from(*index).ok()?)?;
        Some(TargetAssignment { index: *index, attempt: target.attempt, try_: target.try_() })
    };
    let targets: Vec<_> = cut.targets.iter().filter_map(told).collect();
    let running = fan_out.ledger.count(|state| state == TargetState::Running);
    let in_flight = running.saturating_add(u32::try_from(targets.len()).unwrap_or(u32::MAX));
    draft.out.why.push(format!("creates Job {name} for wave {number} of {stage}: targets {}", wave_text(&cut.targets)));
    let mut assignment = assignment(draft, revision, (&stage, 1, try_), in_flight);
    assignment.wave = Some(WaveAssignment { wave: number, targets_per_pod: cut.targets_per_pod, targets });
    draft.out.create = Some(JobIntent { name, assignment });
}

/// Records the uid of a wave's Job and marks its targets; once this is written, it may run.
fn record(draft: &mut Draft<'_>, revision: &Revision, fan_out: &mut FanOut<'_>, job: &JobView, wave: WaveAssignment, try_: u32) {
    let now = draft.now;
    if draft.status.stages[fan_out.stage].targets.as_ref().is_some_and(|targets| targets.waves.is_empty()) {
        timing::account(draft, fan_out.stage, None);
    }
    let indices: Vec<u32> = wave.targets.iter().map(|target| target.index).collect();
    for index in &indices {
        if let Some(target) = fan_out.target(*index) {
            target.state = TargetState::Running;
        }
    }
    let stage = &mut draft.status.stages[fan_out.stage];
    stage.not_before = None;
    if let Some(targets) = stage.targets.as_mut() {
        targets.cut = wave.wave;
        targets.waves.push(WaveStatus {
            wave: wave.wave,
            try_,
            job_uid: job.uid.clone(),
            targets: wave_text(&indices),
            targets_per_pod: wave.targets_per_pod,
            started_at: MicroTime(now),
        });
    }
    fan_out.write(draft);
    fan_out.urgent = true;
    let (name, uid) = (job.name.clone(), job.uid.clone());
    draft.out.why.push(format!("records and releases Job {name}, wave {} of {}", wave.wave, fan_out.resolved.name));
    draft.out.after.push(After::Release { name, uid });
    let waves = draft.status.stages[fan_out.stage].targets.as_ref().map(|targets| targets.waves.clone()).unwrap_or_default();
    delete_spent(draft, fan_out, wave.wave, &waves);
    draft.wake_at.push(later(now, revision.limits.start_timeout_millis));
    look_again(draft, fan_out);
    runs(draft, revision);
}

/// What is due now may be another wave.
fn look_again(draft: &mut Draft<'_>, fan_out: &FanOut<'_>) {
    let Some(targets) = fan_out.targets(draft).cloned() else { return };
    let since = targets.due_since.as_ref().map_or(draft.now, |since| since.0);
    let max = fan_out.resolved.retry.infrastructure_max_tries;
    match cut::cut(&fan_out.ledger, fan_out.for_each, max, targets.waves.len(), millis_between(since, draft.now)) {
        Decision::Now(_) => draft.wake_at.push(draft.now),
        Decision::After(millis) => draft.wake_at.push(later(draft.now, millis)),
        Decision::Not => {}
    }
}

/// Deletes Jobs of waves up to `cut` that never ran and never will: no status will record them any more.
fn delete_spent(draft: &mut Draft<'_>, fan_out: &FanOut<'_>, cut: u32, live: &[WaveStatus]) {
    let stage = &fan_out.resolved.name;
    let spent = |job: &&JobView| {
        let number = job.wave.as_ref().map_or(0, |wave| wave.wave);
        let ours = (1..=cut).contains(&number) && job.is_active() && job.suspended;
        ours && !live.iter().any(|wave| wave.job_uid == job.uid) && is_wave_of(draft, job, stage, number)
    };
    let observed = draft.observed;
    let spent: Vec<_> = observed.jobs.iter().filter(spent).collect();
    spent.into_iter().for_each(|job| draft.delete(job));
}

/// Whether `job` bears the name of some try of this wave.
fn is_wave_of(draft: &Draft<'_>, job: &JobView, stage: &str, wave: u32) -> bool {
    (1..=MOST_TRIES).any(|try_| job.name == names::wave_job_name(draft.run.name, draft.run.uid, stage, wave, try_))
}

/// A refused wave is asked for again. When nothing has run for as long as a pod may take to start, its targets lose a try each.
fn refused(draft: &mut Draft<'_>, revision: &Revision, fan_out: &mut FanOut<'_>, cut: &Cut, message: String) {
    fan_out.urgent = true;
    let again = later(draft.now, decide::REFUSED_PAUSE_MILLIS);
    draft.status.stages[fan_out.stage].not_before = Some(MicroTime(again));
    let idle = fan_out.targets(draft).filter(|targets| targets.waves.is_empty()).map(|targets| targets.accounted_until.0);
    let Some(since) = idle else {
        draft.out.why.push(format!("{message}; asks again in 10s"));
        draft.wake_at.push(again);
        return runs(draft, revision);
    };
    if !open::refused_before(draft) {
        // The wait counts from here; what was before it was another one.
        timing::account(draft, fan_out.stage, None);
    } else if draft.now >= later(since, revision.limits.start_timeout_millis) {
        timing::account(draft, fan_out.stage, None);
        lose(draft, fan_out, cut, &message);
        fan_out.write(draft);
        if super::end::stage(draft, fan_out) {
            return;
        }
    }
    open::hold_refused(draft, revision, again, &message);
}

fn lose(draft: &mut Draft<'_>, fan_out: &mut FanOut<'_>, cut: &Cut, message: &str) {
    for index in &cut.targets {
        let error = ResultError {
            class: ErrorClass::Infrastructure,
            reason: REFUSED.into(),
            message: message.to_owned(),
            retry_after_millis: None,
        };
        super::settle::settle(draft, fan_out, *index, crate::conclude::Outcome::Lost(error));
    }
}
