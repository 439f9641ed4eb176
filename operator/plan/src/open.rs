//! The next try: which one it is, and whether its Job is to be created, recorded or waited for (invariant 1).

use crate::{
    attempts,
    conclude::Outcome,
    decide,
    events::EventReason,
    finish,
    plan::{After, Draft, JobIntent},
    timing::{later, millis_between, pause_clock},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use trackway_crds::{
    contracts::{Assignment, CONTRACT, ErrorClass, ResultError, Revision, RunRef},
    duration::for_people,
    names,
    status::{AttemptStatus, BatchRunStatus, Phase, StageMillis, StagePhase, StageStatus, Used},
};

/// The API server refused to create a Job.
pub(crate) const REFUSED: &str = "JobRefused";

/// The try that has to be opened next.
struct Next {
    stage: String,
    attempt: u32,
    try_: u32,
}

/// Opens the next try, if none is open and nothing holds the run.
pub(crate) fn next_try(draft: &mut Draft<'_>, revision: &Revision) {
    if open_uid(&draft.status).is_some() {
        if let Some(open) = next(&draft.status, revision) {
            draft.delete_given_up_jobs(&open.stage, open.attempt, open.try_);
        }
        draft.keep_active(revision);
        return draft.enter(Phase::Running, "Running", "a stage runs");
    }
    let Some(mut next) = next(&draft.status, revision) else {
        return finish::succeed(draft);
    };
    if draft.run.spec.suspend {
        return suspend(draft, revision);
    }
    if draft.before.phase == Some(Phase::Suspended) {
        draft.event(EventReason::Resumed, format!("run/{}", draft.run.generation), "spec.suspend is false again");
    }
    if let Some(at) = not_before(draft).filter(|at| draft.now < *at) {
        return back_off(draft, revision, at);
    }
    loop {
        let name = names::job_name(draft.run.name, draft.run.uid, &next.stage, next.attempt, next.try_);
        match draft.observed.jobs.iter().find(|job| job.name == name) {
            Some(job) if job.can_be_adopted(draft.status.revision.as_deref()) => {
                let uid = job.uid.clone();
                return record(draft, revision, &next, name, uid);
            }
            // Someone else's, of another revision, or one that ran although nothing recorded it: its name is spent.
            Some(_) => next.try_ += 1,
            None => return create(draft, revision, &next, name),
        }
    }
}

fn open_uid(status: &BatchRunStatus) -> Option<&str> {
    let index = attempts::running(&status.stages)?;
    attempts::in_work(&status.stages[index])?.job_uid.as_deref()
}

fn not_before(draft: &Draft<'_>) -> Option<Timestamp> {
    let index = attempts::running(&draft.status.stages)?;
    draft.status.stages[index].not_before.as_ref().map(|at| at.0)
}

fn next(status: &BatchRunStatus, revision: &Revision) -> Option<Next> {
    let Some(index) = attempts::running(&status.stages) else {
        let stage = revision.stages.get(status.stages.len())?;
        return Some(Next { stage: stage.name.clone(), attempt: 1, try_: 1 });
    };
    let stage = &status.stages[index];
    let (attempt, try_) = match (attempts::in_work(stage), stage.attempts.last()) {
        (Some(open), _) => (open.attempt, open.try_),
        (None, last) => (last.map_or(1, |last| last.attempt + 1), 1),
    };
    Some(Next { stage: stage.name.clone(), attempt, try_ })
}

fn back_off(draft: &mut Draft<'_>, revision: &Revision, until: Timestamp) {
    draft.wake_at.push(until);
    if draft.out.why.is_empty() {
        draft.out.why.push(format!("pauses for {} before the next try", for_people(millis_between(draft.now, until))));
    }
    pause_clock(&mut draft.status, revision.limits.active_deadline_millis, draft.now);
    draft.enter(Phase::Running, "Backoff", "pauses before the next try of a stage");
}

fn suspend(draft: &mut Draft<'_>, revision: &Revision) {
    pause_clock(&mut draft.status, revision.limits.active_deadline_millis, draft.now);
    draft.out.why.push("spec.suspend holds the run".into());
    if draft.before.phase != Some(Phase::Suspended) {
        draft.event(EventReason::Suspended, "run", "spec.suspend is true; nothing new is started");
    }
    draft.enter(Phase::Suspended, "Suspended", "spec.suspend is true; set it to false to go on");
}

fn create(draft: &mut Draft<'_>, revision: &Revision, next: &Next, name: String) {
    if let Some(refusal) = draft.observed.refusal.as_ref().filter(|refusal| refusal.job == name) {
        let message = format!("the API server refused Job {name}: {}", refusal.message);
        return refused(draft, revision, next, message);
    }
    draft.out.why.push(format!("creates Job {name} for {} attempt {} try {}", next.stage, next.attempt, next.try_));
    draft.out.create = Some(JobIntent { name, assignment: assignment(draft, next) });
}

/// A refused Job is a try that never started.
fn refused(draft: &mut Draft<'_>, revision: &Revision, next: &Next, message: String) {
    tell_story(draft, next);
    open_attempt(draft, next, None);
    let error = ResultError { class: ErrorClass::Infrastructure, reason: REFUSED.into(), message, retry_after_millis: None };
    decide::decide(draft, revision, Outcome::Lost(error));
    if let Some(at) = not_before(draft).filter(|_| !draft.is_finished()) {
        back_off(draft, revision, at);
    }
}

fn assignment(draft: &Draft<'_>, next: &Next) -> Assignment {
    let accepted = draft.status.stages.iter().filter(|stage| stage.phase == StagePhase::Succeeded);
    Assignment {
        contract: CONTRACT,
        run: RunRef { namespace: draft.run.namespace.into(), name: draft.run.name.into(), uid: draft.run.uid.into() },
        revision: draft.status.revision.clone().unwrap_or_default(),
        batch: draft.run.spec.batch.clone(),
        stage: next.stage.clone(),
        attempt: next.attempt,
        try_: next.try_,
        stages: accepted.filter_map(|stage| Some((stage.name.clone(), stage.output.clone()?))).collect(),
        fan_outs: std::collections::BTreeMap::new(),
        wave: None,
        failure: None,
        tokens_left: None,
    }
}

/// Records the uid of a Job that exists suspended; once this is written, it may run.
fn record(draft: &mut Draft<'_>, revision: &Revision, next: &Next, name: String, uid: String) {
    tell_story(draft, next);
    open_attempt(draft, next, Some(uid.clone()));
    draft.out.why.push(format!("records and releases Job {name}"));
    draft.out.after.push(After::Release { name, uid });
    draft.wake_at.push(later(draft.now, revision.limits.start_timeout_millis));
    draft.keep_active(revision);
    draft.enter(Phase::Running, "Running", "a stage runs");
}

fn tell_story(draft: &mut Draft<'_>, next: &Next) {
    if draft.status.started_at.is_none() {
        draft.status.started_at = Some(MicroTime(draft.now));
        let batch = &draft.run.spec.batch;
        let revision = draft.status.revision.as_deref().unwrap_or_default();
        let note = format!("revision {revision}, batch {}: {} events, {}", batch.id, batch.events, batch.priority.as_str());
        draft.event(EventReason::Started, "run", note);
    }
    if !draft.status.stages.iter().any(|stage| stage.name == next.stage) {
        draft.event(EventReason::StageStarted, next.stage.clone(), format!("{} begins", next.stage));
    }
}

fn open_attempt(draft: &mut Draft<'_>, next: &Next, job_uid: Option<String>) {
    let idle = idle_millis(draft);
    let now = MicroTime(draft.now);
    if attempts::running(&draft.status.stages).is_none() {
        draft.status.stages.push(StageStatus {
            name: next.stage.clone(),
            phase: StagePhase::Running,
            started_at: now.clone(),
            completed_at: None,
            millis: StageMillis::default(),
            input: None,
            output: None,
            used: Used::default(),
            not_before: None,
            attempts: Vec::new(),
            lists: std::collections::BTreeMap::new(),
            targets: None,
        });
    }
    let Some(stage) = draft.status.stages.last_mut() else { return };
    if draft.before.phase == Some(Phase::Suspended) {
        stage.millis.paused += idle;
    } else {
        stage.millis.queued += idle;
    }
    stage.not_before = None;
    if let Some(open) = attempts::in_work_mut(stage) {
        open.try_ = next.try_;
        open.job_uid = job_uid;
        open.started_at = now;
        open.millis = None;
        return;
    }
    let attempt = AttemptStatus {
        attempt: next.attempt,
        try_: next.try_,
        job_uid,
        started_at: now,
        millis: None,
        score: None,
        dimensions: std::collections::BTreeMap::new(),
        feedback: None,
        verdict: None,
        error: None,
        tokens: None,
        output: None,
        record: None,
    };
    attempts::push(stage, attempt);
}

/// Time since the last try ended, in which nothing ran.
fn idle_millis(draft: &Draft<'_>) -> u64 {
    let Some(last) = draft.status.stages.last().and_then(|stage| stage.attempts.last()) else {
        // Creation times have whole seconds: only a wait long enough to have been written down is counted.
        let waited = matches!(draft.before.phase, Some(Phase::Pending | Phase::Suspended));
        return if waited { millis_between(draft.run.created_at, draft.now) } else { 0 };
    };
    millis_between(later(last.started_at.0, last.millis.unwrap_or(0)), draft.now)
}
