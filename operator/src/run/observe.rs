//! Everything the planner needs to see of one run, from caches where they are new enough.

use super::{
    Context,
    open::{Open, Owner},
    results, view,
};
use crate::{questionnaire, revisions::RevisionError};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{ResourceExt, runtime::reflector::ObjectRef};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use trackway_crds::{BatchRun, BatchRunStatus, labels};
use trackway_kubernetes::{ApiError, within};
use trackway_plan::{JobView, Observed, RevisionView};

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

/// Looks at everything about `run`.
pub(crate) async fn observe(context: &Context, run: &BatchRun, uid: &str) -> Result<Observed, ObserveError> {
    let status = run.status.clone().unwrap_or_default();
    let revision = revision(context, run, &status).await?;
    let owner = Owner { namespace: &context.namespace, run: &run.name_any(), uid };
    let open = Open::of(owner, &status).map_err(ObserveError::Results)?;
    let jobs = jobs(context, uid, &open, &revision).await?;
    let (results, results_known) = results::results(context, uid, &open, &jobs).await?;
    let questionnaire = questionnaire::view(context, &status).await;
    Ok(Observed { revision, jobs, results, results_known, questionnaire, refusal: None })
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

async fn jobs(context: &Context, uid: &str, open: &Open, revision: &RevisionView) -> Result<Vec<JobView>, ApiError> {
    let owned = |job: &Arc<Job>| job.owner_references().iter().any(|owner| owner.uid == uid);
    let cached = context.jobs.state().into_iter().filter(owned).collect();
    let mut jobs = context.memory.newest_jobs(uid, cached);
    for open in &open.jobs {
        if !jobs.iter().any(|job| job.uid().as_ref() == Some(&open.uid)) {
            // A cache that is behind must not look like a Job that is gone.
            let found = within(&format!("read Job {}", open.name), context.job_api.get_opt(&open.name)).await?;
            jobs.extend(found.filter(|job| job.uid().as_ref() == Some(&open.uid)).map(Arc::new));
        }
    }
    let uids: Vec<_> = jobs.iter().map(|job| job.uid().unwrap_or_default()).collect();
    context.memory.keep_pods_of(uid, &uids.iter().map(String::as_str).collect());
    let pods = pods_by_job(context, &uids);
    let view = |(job, job_uid): (&Arc<Job>, &String)| {
        let cached = pods.get(job_uid.as_str()).map(Vec::as_slice).unwrap_or_default();
        let dimensions = dimensions(revision, ResourceExt::labels(&**job).get(labels::STAGE));
        view::job(job, uid, context.memory.pods(uid, job_uid, cached, &dimensions))
    };
    Ok(jobs.iter().zip(&uids).map(view).collect())
}

/// The pods in the cache of each of `jobs`.
fn pods_by_job<'a>(context: &Context, jobs: &'a [String]) -> HashMap<&'a str, Vec<Arc<Pod>>> {
    let jobs: HashSet<&str> = jobs.iter().map(String::as_str).collect();
    let mut found: HashMap<&str, Vec<Arc<Pod>>> = HashMap::new();
    for pod in context.pods.state() {
        let job = ResourceExt::labels(&*pod).get(view::CONTROLLER_UID).and_then(|uid| jobs.get(uid.as_str()));
        if let Some(job) = job {
            found.entry(job).or_default().push(pod);
        }
    }
    found
}

/// What the judge of a stage scores, in the Track's order.
fn dimensions(revision: &RevisionView, stage: Option<&String>) -> Vec<String> {
    let RevisionView::Available { revision, .. } = revision else { return Vec::new() };
    let judge = stage.and_then(|stage| revision.stage(stage)).and_then(|stage| stage.judge.as_ref());
    judge.into_iter().flat_map(|judge| &judge.dimensions).map(|dimension| dimension.name.clone()).collect()
}
