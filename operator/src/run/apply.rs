//! Does what a plan says, in its order. No choice is left here.

use super::{
    Context,
    job::{self, Parts},
};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use trackway_crds::{BatchRun, BatchRunStatus};
use trackway_kubernetes::{ApiError, Creation, create_job, delete_job, release_job, replace_status_fenced, within};
use trackway_plan::{After, JobIntent, Refusal, RevisionView};

/// Why a plan could not be applied. What was done before stays done and is found by the next observation.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// A write failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The plan names a stage its revision does not have, or a Job cannot be built from it.
    #[error("Job {name} cannot be built: {reason}")]
    Build { name: String, reason: String },
}

/// What came of a Job that was to be created.
pub(crate) enum Created {
    /// It exists, made now or before.
    Exists(Box<Job>),
    /// The API server says no, and would again.
    Refused(Refusal),
}

/// Creates the Job of `intent`, suspended.
pub(crate) async fn create(
    context: &Context,
    run: &BatchRun,
    revision: &RevisionView,
    intent: &JobIntent,
) -> Result<Created, ApplyError> {
    let fail = |reason: String| ApplyError::Build { name: intent.name.clone(), reason };
    let RevisionView::Available { revision, .. } = revision else {
        return Err(fail("the run has no revision".into()));
    };
    let parts = Parts { run, intent, revision, args: &context.args, now: Timestamp::now() };
    let job = job::build(&parts).map_err(|error| fail(error.to_string()))?;
    match create_job(&context.job_api, &job).await {
        Ok(Creation::Created(job)) => Ok(Created::Exists(job)),
        Ok(Creation::AlreadyExists) => {
            let found = within(&format!("read Job {}", intent.name), context.job_api.get(&intent.name)).await?;
            Ok(Created::Exists(Box::new(found)))
        }
        Err(ApiError::Permanent { reason, .. }) => Ok(Created::Refused(Refusal { name: intent.name.clone(), message: reason })),
        Err(ApiError::Transient { reason, .. }) if reason.contains("exceeded quota") => {
            Ok(Created::Refused(Refusal { name: intent.name.clone(), message: reason }))
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes `status`, fenced by the version `run` was read at. A lost race is an error; the fresh run is remembered.
pub(crate) async fn write(context: &Context, run: &BatchRun, uid: &str, status: BatchRunStatus) -> Result<BatchRun, ApplyError> {
    let name = run.name_any();
    let mut next = run.clone();
    next.metadata.managed_fields = None;
    next.status = Some(status);
    match replace_status_fenced(&context.run_api, &name, &next).await {
        Ok(written) => {
            context.memory.remember_run(uid, written.clone());
            Ok(written)
        }
        Err(error) => {
            if let ApiError::Conflict { .. } = error
                && let Ok(fresh) = within(&format!("read BatchRun {name}"), context.run_api.get(&name)).await
            {
                context.memory.remember_run(uid, fresh);
            }
            Err(error.into())
        }
    }
}

/// Releases or deletes Jobs that the written status names.
pub(crate) async fn after(context: &Context, run_uid: &str, acts: &[After]) -> Result<(), ApplyError> {
    for act in acts {
        match act {
            After::Release { name, uid } => match release_job(&context.job_api, name, uid).await {
                Ok(job) => context.memory.remember_job(run_uid, job),
                // Gone or replaced: the next observation finds the try lost.
                Err(ApiError::NotFound { .. } | ApiError::Conflict { .. }) => context.memory.forget_job(run_uid, name),
                Err(error) => return Err(error.into()),
            },
            After::Delete { name, uid } => {
                delete_job(&context.job_api, name, uid).await?;
                context.memory.forget_job(run_uid, name);
            }
        }
    }
    Ok(())
}
