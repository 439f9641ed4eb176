//! The next try: which one it is, and whether its Job is to be created, recorded or waited for (invariant 1).

use crate::{
    assignment::assignment,
    attempts,
    conclude::Outcome,
    decide,
    events::EventReason,
    fan_out, finish,
    plan::{After, Draft, JobIntent},
    questions,
    timing::{later, millis_between, pause_clock},
    tokens,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use std::collections::BTreeMap;
use trackway_crds::{
    contracts::{ErrorClass, ResultError, Revision},
    duration::for_people,
    names,
    status::{AttemptStatus, BatchRunStatus, MAX_MESSAGE_BYTES, Phase, StageMillis, StagePhase, StageStatus, TryError, Used},
    text,
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
    if questions::hold(draft, revision) {
        return;
    }
    if let Some(at) = not_before(draft).filter(|at| draft.now < *at) {
        return back_off(draft, revision, at);
    }
    if let Some(resolved) = revision.stage(&next.stage).filter(|_| attempts::running(&draft.status.stages).is_none())
        && let Some(for_each) = &resolved.for_each
    {
        return fan_out::open(draft, revision, resolved, for_each);
    }
    if tokens::exhausted(&draft.status, revision) {
        return tokens::end(draft, revision, &next.stage);
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

/// Nothing runs, and nothing is opened before `until`.
pub(crate) fn back_off(draft: &mut Draft<'_>, revision: &Revision, until: Timestamp) {
    draft.wake_at.push(until);
    if draft.out.why.is_empty() {
        draft.out.why.push(format!("pauses for {} before the next try", for_people(millis_between(draft.now, until))));
    }
    pause_clock(&mut draft.status, revision.limits.active_deadline_millis, draft.now);
    if !refused_before(draft) {
        draft.enter(Phase::Running, "Backoff", "pauses before the next try of a stage");
    }
}

/// Whether a refusal of the next Job is what was waited for last.
pub(crate) fn refused_before(draft: &Draft<'_>) -> bool {
    draft.before.conditions.iter().any(|condition| condition.type_ == "Reconciling" && condition.reason == REFUSED)
}

/// Nothing runs, because somebody said so.
pub(crate) fn suspend(draft: &mut Draft<'_>, revision: &Revision) {
    pause_clock(&mut draft.status, revision.limits.active_deadline_millis, draft.now);
    draft.out.why.push("spec.suspend holds the run".into());
    if draft.before.phase != Some(Phase::Suspended) {
        draft.event(EventReason::Suspended, "run", "spec.suspend is true; nothing new is started");
    }
    draft.enter(Phase::Suspended, "Suspended", "spec.suspend is true; set it to false to go on");
}

fn create(draft: &mut Draft<'_>, revision: &Revision, next: &Next, name: String) {
    if let Some(refusal) = draft.observed.refusal.as_ref().filter(|refusal| refusal.name == name) {
        let message = format!("the API server refused Job {name}: {}", refusal.message);
        return refused(draft, revision, next, message);
    }
    draft.out.why.push(format!("creates Job {name} for {} attempt {} try {}", next.stage, next.attempt, next.try_));
    let assignment = assignment(draft, revision, (&next.stage, next.attempt, next.try_), 1);
    draft.out.create = Some(JobIntent { name, assignment });
}

/// A refused Job is asked for again until a pod would have had to start; then it is a try that never started.
fn refused(draft: &mut Draft<'_>, revision: &Revision, next: &Next, message: String) {
    tell_story(draft, &next.stage);
    let since = attempts::running(&draft.status.stages).and_then(|index| refused_since(&draft.status.stages[index], next));
    if since.is_none() {
        open_attempt(draft, next, None);
    }
    let since = since.unwrap_or(draft.now);
    let error = ResultError { class: ErrorClass::Infrastructure, reason: REFUSED.into(), message, retry_after_millis: None };
    if draft.now >= later(since, revision.limits.start_timeout_millis) {
        decide::decide(draft, revision, Outcome::Lost(error));
        if let Some(at) = not_before(draft).filter(|_| !draft.has_ended()) {
            back_off(draft, revision, at);
        }
        return;
    }
    let again = later(draft.now, decide::REFUSED_PAUSE_MILLIS);
    let message = text::cut(&error.message, MAX_MESSAGE_BYTES);
    if let Some(stage) = draft.status.stages.last_mut() {
        stage.not_before = Some(MicroTime(again));
        if let Some(attempt) = attempts::in_work_mut(stage) {
            attempt.error = Some(TryError { class: error.class, reason: error.reason, message });
        }
    }
    hold_refused(draft, revision, again, &error.message);
}

/// Waits until `again` before the next Job is asked for.
pub(crate) fn hold_refused(draft: &mut Draft<'_>, revision: &Revision, again: Timestamp, message: &str) {
    draft.wake_at.push(again);
    draft.out.why.push(format!("{message}; asks again in {}", for_people(millis_between(draft.now, again))));
    pause_clock(&mut draft.status, revision.limits.active_deadline_millis, draft.now);
    draft.enter(Phase::Running, REFUSED, message);
}

/// Since when the Job of `next` has been refused, if it was before.
fn refused_since(stage: &StageStatus, next: &Next) -> Option<Timestamp> {
    let open = attempts::in_work(stage)?;
    let same = (open.attempt, open.try_) == (next.attempt, next.try_) && open.job_uid.is_none() && open.millis.is_none();
    let refused = open.error.as_ref().is_some_and(|error| error.reason == REFUSED);
    (same && refused).then_some(open.started_at.0)
}

/// Records the uid of a Job that exists suspended; once this is written, it may run.
fn record(draft: &mut Draft<'_>, revision: &Revision, next: &Next, name: String, uid: String) {
    tell_story(draft, &next.stage);
    open_attempt(draft, next, Some(uid.clone()));
    draft.out.why.push(format!("records and releases Job {name}"));
    draft.out.after.push(After::Release { name, uid });
    draft.wake_at.push(later(draft.now, revision.limits.start_timeout_millis));
    draft.keep_active(revision);
    draft.enter(Phase::Running, "Running", "a stage runs");
}

/// Begins the run's story, and that of `stage`, if they have not begun.
pub(crate) fn tell_story(draft: &mut Draft<'_>, stage: &str) {
    if draft.status.started_at.is_none() {
        draft.status.started_at = Some(MicroTime(draft.now));
        let batch = &draft.run.spec.batch;
        let revision = draft.status.revision.as_deref().unwrap_or_default();
        let note = format!("revision {revision}, batch {}: {} events, {}", batch.id, batch.events, batch.priority.as_str());
        draft.event(EventReason::Started, "run", note);
    }
    if !draft.status.stages.iter().any(|known| known.name == stage) {
        draft.event(EventReason::StageStarted, stage, format!("{stage} begins"));
    }
}

/// A stage that begins now.
pub(crate) fn push_stage<'s>(draft: &'s mut Draft<'_>, name: &str) -> &'s mut StageStatus {
    let now = MicroTime(draft.now);
    let stage = StageStatus {
        name: name.to_owned(),
        phase: StagePhase::Running,
        started_at: now,
        completed_at: None,
        millis: StageMillis::default(),
        input: None,
        output: None,
        used: Used::default(),
        not_before: None,
        attempts: Vec::new(),
        lists: BTreeMap::new(),
        targets: None,
        questionnaire: None,
    };
    draft.status.stages.push_mut(stage)
}

fn open_attempt(draft: &mut Draft<'_>, next: &Next, job_uid: Option<String>) {
    let idle = idle_millis(draft);
    let now = MicroTime(draft.now);
    let paused = draft.before.phase == Some(Phase::Suspended);
    let waited = draft.status.stages.last().is_some_and(|stage| stage.waits_for().is_some());
    let stage = match attempts::running(&draft.status.stages) {
        Some(index) => &mut draft.status.stages[index],
        None => push_stage(draft, &next.stage),
    };
    let millis = &mut stage.millis;
    *(match (waited, paused) {
        (true, _) => &mut millis.waiting,
        (false, true) => &mut millis.paused,
        (false, false) => &mut millis.queued,
    }) += idle;
    stage.not_before = None;
    if let Some(open) = attempts::in_work_mut(stage) {
        open.try_ = next.try_;
        if job_uid.is_some() && open.millis.is_none() && open.error.as_ref().is_some_and(|error| error.reason == REFUSED) {
            // It was only refused for a while.
            open.error = None;
        }
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
        dimensions: BTreeMap::new(),
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
pub(crate) fn idle_millis(draft: &Draft<'_>) -> u64 {
    let Some(last) = draft.status.stages.last() else {
        // Creation times have whole seconds: only a wait long enough to have been written down is counted.
        let waited = matches!(draft.before.phase, Some(Phase::Pending | Phase::Suspended));
        return if waited { millis_between(draft.run.created_at, draft.now) } else { 0 };
    };
    let attempt = last.attempts.last().map(|last| later(last.started_at.0, last.millis.unwrap_or(0)));
    // A stage that waited for answers in vain ended long after its last attempt.
    let given_up = last.questionnaire.as_ref().and(last.completed_at.as_ref()).map(|at| at.0);
    let ended = last.targets.as_ref().map(|targets| targets.accounted_until.0).or(given_up).or(attempt);
    ended.map_or(0, |ended| millis_between(ended, draft.now))
}
