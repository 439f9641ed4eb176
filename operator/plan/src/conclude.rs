//! Has the open try ended, and how? A result counts only for the open (attempt, try) and only from a pod seen under the recorded
//! Job; a missing result counts as lost only when the stream could be asked.

use crate::{
    attempts,
    observed::{ArrivedResult, Finished, JobView, PodView, Waiting},
    plan::{Draft, Ignored, IgnoredResult},
    timing::later,
};
use jiff::Timestamp;
use trackway_crds::contracts::{ErrorClass, ResultError, Revision, StageResult};

/// Waiting reasons that no waiting mends, because somebody has to change something.
const HOPELESS: [&str; 2] = ["CreateContainerConfigError", "InvalidImageName"];
/// A Secret applied just after its Track is not a mistake.
const HOPELESS_AFTER_MILLIS: u64 = 10_000;

/// How the open try ended.
pub(crate) enum Outcome {
    /// The worker reported.
    Reported {
        /// What it said.
        result: Box<StageResult>,
        /// When it arrived.
        arrived_at: Timestamp,
    },
    /// It never will.
    Lost(ResultError),
}

/// A try whose Job is recorded and whose outcome is not.
pub(crate) struct OpenTry {
    /// Its stage, or the debugger.
    pub(crate) stage: String,
    /// Attempt, from 1.
    pub(crate) attempt: u32,
    /// Try, from 1.
    pub(crate) try_: u32,
    /// Its Job.
    pub(crate) job_uid: String,
    /// When that was recorded.
    pub(crate) started_at: Timestamp,
}

/// The outcome of the running stage's open try, or `None` while it runs or when none is open.
pub(crate) fn open_try(draft: &mut Draft<'_>, revision: &Revision) -> Option<Outcome> {
    let stage = &draft.status.stages[attempts::running(&draft.status.stages)?];
    let attempt = attempts::in_work(stage)?;
    let open = OpenTry {
        stage: stage.name.clone(),
        attempt: attempt.attempt,
        try_: attempt.try_,
        job_uid: attempt.job_uid.clone()?,
        started_at: attempt.started_at.0,
    };
    outcome(draft, revision, &open)
}

/// The outcome of `open`, or `None` while it runs.
pub(crate) fn outcome(draft: &mut Draft<'_>, revision: &Revision, open: &OpenTry) -> Option<Outcome> {
    let Some(job) = draft.observed.job(&open.job_uid) else {
        return lost_unless_unknown(draft, "JobLost", "its Job is gone; it was deleted by someone else".into());
    };
    if let Some(arrived) = accepted(draft, open, job) {
        return Some(Outcome::Reported { result: Box::new(arrived.result), arrived_at: arrived.arrived_at });
    }
    if let Some(mut ended) = ended(job) {
        if job.pods.iter().flat_map(|pod| &pod.results).any(|result| is_of(result, draft, open) && result.lacks_questions()) {
            ended = ("QuestionsMissing", "its pod found gaps, and the stream has no questions about them".into());
        }
        let lost = lost_unless_unknown(draft, ended.0, ended.1);
        // Not before the stream was asked: a result counts only while its pod is seen under the Job.
        if lost.is_some() && job.ended.is_none() {
            draft.delete(job);
        }
        return lost;
    }
    not_started(draft, revision, open, job)
}

fn lost_unless_unknown(draft: &mut Draft<'_>, reason: &str, message: String) -> Option<Outcome> {
    unless_unknown(draft, lost(ErrorClass::Infrastructure, reason, message)).map(Outcome::Lost)
}

/// `error`, unless the stream is away: then a missing result proves nothing.
fn unless_unknown(draft: &mut Draft<'_>, error: ResultError) -> Option<ResultError> {
    if draft.observed.results_known {
        return Some(error);
    }
    draft.wake_at.push(later(draft.now, 1_000));
    draft.out.why.push(format!("{}; waits for the stream before calling the try lost", error.message));
    None
}

pub(crate) fn lost(class: ErrorClass, reason: &str, message: String) -> ResultError {
    ResultError { class, reason: reason.to_owned(), message, retry_after_millis: None }
}

fn accepted(draft: &mut Draft<'_>, open: &OpenTry, job: &JobView) -> Option<ArrivedResult> {
    // A pod's last words have no room for questions: those that ask count only where the questions are.
    let asks = draft.revision().and_then(|revision| revision.stage(&open.stage)).is_some_and(|stage| stage.asks().is_some());
    let from_pods = job.pods.iter().flat_map(|pod| &pod.results);
    let from_pods = from_pods.filter(|result| !(asks && result.lacks_questions())).cloned();
    let from_pods = from_pods.map(|result| ArrivedResult { result, arrived_at: draft.now });
    let arrived: Vec<_> = draft.observed.results.iter().cloned().chain(from_pods).collect();
    for candidate in arrived {
        let result = &candidate.result;
        if !is_of(result, draft, open) {
            draft.out.ignored.push(IgnoredResult { reason: Ignored::NotOpen, result: candidate.result });
        } else if !job.pods.iter().any(|pod| pod.uid == result.pod) {
            draft.wake_at.push(later(draft.now, 200));
            draft.out.ignored.push(IgnoredResult { reason: Ignored::UnknownPod, result: candidate.result });
        } else {
            return Some(candidate);
        }
    }
    None
}

fn is_of(result: &StageResult, draft: &Draft<'_>, open: &OpenTry) -> bool {
    let is_open = result.stage == open.stage && (result.attempt, result.try_) == (open.attempt, open.try_);
    is_open && result.run == draft.run.uid && result.index == 0
}

fn ended(job: &JobView) -> Option<(&'static str, String)> {
    if let Some(pod) = job.pods.iter().find_map(|pod| pod.finished.as_ref()) {
        return Some(pod_ended(pod));
    }
    job.ended.as_ref().map(job_ended)
}

/// What it means that a pod ended without a result.
pub(crate) fn pod_ended(pod: &Finished) -> (&'static str, String) {
    let reason = if pod.ok { "NoResult" } else { "PodFailed" };
    let message = if pod.ok {
        "its pod ended well but reported nothing".to_owned()
    } else {
        format!("its pod ended: {} {}", pod.reason, pod.message)
    };
    (reason, message.trim_end().to_owned())
}

/// What it means that a Job ended without a result and without a pod that tells why.
pub(crate) fn job_ended(job: &Finished) -> (&'static str, String) {
    ("PodLost", format!("its pod was lost: {} {}", job.reason, job.message).trim_end().to_owned())
}

/// Whose failure it is when a pod does not start for `waiting`, and how many milliseconds it has.
pub(crate) fn start_limit(revision: &Revision, waiting: &Waiting) -> (ErrorClass, u64) {
    if HOPELESS.contains(&waiting.reason.as_str()) {
        (ErrorClass::Permanent, HOPELESS_AFTER_MILLIS)
    } else {
        (ErrorClass::Infrastructure, revision.limits.start_timeout_millis)
    }
}

/// A pod that did not start within `limit` milliseconds.
pub(crate) fn never_started(waiting: &Waiting, class: ErrorClass, limit: u64) -> ResultError {
    let limit = trackway_crds::duration::for_people(limit);
    let reason = if waiting.reason.is_empty() { "StartTimeout" } else { waiting.reason.as_str() };
    let detail = match (waiting.reason.is_empty(), waiting.message.is_empty()) {
        (_, false) => waiting.message.as_str(),
        (true, true) => "no pod was made",
        (false, true) => "its node says no more than that",
    };
    lost(class, reason, format!("its pod did not start within {limit}: {detail}"))
}

fn not_started(draft: &mut Draft<'_>, revision: &Revision, open: &OpenTry, job: &JobView) -> Option<Outcome> {
    if job.pods.iter().any(|pod| pod.started) {
        draft.out.why.push(format!("waits for the result of attempt {} try {}", open.attempt, open.try_));
        return None;
    }
    let waiting = job.pods.iter().find_map(|PodView { waiting, .. }| waiting.clone()).unwrap_or_default();
    let (class, limit) = start_limit(revision, &waiting);
    let at = later(open.started_at, limit);
    if draft.now < at {
        draft.wake_at.push(at);
        if job.suspended {
            draft.release_again(job);
            return None;
        }
        draft.out.why.push(format!("waits for the pod of Job {} to start", job.name));
        return None;
    }
    // It may have started a moment ago and have been heard of where nobody can listen now.
    let lost = unless_unknown(draft, never_started(&waiting, class, limit));
    if lost.is_some() {
        draft.delete(job);
    }
    lost.map(Outcome::Lost)
}
