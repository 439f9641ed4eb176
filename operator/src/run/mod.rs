//! One reconcile of one BatchRun: observe → plan → check → apply → report.

mod apply;
mod heard;
mod job;
mod memory;
mod observe;
mod open;
mod report;
mod results;
#[cfg(test)]
mod stories;
mod view;

pub(crate) use memory::Memory;

use crate::{
    args::Args,
    metrics::Metrics,
    questionnaire::{self, AskError},
    revisions::Revisions,
};
use apply::{ApplyError, Created};
use jiff::Timestamp;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Pod},
};
use kube::{
    Api, ResourceExt,
    runtime::{controller::Action, events::Recorder, reflector::Store},
};
use observe::ObserveError;
use std::{sync::Arc, time::Duration};
use trackway_crds::{BatchRun, Questionnaire, Track, status::Phase};
use trackway_nats::Nats;
use trackway_plan::{Fault, Observed, Plan, Run, check, plan};

/// A run wants at most: the Jobs of eight waves, their record, and names that somebody else has used.
const ROUNDS: usize = 16;
/// Pause after a failed reconcile.
const RETRY: Duration = Duration::from_secs(2);
/// A lost race is looked at again at once: the fresh run is at hand.
const RETRY_CONFLICT: Duration = Duration::from_millis(20);

/// Everything a reconcile of one namespace needs.
pub(crate) struct Context {
    pub(crate) namespace: String,
    pub(crate) args: Args,
    pub(crate) nats: Nats,
    pub(crate) run_api: Api<BatchRun>,
    pub(crate) job_api: Api<Job>,
    pub(crate) config_maps: Api<ConfigMap>,
    pub(crate) questionnaires: Api<Questionnaire>,
    pub(crate) jobs: Store<Job>,
    pub(crate) pods: Store<Pod>,
    pub(crate) tracks: Store<Track>,
    pub(crate) revisions: Revisions,
    pub(crate) memory: Memory,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: Arc<Metrics>,
}

impl Context {
    /// Keeps a message from the stream of results, now.
    pub(crate) fn hear(&self, run_uid: &str, subject: &str, payload: &[u8]) {
        if !self.memory.hear(run_uid, subject, payload, Timestamp::now()) {
            Metrics::count(&self.metrics.ignored, "Unreadable");
        }
    }
}

/// Why a reconcile ended early, by step.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("observe: {0}")]
    Observe(#[from] ObserveError),
    #[error("check: {0}")]
    Check(Fault),
    #[error("apply: {0}")]
    Apply(#[from] ApplyError),
    #[error("ask: {0}")]
    Ask(#[from] AskError),
    #[error("the run has no uid")]
    NoUid,
    #[error("no end after {ROUNDS} rounds")]
    Rounds,
}

impl Error {
    fn step(&self) -> &'static str {
        match self {
            Self::Observe(_) => "observe",
            Self::Check(_) => "check",
            Self::Apply(_) => "apply",
            Self::Ask(_) => "ask",
            Self::NoUid | Self::Rounds => "reconcile",
        }
    }

    fn is_conflict(&self) -> bool {
        matches!(self, Self::Apply(ApplyError::Api(trackway_kubernetes::ApiError::Conflict { .. })))
    }
}

/// Brings one run one step further.
pub(crate) async fn reconcile(cached: Arc<BatchRun>, context: Arc<Context>) -> Result<Action, Error> {
    let uid = cached.uid().ok_or(Error::NoUid)?;
    if cached.metadata.deletion_timestamp.is_some() {
        context.memory.forget(&uid);
        return Ok(Action::await_change());
    }
    if cached.status.as_ref().and_then(|status| status.phase).is_some_and(Phase::is_finished) {
        // The cache has caught up with the last write.
        context.memory.forget(&uid);
    }
    let mut run = context.memory.newest_run(&uid, cached);
    let mut observed = observe::observe(&context, &run, &uid).await?;
    for _ in 0..ROUNDS {
        let next = planned(&run, &uid, &observed);
        if let Some(fault) = check(&of(&run, &uid), &run.status.clone().unwrap_or_default(), &observed, &next).into_iter().next()
        {
            Metrics::count(&context.metrics.faults, fault.invariant.to_string());
            return Err(Error::Check(fault));
        }
        report::ignored(&context, &uid, &next);
        if let Some(intent) = &next.create {
            let created = apply::create(&context, &run, &observed.revision, intent).await?;
            see(&context, &uid, &mut observed, created);
            continue;
        }
        if let Some(asking) = &next.ask
            && let Some(refusal) = questionnaire::ask(&context, &run, asking).await?
        {
            observed.refusal = Some(refusal);
            continue;
        }
        if let Some(status) = next.status.clone() {
            run = Arc::new(apply::write(&context, &run, &uid, status).await?);
        }
        apply::after(&context, &uid, &next.after).await?;
        report::done(&context, &run, &observed, &next);
        return Ok(next.requeue.map_or_else(Action::await_change, Action::requeue));
    }
    Err(Error::Rounds)
}

/// What to do after a reconcile that ended early.
pub(crate) fn error_policy(run: Arc<BatchRun>, error: &Error, context: Arc<Context>) -> Action {
    if error.is_conflict() {
        tracing::debug!(run = run.name_any(), %error, "lost a race, looks again");
        return Action::requeue(RETRY_CONFLICT);
    }
    tracing::warn!(run = run.name_any(), %error, "reconcile ended early, tries again");
    Metrics::count(&context.metrics.errors, error.step());
    Action::requeue(RETRY)
}

fn planned(run: &BatchRun, uid: &str, observed: &Observed) -> Plan {
    plan(&of(run, uid), &run.status.clone().unwrap_or_default(), observed, Timestamp::now())
}

/// The parts of a BatchRun a plan is made for.
fn of<'a>(run: &'a BatchRun, uid: &'a str) -> Run<'a> {
    Run {
        namespace: run.metadata.namespace.as_deref().unwrap_or_default(),
        name: run.metadata.name.as_deref().unwrap_or_default(),
        uid,
        generation: run.metadata.generation.unwrap_or_default(),
        created_at: run.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |at| at.0),
        spec: &run.spec,
    }
}

/// Adds what a creation brought to what was seen, for the next round.
fn see(context: &Context, uid: &str, observed: &mut Observed, created: Created) {
    match created {
        Created::Exists(job) => {
            observed.jobs.push(view::job(&job, uid, Vec::new()));
            context.memory.remember_job(uid, *job);
        }
        Created::Refused(refusal) => observed.refusal = Some(refusal),
    }
}
