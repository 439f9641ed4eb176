//! The Job of one try, of one wave of a fan-out, or of the debugger. Pure: the same try gives the same Job, but for the debugger,
//! which gets what is left of its time.

mod environment;
mod pod;
mod task;
#[cfg(test)]
mod tests;

use crate::args::Args;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use task::Task;
use trackway_crds::{
    BatchRun,
    contracts::{Assignment, Revision},
    labels,
};
use trackway_plan::JobIntent;

const MILLIS: u64 = 1000;

/// Why a Job cannot be built, which only a bug can cause.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error("the revision has no stage {0}")]
    NoStage(String),
    #[error("the revision has no debugger")]
    NoDebugger,
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// What a Job is built from.
pub(crate) struct Parts<'a> {
    pub(crate) run: &'a BatchRun,
    pub(crate) intent: &'a JobIntent,
    pub(crate) revision: &'a Revision,
    pub(crate) args: &'a Args,
    pub(crate) now: Timestamp,
}

/// The Job, suspended, owned by its run.
///
/// # Errors
/// [`BuildError`].
pub(crate) fn build(parts: &Parts<'_>) -> Result<Job, BuildError> {
    let Parts { run, intent, revision, .. } = *parts;
    let assignment = &intent.assignment;
    let task = Task::of(parts)?;
    let labels = labels(run, assignment, &revision.worker_template.labels);
    let timeout = task.timeout_millis.div_ceil(MILLIS).max(1);
    let pods = assignment.wave.as_ref().map(|wave| wave.pods());
    Ok(serde_json::from_value(json!({
        "metadata": {
            "name": intent.name,
            "namespace": assignment.run.namespace,
            "labels": labels,
            "ownerReferences": [{
                "apiVersion": "trackway.dev/v1alpha1", "kind": "BatchRun", "name": assignment.run.name,
                "uid": assignment.run.uid, "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {
            // Nothing runs that is not in the status: released by uid once that is recorded.
            "suspend": true,
            // Jobs never retry: their own retries wait 10 to 20 s and hang on a dead node. In a wave the other pods go on when one
            // fails, so the limit is each pod's; one for all of them would end them.
            "backoffLimit": pods.is_none().then_some(0),
            "backoffLimitPerIndex": pods.map(|_| 0),
            "completionMode": pods.map(|_| "Indexed"),
            "completions": pods,
            "parallelism": pods,
            "activeDeadlineSeconds": timeout + revision.limits.start_timeout_millis.div_ceil(MILLIS),
            "template": {"metadata": {"labels": labels}, "spec": pod::spec(parts, &task, timeout)?},
        },
    }))?)
}

/// Ours are not to be overwritten: the operator finds its Jobs and pods by them.
fn labels(run: &BatchRun, assignment: &Assignment, theirs: &BTreeMap<String, String>) -> BTreeMap<String, Value> {
    let mut labels: BTreeMap<String, Value> = theirs.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let ours = [
        (labels::MANAGED_BY, labels::MANAGER.to_owned()),
        (labels::TRACK, run.spec.track_ref.name.clone()),
        (labels::RUN, assignment.run.name.clone()),
        (labels::STAGE, assignment.stage.clone()),
        (labels::ATTEMPT, assignment.attempt.to_string()),
        (labels::TRY, assignment.try_.to_string()),
    ];
    let wave = assignment.wave.as_ref().map(|wave| (labels::WAVE, wave.wave.to_string()));
    labels.extend(ours.into_iter().chain(wave).map(|(key, value)| (key.to_owned(), json!(value))));
    labels
}
