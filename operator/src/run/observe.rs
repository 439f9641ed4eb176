//! Everything the planner needs to see of one run, from caches where they are new enough.

use super::{Context, view};
use crate::revisions::RevisionError;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use std::sync::Arc;
use trackway_crds::{
    BatchRun, BatchRunStatus,
    contracts::{CONTRACT, StageResult},
    names,
    status::{Phase, StagePhase},
};
use trackway_kubernetes::{ApiError, within};
use trackway_plan::{ArrivedResult, JobView, Observed, RevisionView};

/// Why a run could not be observed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObserveError {
    /// A read of the API server failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The stream refuses to be read; somebody has to change its permissions.
    #[error("results cannot be read: {0}")]
    Results(trackway_nats::NatsError),
}

/// The try whose Job is recorded and whose outcome is not.
struct OpenTry<'a> {
    stage: &'a str,
    attempt: u32,
    try_: u32,
    job_uid: &'a str,
}

/// Looks at everything about `run`.
pub(crate) async fn observe(context: &Context, run: &BatchRun, uid: &str) -> Result<Observed, ObserveError> {
    let status = run.status.clone().unwrap_or_default();
    let revision = revision(context, run, &status).await?;
    let open = open_try(&status);
    let jobs = jobs(context, run, uid, open.as_ref()).await?;
    let (results, results_known) = match &open {
        Some(open) if !status.phase.is_some_and(Phase::is_finished) => results(context, uid, open, &jobs).await?,
        _ => (Vec::new(), true),
    };
    Ok(Observed { revision, jobs, results, results_known, refusal: None })
}

fn open_try(status: &BatchRunStatus) -> Option<OpenTry<'_>> {
    let stage = status.stages.iter().find(|stage| stage.phase == StagePhase::Running)?;
    let attempt = stage.attempts.last().filter(|attempt| attempt.verdict.is_none())?;
    let job_uid = attempt.job_uid.as_deref()?;
    Some(OpenTry { stage: &stage.name, attempt: attempt.attempt, try_: attempt.try_, job_uid })
}

async fn revision(context: &Context, run: &BatchRun, status: &BatchRunStatus) -> Result<RevisionView, ApiError> {
    let name = match &status.revision {
        Some(pinned) => pinned.clone(),
        None => match offered(context, run) {
            Ok(name) => name,
            Err((reason, message)) => return Ok(RevisionView::Waiting { reason: reason.into(), message }),
        },
    };
    match context.revisions.get(&context.config_maps, &name).await {
        Ok(revision) => Ok(RevisionView::Available { name, revision }),
        Err(RevisionError::Api(error)) => Err(error),
        Err(RevisionError::Lost(_)) if status.revision.is_none() => {
            let message = format!("revision {name} of the Track is not readable yet");
            Ok(RevisionView::Waiting { reason: "TrackNotReady".into(), message })
        }
        Err(RevisionError::Lost(_)) => Ok(RevisionView::Lost { name }),
    }
}

/// The revision a run's Track offers to new runs.
fn offered(context: &Context, run: &BatchRun) -> Result<String, (&'static str, String)> {
    let name = &run.spec.track_ref.name;
    let track = context.tracks.get(&ObjectRef::new(name).within(&context.namespace));
    let track = track.ok_or_else(|| ("TrackMissing", format!("there is no Track {name} in namespace {}", context.namespace)))?;
    let status = track.status.clone().unwrap_or_default();
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    match ready {
        Some(ready) if ready.status != "True" => Err(("TrackNotReady", format!("Track {name} is not ready: {}", ready.message))),
        Some(_) => status.revision.ok_or_else(|| ("TrackNotReady", format!("Track {name} has no revision yet"))),
        None => Err(("TrackNotReady", format!("Track {name} has not been looked at yet"))),
    }
}

async fn jobs(context: &Context, run: &BatchRun, uid: &str, open: Option<&OpenTry<'_>>) -> Result<Vec<JobView>, ApiError> {
    let owned = |job: &Arc<Job>| job.owner_references().iter().any(|owner| owner.uid == uid);
    let cached = context.jobs.state().into_iter().filter(owned).collect();
    let mut jobs = context.memory.newest_jobs(uid, cached);
    if let Some(open) = open
        && !jobs.iter().any(|job| job.uid().as_deref() == Some(open.job_uid))
    {
        // A cache that is behind must not look like a Job that is gone.
        let name = names::job_name(&run.name_any(), uid, open.stage, open.attempt, open.try_);
        let found = within(&format!("read Job {name}"), context.job_api.get_opt(&name)).await?;
        jobs.extend(found.filter(|job| job.uid().as_deref() == Some(open.job_uid)).map(Arc::new));
    }
    let pods = context.pods.state();
    let view = |job: &Arc<Job>| {
        let job_uid = job.uid().unwrap_or_default();
        let of_job = |pod: &Arc<_>| ResourceExt::labels(&**pod).get(view::CONTROLLER_UID) == Some(&job_uid);
        let cached: Vec<_> = pods.iter().filter(|pod| of_job(pod)).cloned().collect();
        view::job(job, uid, context.memory.pods(uid, &job_uid, &cached))
    };
    Ok(jobs.iter().map(view).collect())
}

async fn results(
    context: &Context,
    uid: &str,
    open: &OpenTry<'_>,
    jobs: &[JobView],
) -> Result<(Vec<ArrivedResult>, bool), ObserveError> {
    let told = jobs.iter().filter(|job| job.uid == open.job_uid).flat_map(|job| &job.pods).any(|pod| !pod.results.is_empty());
    if told || !context.nats.is_connected() {
        return Ok((Vec::new(), told));
    }
    let subject = trackway_nats::result_subject(&context.namespace, uid, open.stage, open.attempt, open.try_, 0)
        .map_err(ObserveError::Results)?;
    match trackway_nats::read_results(&context.nats, std::slice::from_ref(&subject)).await {
        Ok(found) => {
            let arrived_at = context.memory.arrival(uid, &subject).unwrap_or_else(Timestamp::now);
            let read = found.iter().filter_map(|(_, payload)| parse(&subject, payload));
            Ok((read.map(|result| ArrivedResult { result, arrived_at }).collect(), true))
        }
        Err(error @ trackway_nats::NatsError::Permanent { .. }) => Err(ObserveError::Results(error)),
        Err(error) => {
            tracing::warn!(%error, "results cannot be read now; termination messages still count");
            Ok((Vec::new(), false))
        }
    }
}

fn parse(subject: &str, payload: &[u8]) -> Option<StageResult> {
    match serde_json::from_slice::<StageResult>(payload) {
        Ok(result) if result.contract == CONTRACT => Some(result),
        Ok(result) => {
            tracing::warn!(subject, contract = result.contract, "a result of another contract does not count");
            None
        }
        Err(error) => {
            tracing::warn!(subject, %error, "a result that cannot be read does not count");
            None
        }
    }
}
