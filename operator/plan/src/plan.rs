//! The driver: what to do next for one run.

use crate::{
    attempts, catch, conclude, decide,
    events::{EventNote, EventReason},
    fan_out, finish,
    observed::{JobView, Observed, RevisionView, Run},
    open, questions, shed, summary,
    timing::{later, millis_between, resume_clock},
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use std::time::Duration;
use trackway_crds::{
    contracts::{Assignment, ErrorClass, Question, Revision, StageResult},
    names,
    status::{AttemptStatus, BatchRunStatus, Failure, MAX_MESSAGE_BYTES, Phase, StagePhase},
    text,
};

/// How long a run that waits for its Track may wait, when no revision says otherwise.
pub(crate) const DEFAULT_DEADLINE_MILLIS: u64 = 168 * 3600 * 1000;
/// The longest a run is left alone: a net under lost watch events.
const NET_MILLIS: u64 = 300_000;
/// A pod that had its say ends by itself well before this, counted from the run's end. One that goes on was taken for another.
const LINGER_MILLIS: u64 = 60_000;

/// What to do, in the order of the fields. See the crate's documentation.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// A Job to create suspended. When present, everything but `why` and `ignored` is empty: plan again with the Job seen.
    pub create: Option<JobIntent>,
    /// A questionnaire that must be there before the status waits for it. Refused for good: plan again with the refusal.
    pub ask: Option<Asking>,
    /// The status to write, fenced by the resourceVersion it was computed from.
    pub status: Option<BatchRunStatus>,
    /// What is safe once the status is written.
    pub after: Vec<After>,
    /// Events to publish once the status is written.
    pub events: Vec<EventNote>,
    /// When to look again at the latest; `None` for a finished run of which nothing works on.
    pub requeue: Option<Duration>,
    /// Why, a sentence for each thing done or waited for.
    pub why: Vec<String>,
    /// Results that did not count.
    pub ignored: Vec<IgnoredResult>,
}

/// A questionnaire that the run's tenant is to answer, to create or, where another run has asked the same, to join.
#[derive(Clone, Debug, PartialEq)]
pub struct Asking {
    /// Its name, a function of tenant, subject and questions.
    pub name: String,
    /// What is asked.
    pub questions: Vec<Question>,
    /// It is open until then at least.
    pub expires_at: Timestamp,
}

/// A Job to create, suspended.
#[derive(Clone, Debug, PartialEq)]
pub struct JobIntent {
    /// Its name, a function of (run uid, stage, attempt, try), or of (run uid, stage, wave, try).
    pub name: String,
    /// What its pod is told.
    pub assignment: Assignment,
}

/// An act on a Job that a status names, by uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// Unsuspend it.
    Release {
        /// Name of the Job.
        name: String,
        /// Uid it must have.
        uid: String,
    },
    /// Delete it and its pods.
    Delete {
        /// Name of the Job.
        name: String,
        /// Uid it must have.
        uid: String,
    },
}

/// A result that did not count, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct IgnoredResult {
    /// Why.
    pub reason: Ignored,
    /// The result.
    pub result: StageResult,
}

/// Why a result did not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ignored {
    /// Not for the open (stage, attempt, try) of this run.
    NotOpen,
    /// From a pod that was not seen under the recorded Job.
    UnknownPod,
}

/// A plan in the making.
pub(crate) struct Draft<'a> {
    pub(crate) run: &'a Run<'a>,
    pub(crate) observed: &'a Observed,
    pub(crate) now: Timestamp,
    pub(crate) before: &'a BatchRunStatus,
    pub(crate) status: BatchRunStatus,
    pub(crate) out: Plan,
    pub(crate) wake_at: Vec<Timestamp>,
    look_again_at: Option<Timestamp>,
}

/// What to do next for one run. Pure: the same arguments give the same plan. `now` is cut to microseconds, as the API stores it.
#[must_use]
pub fn plan(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    let now = Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now);
    let mut draft = Draft {
        run,
        observed,
        now,
        before: status,
        status: status.clone(),
        out: Plan::default(),
        wake_at: Vec::new(),
        look_again_at: None,
    };
    if status.phase.is_some_and(Phase::is_finished) {
        draft.delete_active_jobs();
        draft.out.requeue = draft.finished_requeue();
        return draft.out;
    }
    draft.status.observed_generation = run.generation;
    match &observed.revision {
        RevisionView::Available { name, revision } => advance(&mut draft, name, revision),
        RevisionView::Waiting { .. } if draft.is_diagnosing() => catch::wait(&mut draft),
        RevisionView::Waiting { reason, message } => wait_for_track(&mut draft, reason, message),
        RevisionView::Lost { name } => {
            let message = format!("ConfigMap {name}, the revision this run started with, is gone; start the batch again");
            if draft.is_diagnosing() {
                catch::give_up(&mut draft, "RevisionMissing", &message);
            } else {
                draft.fail(None, ErrorClass::Permanent, "RevisionMissing", &message);
            }
            let total = summary::total(status).unwrap_or(status.stages.len());
            draft.status.summary = Some(summary::summarize(&draft.status, total));
        }
    }
    draft.into_plan()
}

fn advance(draft: &mut Draft<'_>, name: &str, revision: &Revision) {
    draft.status.revision.get_or_insert_with(|| name.to_owned());
    if draft.is_diagnosing() {
        catch::diagnose(draft, revision);
    } else if draft.run.spec.cancel {
        finish::cancel(draft);
    } else if let Some((reason, message)) = draft.missed_deadline(revision) {
        let stage = attempts::running(&draft.status.stages).map(|index| draft.status.stages[index].name.clone());
        draft.fail(stage, ErrorClass::Permanent, reason, &message);
    } else {
        work(draft, revision);
    }
    draft.status.summary = Some(summary::summarize(&draft.status, revision.stages.len()));
}

/// Concludes what is open and opens what comes next.
fn work(draft: &mut Draft<'_>, revision: &Revision) {
    if fan_out::is_open(&draft.status) {
        fan_out::advance(draft, revision);
    } else if let Some(outcome) = conclude::open_try(draft, revision) {
        decide::decide(draft, revision, outcome);
    } else {
        questions::conclude(draft, revision);
    }
    if !draft.has_ended() && !fan_out::is_open(&draft.status) {
        open::next_try(draft, revision);
    }
}

fn wait_for_track(draft: &mut Draft<'_>, reason: &str, message: &str) {
    let deadline = later(draft.run.created_at, DEFAULT_DEADLINE_MILLIS);
    if draft.run.spec.cancel {
        finish::cancel(draft);
    } else if draft.now >= deadline {
        draft.fail(
            None,
            ErrorClass::Permanent,
            "DeadlineExceeded",
            &format!("the run waited for its Track until its deadline: {message}"),
        );
    } else {
        draft.wake_at.push(deadline);
        draft.out.why.push(format!("waits for Track {}: {message}", draft.run.spec.track_ref.name));
        draft.enter(Phase::Pending, reason, message);
    }
}

/// Whether a Job's pod had its say, so that it ends by itself and its log may be kept; or from when on that is certain.
fn has_reported(status: &BatchRunStatus, job: &JobView, now: Timestamp) -> Result<bool, Timestamp> {
    if job.wave.is_some() { fan_out::has_reported(status, job, now) } else { Ok(try_has_reported(status, job)) }
}

fn try_has_reported(status: &BatchRunStatus, job: &JobView) -> bool {
    let started = job.pods.iter().any(|pod| pod.started);
    if status.catch.as_ref().is_some_and(|catch| catch.job_uid.as_ref() == Some(&job.uid)) {
        return status.diagnosis.is_some() || (started && catch::has_failed(status));
    }
    let ended = status.stages.iter().filter(|stage| matches!(stage.phase, StagePhase::Succeeded | StagePhase::Failed));
    let mut tries = ended.flat_map(|stage| &stage.attempts).filter(|attempt| attempt.job_uid.as_ref() == Some(&job.uid));
    // A verdict may be heard of before the pod is seen to have started; an error may be the pod's that never did.
    let said = |attempt: &AttemptStatus| {
        let failed = attempt.error.as_ref().is_some_and(|error| error.class != ErrorClass::Infrastructure);
        attempt.verdict.is_some() || (started && failed)
    };
    tries.any(said)
}

impl<'a> Draft<'a> {
    pub(crate) fn is_finished(&self) -> bool {
        self.status.phase.is_some_and(Phase::is_finished)
    }

    pub(crate) fn is_diagnosing(&self) -> bool {
        self.status.phase == Some(Phase::Diagnosing)
    }

    /// What the run executes, where it is known.
    pub(crate) fn revision(&self) -> Option<&'a Revision> {
        match &self.observed.revision {
            RevisionView::Available { revision, .. } => Some(revision),
            RevisionView::Waiting { .. } | RevisionView::Lost { .. } => None,
        }
    }

    /// Whether no stage will be worked on any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.is_finished() || self.is_diagnosing()
    }

    /// Releases a Job whose uid is recorded and that is suspended all the same.
    pub(crate) fn release_again(&mut self, job: &JobView) {
        self.out.why.push(format!("releases Job {}, whose uid is recorded", job.name));
        self.out.after.push(After::Release { name: job.name.clone(), uid: job.uid.clone() });
    }

    /// Enters or stays in a phase that is not the last.
    pub(crate) fn enter(&mut self, phase: Phase, reason: &str, message: &str) {
        self.status.phase = Some(phase);
        crate::conditions::follow_phase(&mut self.status, reason, message, self.now);
    }

    pub(crate) fn event(&mut self, reason: EventReason, action: impl Into<String>, note: impl Into<String>) {
        self.out.events.push(EventNote::new(reason, action, note));
    }

    /// Ends the run as Failed, without a debugger.
    pub(crate) fn fail(&mut self, stage: Option<String>, class: ErrorClass, reason: &str, message: &str) {
        self.out.why.push(format!("the run failed: {reason}: {message}"));
        self.write_failure(stage, None, class, reason, message);
        finish::fail(self);
    }

    /// Writes down why the run will end as Failed.
    pub(crate) fn write_failure(
        &mut self,
        stage: Option<String>,
        target: Option<String>,
        class: ErrorClass,
        reason: &str,
        message: &str,
    ) {
        let message = text::cut(message, MAX_MESSAGE_BYTES);
        let at = MicroTime(self.now);
        self.status.failure = Some(Failure { stage, target, class, reason: reason.to_owned(), message, at });
    }

    fn missed_deadline(&mut self, revision: &Revision) -> Option<(&'static str, String)> {
        let whole = later(self.run.created_at, revision.limits.deadline_millis);
        self.wake_at.push(whole);
        if self.now >= whole {
            let limit = trackway_crds::duration::for_people(revision.limits.deadline_millis);
            return Some(("DeadlineExceeded", format!("not finished {limit} after its creation (limits.deadline)")));
        }
        let active = self.status.deadline_at.as_ref()?.0;
        if self.now >= active {
            let limit = trackway_crds::duration::for_people(revision.limits.active_deadline_millis);
            return Some(("ActiveDeadlineExceeded", format!("not finished after {limit} of work (limits.activeDeadline)")));
        }
        None
    }

    pub(crate) fn keep_active(&mut self, revision: &Revision) {
        resume_clock(&mut self.status, revision.limits.active_deadline_millis, self.now);
        if let Some(deadline) = &self.status.deadline_at {
            self.wake_at.push(deadline.0);
        }
    }

    /// Stops whatever a finished run still has in flight.
    pub(crate) fn delete_active_jobs(&mut self) {
        for job in self.observed.jobs.iter().filter(|job| job.is_active()) {
            match has_reported(&self.status, job, self.now) {
                Ok(true) => self.let_linger(job),
                Ok(false) => self.delete(job),
                Err(certain) => self.look_again(certain),
            }
        }
    }

    /// A Job whose pods had their say is left to end by itself, so that their logs are kept; not for ever.
    fn let_linger(&mut self, job: &JobView) {
        let Some(ended) = self.status.completed_at.as_ref().map(|at| at.0) else { return };
        let until = later(ended, LINGER_MILLIS);
        if self.now < until { self.look_again(until) } else { self.delete(job) }
    }

    fn look_again(&mut self, at: Timestamp) {
        self.look_again_at = Some(self.look_again_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Deletes a Job, unless this plan does so already.
    pub(crate) fn delete(&mut self, job: &JobView) {
        let deletion = After::Delete { name: job.name.clone(), uid: job.uid.clone() };
        if !self.out.after.contains(&deletion) {
            self.out.after.push(deletion);
        }
    }

    /// Stops what never started of tries before `try_`: a crash may have come between giving a try up and deleting its Job. Numbers
    /// only grow, so a try that any status has left behind stays behind, however old that status is.
    pub(crate) fn delete_given_up_jobs(&mut self, stage: &str, attempt: u32, try_: u32) {
        let named = |job: &JobView, try_| job.name == names::job_name(self.run.name, self.run.uid, stage, attempt, try_);
        let waits = |job: &JobView| job.is_active() && !job.pods.iter().any(|pod| pod.started);
        let given_up = |job: &&JobView| waits(job) && (1..try_).any(|earlier| named(job, earlier));
        self.observed.jobs.iter().filter(given_up).for_each(|job| self.delete(job));
    }

    fn into_plan(mut self) -> Plan {
        if self.out.create.is_none() {
            shed::shed(&mut self.status);
            if self.status != *self.before {
                self.out.status = Some(self.status.clone());
            }
        } else {
            self.out.ask = None;
            self.out.events.clear();
            self.out.after.clear();
        }
        if !self.is_finished() {
            let net = later(self.now, NET_MILLIS);
            let wake = self.wake_at.iter().copied().fold(net, Timestamp::min);
            self.out.requeue = Some(Duration::from_millis(millis_between(self.now, wake).max(1)));
        } else {
            self.out.requeue = self.finished_requeue();
        }
        self.out
    }

    /// A finished run is looked at again only while it is not certain that nothing of it works on.
    fn finished_requeue(&self) -> Option<Duration> {
        self.look_again_at.map(|at| Duration::from_millis(millis_between(self.now, at).max(1)))
    }
}
