//! What happens after a stage has failed for good: a model looks why, in a Job like any other, until it answered or its time is up.
//! The run is Failed by then whatever the debugger does (invariant 11).

use crate::{
    assignment::assignment,
    conclude::{self, OpenTry, Outcome},
    conditions,
    decide::REFUSED_PAUSE_MILLIS,
    events::EventReason,
    finish,
    open::REFUSED,
    plan::{After, Draft, JobIntent},
    timing::{later, pause_clock},
    tokens,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use trackway_crds::{
    contracts::{
        Diagnosis, ErrorClass, FailedTarget, FailureAssignment, MAX_CAUSE_BYTES, MAX_CONTINUATION_BYTES, MAX_EVIDENCE,
        ResolvedDebugger, ResultError, ResultPhase, Revision, StageResult,
    },
    duration::for_people,
    ledger::Ledger,
    names,
    status::{BatchRunStatus, CatchStatus, MAX_MESSAGE_BYTES, Phase, StageStatus, TryError},
    text,
};

/// Tries of the debugger.
const MAX_TRIES: u32 = 5;
/// Pause after its first failure; each further one is twice as long.
const FIRST_PAUSE_MILLIS: u64 = 1_000;
/// The debugger's time is up.
const TIMED_OUT: &str = "DebuggerTimedOut";
/// It cannot answer.
const FAILED: &str = "DebuggerFailed";

/// A stage has failed for good; `status.failure` says why.
pub(crate) fn begin(draft: &mut Draft<'_>, revision: &Revision, debugger: &ResolvedDebugger) {
    let deadline = later(draft.now, debugger.timeout_millis);
    draft.status.catch = Some(CatchStatus {
        started_at: MicroTime(draft.now),
        deadline_at: MicroTime(deadline),
        try_: 1,
        job_uid: None,
        try_started_at: None,
        not_before: None,
        error: None,
        tokens: 0,
    });
    let stage = draft.status.failure.as_ref().and_then(|failure| failure.stage.as_deref()).unwrap_or("a stage");
    let limit = for_people(debugger.timeout_millis);
    let message = format!("{stage} has failed; the debugger looks why, for at most {limit}");
    draft.out.why.push(message.clone());
    pause_clock(&mut draft.status, revision.limits.active_deadline_millis, draft.now);
    draft.delete_active_jobs();
    draft.wake_at.extend([draft.now, deadline]);
    draft.enter(Phase::Diagnosing, "Diagnosing", &message);
}

/// Brings a run that is Diagnosing one step further.
pub(crate) fn diagnose(draft: &mut Draft<'_>, revision: &Revision) {
    if draft.run.spec.cancel {
        return give_up(draft, "Cancelled", "spec.cancel was set before the debugger answered");
    }
    if let Some(outcome) = outcome(draft, revision) {
        conclude(draft, outcome);
    }
    if !draft.is_finished() {
        in_time(draft, later(draft.run.created_at, revision.limits.deadline_millis));
    }
    if !draft.is_finished() {
        next_try(draft, revision);
    }
}

/// Nothing is known of the revision for now.
pub(crate) fn wait(draft: &mut Draft<'_>) {
    if draft.run.spec.cancel {
        return give_up(draft, "Cancelled", "spec.cancel was set before the debugger answered");
    }
    in_time(draft, Timestamp::MAX);
}

/// Ends the run as Failed, without a diagnosis.
pub(crate) fn give_up(draft: &mut Draft<'_>, reason: &str, message: &str) {
    draft.out.why.push(format!("no diagnosis: {reason}: {message}"));
    conditions::diagnosed(&mut draft.status, false, reason, message, draft.now);
    finish::fail(draft);
}

/// Whether the last try of the debugger said that it cannot answer.
pub(crate) fn has_failed(status: &BatchRunStatus) -> bool {
    let said = status.catch.as_ref().and_then(|catch| catch.error.as_ref());
    let last = status.conditions.iter().any(|condition| condition.type_ == "Diagnosed" && condition.reason == FAILED);
    last && said.is_some_and(|error| error.class != ErrorClass::Infrastructure)
}

/// Gives up at the catch's deadline or at `whole`, whichever comes first.
fn in_time(draft: &mut Draft<'_>, whole: Timestamp) {
    let Some(catch) = draft.status.catch.as_ref() else {
        return give_up(draft, FAILED, "the status does not say until when the debugger may look");
    };
    let deadline = catch.deadline_at.0.min(whole);
    draft.wake_at.push(deadline);
    if draft.now < deadline {
        return;
    }
    let last = catch.error.as_ref().map(|error| format!("; last: {}: {}", error.reason, error.message)).unwrap_or_default();
    let limit =
        if whole < catch.deadline_at.0 { "the run's deadline (limits.deadline)" } else { "its timeout (catch.debugger.timeout)" };
    let message = format!("no answer by {limit}{last}");
    give_up(draft, TIMED_OUT, &message);
}

fn outcome(draft: &mut Draft<'_>, revision: &Revision) -> Option<Outcome> {
    let catch = draft.status.catch.as_ref()?;
    let open = OpenTry {
        stage: names::DEBUGGER.into(),
        attempt: 1,
        try_: catch.try_,
        job_uid: catch.job_uid.clone()?,
        started_at: catch.try_started_at.as_ref()?.0,
    };
    conclude::outcome(draft, revision, &open)
}

fn conclude(draft: &mut Draft<'_>, outcome: Outcome) {
    let error = match outcome {
        Outcome::Lost(error) => error,
        Outcome::Reported { result, .. } => {
            if let Some(catch) = draft.status.catch.as_mut() {
                catch.tokens = catch.tokens.saturating_add(result.tokens.total());
            }
            match answer(*result) {
                Ok(diagnosis) => return diagnosed(draft, diagnosis),
                Err(error) => error,
            }
        }
    };
    try_again(draft, error);
}

fn answer(result: StageResult) -> Result<Diagnosis, ResultError> {
    let error = |class: ErrorClass, reason: &str, message: &str| ResultError {
        class,
        reason: reason.into(),
        message: message.into(),
        retry_after_millis: None,
    };
    match (result.phase, result.diagnosis, result.error) {
        (ResultPhase::Error, _, Some(said)) => Err(said),
        (ResultPhase::Error, _, None) => {
            Err(error(ErrorClass::Infrastructure, "NoReason", "the worker reported an error without saying which"))
        }
        (_, Some(diagnosis), _) => Ok(bounded(diagnosis)),
        (_, None, _) => Err(error(ErrorClass::Model, "NoDiagnosis", "the worker reported success without a diagnosis")),
    }
}

fn bounded(diagnosis: Diagnosis) -> Diagnosis {
    let mut evidence = diagnosis.evidence;
    evidence.truncate(MAX_EVIDENCE);
    evidence.iter_mut().for_each(|evidence| evidence.piece = text::cut(&evidence.piece, 64));
    Diagnosis {
        root_cause: text::cut(&diagnosis.root_cause, MAX_CAUSE_BYTES),
        suggested_fix: text::cut(&diagnosis.suggested_fix, MAX_CAUSE_BYTES),
        continuation_prompt: text::cut(&diagnosis.continuation_prompt, MAX_CONTINUATION_BYTES),
        evidence,
        model: text::cut(&diagnosis.model, 128),
        ..diagnosis
    }
}

fn diagnosed(draft: &mut Draft<'_>, diagnosis: Diagnosis) {
    let found = u32::try_from(diagnosis.evidence.len()).unwrap_or(u32::MAX);
    let all = found.saturating_add(diagnosis.dropped_evidence);
    let message = format!("{found} of {all} quotes found in their pieces");
    let stage = draft.status.failure.as_ref().and_then(|failure| failure.stage.clone()).unwrap_or_default();
    let note = format!("{stage}: diagnosed with confidence {}; {message}", diagnosis.confidence);
    draft.out.why.push(note.clone());
    draft.event(EventReason::Diagnosed, stage, note);
    draft.status.diagnosis = Some(diagnosis);
    if let Some(catch) = draft.status.catch.as_mut() {
        catch.error = None;
    }
    conditions::diagnosed(&mut draft.status, true, "DebuggerAnswered", &message, draft.now);
    finish::fail(draft);
}

fn try_again(draft: &mut Draft<'_>, error: ResultError) {
    let now = draft.now;
    let Some(catch) = draft.status.catch.as_mut() else { return };
    let ResultError { class, reason, message, retry_after_millis } = error;
    let (reason, message) = (text::cut(&reason, 64), text::cut(&message, MAX_MESSAGE_BYTES));
    catch.error = Some(TryError { class, reason: reason.clone(), message: message.clone() });
    let tried = catch.try_;
    if class == ErrorClass::Permanent || tried >= MAX_TRIES {
        let message = format!("try {tried} of {MAX_TRIES}: {reason}: {message}");
        return give_up(draft, FAILED, &message);
    }
    let pause = (FIRST_PAUSE_MILLIS << tried.saturating_sub(1).min(16)).max(retry_after_millis.unwrap_or(0));
    catch.try_ += 1;
    (catch.job_uid, catch.try_started_at) = (None, None);
    catch.not_before = Some(MicroTime(later(now, pause)));
    let pause = for_people(pause);
    draft
        .out
        .why
        .push(format!("debugger, try {tried} of {MAX_TRIES}: {} error {reason}; next try in {pause}: {message}", class.as_str()));
}

fn next_try(draft: &mut Draft<'_>, revision: &Revision) {
    let Some(catch) = draft.status.catch.clone() else { return };
    draft.delete_given_up_jobs(names::DEBUGGER, 1, catch.try_);
    if catch.job_uid.is_some() {
        return;
    }
    if let Some(at) = catch.not_before.as_ref().map(|at| at.0).filter(|at| draft.now < *at) {
        return draft.wake_at.push(at);
    }
    if tokens::exhausted(&draft.status, revision) {
        let message = "no tokens are left for the debugger (limits.tokens)";
        return give_up(draft, FAILED, message);
    }
    let mut try_ = catch.try_;
    while try_ <= MAX_TRIES {
        let name = names::job_name(draft.run.name, draft.run.uid, names::DEBUGGER, 1, try_);
        match draft.observed.jobs.iter().find(|job| job.name == name) {
            Some(job) if job.can_be_adopted(draft.status.revision.as_deref()) => {
                let uid = job.uid.clone();
                return record(draft, revision, try_, name, uid);
            }
            // Someone else's: its name is spent.
            Some(_) => try_ += 1,
            None => return create(draft, revision, try_, name),
        }
    }
    give_up(draft, FAILED, "the names of its Jobs are taken by others");
}

fn create(draft: &mut Draft<'_>, revision: &Revision, try_: u32, name: String) {
    if let Some(refusal) = draft.observed.refusal.as_ref().filter(|refusal| refusal.name == name) {
        let message = format!("the API server refused Job {name}: {}", refusal.message);
        return refused(draft, try_, &message);
    }
    draft.out.why.push(format!("creates Job {name} for the debugger, try {try_}"));
    let mut assignment = assignment(draft, revision, (names::DEBUGGER, 1, try_), 1);
    assignment.failure = failure(draft);
    draft.out.create = Some(JobIntent { name, assignment });
}

/// A refused Job costs no try: it is asked for again, until the debugger's time is up.
fn refused(draft: &mut Draft<'_>, try_: u32, message: &str) {
    let again = later(draft.now, REFUSED_PAUSE_MILLIS);
    draft.wake_at.push(again);
    draft.out.why.push(format!("{message}; asks again in {}", for_people(REFUSED_PAUSE_MILLIS)));
    let Some(catch) = draft.status.catch.as_mut() else { return };
    let message = text::cut(message, MAX_MESSAGE_BYTES);
    catch.try_ = try_;
    catch.not_before = Some(MicroTime(again));
    catch.error = Some(TryError { class: ErrorClass::Infrastructure, reason: REFUSED.into(), message });
}

fn record(draft: &mut Draft<'_>, revision: &Revision, try_: u32, name: String, uid: String) {
    let now = draft.now;
    let Some(catch) = draft.status.catch.as_mut() else { return };
    catch.try_ = try_;
    catch.job_uid = Some(uid.clone());
    catch.try_started_at = Some(MicroTime(now));
    catch.not_before = None;
    // It was only refused for a while.
    catch.error.take_if(|error| error.reason == REFUSED);
    draft.out.why.push(format!("records and releases Job {name}"));
    draft.out.after.push(After::Release { name, uid });
    draft.wake_at.push(later(now, revision.limits.start_timeout_millis));
}

/// What the debugger is asked to explain.
fn failure(draft: &Draft<'_>) -> Option<FailureAssignment> {
    let failure = draft.status.failure.as_ref()?;
    let name = failure.stage.clone().unwrap_or_default();
    let stage = draft.status.stages.iter().find(|stage| stage.name == name);
    let target = stage.zip(failure.target.as_ref()).and_then(|(stage, key)| target(stage, key));
    let last = stage.and_then(|stage| stage.attempts.last()).map_or(0, |last| last.attempt);
    let records = stage.map(|stage| stage.attempts.iter().filter_map(|attempt| attempt.record.clone()).collect());
    Some(FailureAssignment {
        stage: name,
        attempts: target.as_ref().map_or(last, |(_, attempt)| *attempt),
        target: target.map(|(target, _)| target),
        class: failure.class,
        reason: failure.reason.clone(),
        message: failure.message.clone(),
        records: records.unwrap_or_default(),
    })
}

/// The target called `key` that failed, and the attempt it ended with.
fn target(stage: &StageStatus, key: &str) -> Option<(FailedTarget, u32)> {
    let targets = stage.targets.as_ref()?;
    let told = targets.worst.iter().find(|worst| worst.key == key && worst.error.is_some());
    let index = told.map_or_else(|| key.parse().ok(), |told| Some(told.index))?;
    let ledger = Ledger::decode(&targets.ledger).ok()?;
    let attempt = ledger.0.get(usize::try_from(index).ok()?)?.attempt;
    Some((FailedTarget { index, key: key.to_owned() }, attempt))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_pauses_between_all_tries_fit_the_shortest_sensible_timeout() {
        let pauses: u64 = (1..super::MAX_TRIES).map(|tried| super::FIRST_PAUSE_MILLIS << (tried - 1)).sum();
        assert_eq!(pauses, 15_000);
    }
}
