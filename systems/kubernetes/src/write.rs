//! The writes that must not go wrong, each with its fence.

use k8s_openapi::api::batch::v1::Job;
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy},
    core::Status,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use std::fmt::Debug;

use crate::{ApiError, within};

/// What became of a create.
#[derive(Clone, Debug, PartialEq)]
pub enum Creation<K> {
    /// Made by this call.
    Created(Box<K>),
    /// There is one of that name; whose, and whether ours, is for the caller to look at.
    AlreadyExists,
}

/// Replaces the status of `name` if the object is still at the resourceVersion `object` carries; returns it as stored.
///
/// # Errors
/// [`ApiError::Conflict`] when somebody wrote in between; [`ApiError::Permanent`] also for an object without resourceVersion,
/// which would overwrite whatever is there.
pub async fn replace_status_fenced<K>(api: &Api<K>, name: &str, object: &K) -> Result<K, ApiError>
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
{
    let action = format!("replace status of {} {}", K::kind(&()), full_name(object, name));
    if object.meta().resource_version.as_deref().unwrap_or_default().is_empty() {
        return Err(ApiError::permanent(&action, "the object carries no resourceVersion: write only what was read"));
    }
    within(&action, api.replace_status(name, &PostParams::default(), object)).await
}

/// Creates `object`; that one exists already is an answer, not an error.
///
/// # Errors
/// [`ApiError`] but for an object of that name.
pub async fn create<K>(api: &Api<K>, object: &K) -> Result<Creation<K>, ApiError>
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
{
    let action = format!("create {} {}", K::kind(&()), full_name(object, &object.name_any()));
    let request = async {
        match api.create(&PostParams::default(), object).await {
            Ok(created) => Ok(Creation::Created(Box::new(created))),
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Creation::AlreadyExists),
            Err(error) => Err(error),
        }
    };
    within(&action, request).await
}

/// Creates a suspended Job. One that is not suspended is refused: it would run before its uid is recorded.
///
/// # Errors
/// As [`create`].
pub async fn create_job(api: &Api<Job>, job: &Job) -> Result<Creation<Job>, ApiError> {
    if job.spec.as_ref().and_then(|spec| spec.suspend) != Some(true) {
        let action = format!("create Job {}", full_name(job, &job.name_any()));
        return Err(ApiError::permanent(&action, "spec.suspend must be true: nothing runs that is not in the status"));
    }
    create(api, job).await
}

/// Lets the Job `name` of this very `uid` run. Safe to repeat.
///
/// # Errors
/// [`ApiError::Conflict`] when the Job of that name is another; [`ApiError::NotFound`] when there is none.
pub async fn release_job(api: &Api<Job>, name: &str, uid: &str) -> Result<Job, ApiError> {
    let action = format!("release Job {name}");
    let patch = Patch::Merge(json!({"metadata": {"uid": uid}, "spec": {"suspend": false}}));
    let request = async {
        match api.patch(name, &PatchParams::default(), &patch).await {
            Err(kube::Error::Api(status)) if is_another(&status) => Ok(None),
            outcome => outcome.map(Some),
        }
    };
    within(&action, request).await?.ok_or(ApiError::Conflict { action, reason: format!("its uid is not {uid} any more") })
}

/// Deletes the Job `name` of this very `uid` with its pods. None of that uid is success. Safe to repeat.
///
/// # Errors
/// [`ApiError`] but for a Job that is gone.
pub async fn delete_job(api: &Api<Job>, name: &str, uid: &str) -> Result<(), ApiError> {
    let parameters = DeleteParams {
        // The default of this API orphans running pods.
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    };
    let request = async {
        match api.delete(name, &parameters).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() || is_another(&status) => Ok(()),
            Err(error) => Err(error),
        }
    };
    within(&format!("delete Job {name}"), request).await
}

/// How the API server says "not the one of this uid": a failed precondition, or an attempt to change `metadata.uid`.
fn is_another(status: &Status) -> bool {
    let immutable = status.details.iter().flat_map(|details| &details.causes).any(|cause| cause.field == "metadata.uid");
    match status.code {
        409 => ["UID in precondition", "UID in the precondition"].iter().any(|said| status.message.contains(said)),
        422 => immutable,
        _ => false,
    }
}

fn full_name<K: Resource>(object: &K, name: &str) -> String {
    object.meta().namespace.as_ref().map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::{Log, api_server, failure};
    use serde_json::Value;
    use trackway_crds::BatchRun;

    fn job() -> Job {
        serde_json::from_value(json!({
            "metadata": {"name": "admin-b7k2f9q1-x", "namespace": "team-a"},
            "spec": {"suspend": true, "template": {}}
        }))
        .unwrap()
    }

    fn run(resource_version: Option<&str>) -> BatchRun {
        let reference = json!({"sha256": "0".repeat(64), "bytes": 1});
        serde_json::from_value(json!({
            "apiVersion": "trackway.dev/v1alpha1", "kind": "BatchRun",
            "metadata": {"name": "admin-b7k2f9q1", "namespace": "team-a", "resourceVersion": resource_version},
            "spec": {"trackRef": {"name": "admin"}, "batch": {"id": "b7k2f9q1", "tenant": "octo-org", "level": "Tenant",
                "subject": "octo-org", "priority": "High", "events": 3, "readyAt": "2026-11-22T14:42:10.400000Z",
                "input": reference}}
        }))
        .unwrap()
    }

    fn jobs(answers: Vec<(u16, Value)>) -> (Api<Job>, Log) {
        let (client, log) = api_server(answers);
        (Api::namespaced(client, "team-a"), log)
    }

    fn asked(log: &Log) -> Vec<String> {
        log.lock().unwrap().iter().map(|asked| asked.line.clone()).collect()
    }

    fn uid_is_immutable() -> (u16, Value) {
        let (code, mut status) = failure(422, "Invalid", "Job.batch \"j\" is invalid: metadata.uid: field is immutable");
        status["details"] = json!({"causes": [{"field": "metadata.uid", "reason": "FieldValueInvalid"}]});
        (code, status)
    }

    #[tokio::test]
    async fn inv01_a_status_is_written_with_the_version_it_was_read_at() {
        let (client, log) = api_server(vec![(200, serde_json::to_value(run(Some("8"))).unwrap())]);
        let api: Api<BatchRun> = Api::namespaced(client, "team-a");
        let stored = replace_status_fenced(&api, "admin-b7k2f9q1", &run(Some("7"))).await.unwrap();
        assert_eq!(stored.metadata.resource_version.as_deref(), Some("8"));
        let path = "PUT /apis/trackway.dev/v1alpha1/namespaces/team-a/batchruns/admin-b7k2f9q1/status?";
        assert_eq!(asked(&log), [path]);
        assert_eq!(log.lock().unwrap()[0].body["metadata"]["resourceVersion"], "7");
    }

    #[tokio::test]
    async fn inv01_a_status_without_a_version_is_never_sent() {
        let (client, log) = api_server(vec![]);
        let api: Api<BatchRun> = Api::namespaced(client, "team-a");
        let error = replace_status_fenced(&api, "admin-b7k2f9q1", &run(None)).await.unwrap_err();
        assert!(matches!(error, ApiError::Permanent { .. }), "{error}");
        assert!(asked(&log).is_empty());
    }

    #[tokio::test]
    async fn inv01_a_status_that_lost_the_race_is_a_conflict_and_is_not_sent_again() {
        let (client, log) = api_server(vec![failure(409, "Conflict", "the object has been modified"); 2]);
        let api: Api<BatchRun> = Api::namespaced(client, "team-a");
        let error = replace_status_fenced(&api, "admin-b7k2f9q1", &run(Some("7"))).await.unwrap_err();
        assert!(matches!(error, ApiError::Conflict { .. }), "{error}");
        assert_eq!(asked(&log).len(), 1);
    }

    #[tokio::test]
    async fn inv01_a_job_that_would_run_at_once_is_never_sent() {
        let (api, log) = jobs(vec![]);
        let mut eager = job();
        eager.spec.as_mut().unwrap().suspend = None;
        let error = create_job(&api, &eager).await.unwrap_err().to_string();
        assert!(error.starts_with("create Job team-a/admin-b7k2f9q1-x: spec.suspend must be true"), "{error}");
        assert!(asked(&log).is_empty());
    }

    #[tokio::test]
    async fn a_job_is_created_or_exists() {
        let (api, _) = jobs(vec![
            (201, serde_json::to_value(job()).unwrap()),
            failure(409, "AlreadyExists", "jobs.batch \"admin-b7k2f9q1-x\" already exists"),
        ]);
        assert!(matches!(create_job(&api, &job()).await.unwrap(), Creation::Created(_)));
        assert_eq!(create_job(&api, &job()).await.unwrap(), Creation::AlreadyExists);
    }

    #[tokio::test]
    async fn inv01_a_release_carries_the_recorded_uid() {
        let (api, log) = jobs(vec![(200, serde_json::to_value(job()).unwrap())]);
        release_job(&api, "j", "uid-1").await.unwrap();
        let body = &log.lock().unwrap()[0].body;
        assert_eq!(body, &json!({"metadata": {"uid": "uid-1"}, "spec": {"suspend": false}}));
    }

    #[tokio::test]
    async fn inv01_a_job_of_another_uid_is_not_released() {
        let (api, _) = jobs(vec![uid_is_immutable(), failure(404, "NotFound", "jobs.batch \"j\" not found")]);
        let error = release_job(&api, "j", "uid-1").await.unwrap_err();
        assert!(matches!(error, ApiError::Conflict { .. }), "{error}");
        assert_eq!(error.to_string(), "release Job j: its uid is not uid-1 any more");
        assert!(matches!(release_job(&api, "j", "uid-1").await.unwrap_err(), ApiError::NotFound { .. }));
    }

    #[tokio::test]
    async fn a_job_is_deleted_with_its_pods_and_only_if_it_is_the_one() {
        let (api, log) = jobs(vec![(200, serde_json::to_value(job()).unwrap())]);
        delete_job(&api, "j", "uid-1").await.unwrap();
        let body = &log.lock().unwrap()[0].body;
        assert_eq!((&body["propagationPolicy"], &body["preconditions"]["uid"]), (&json!("Background"), &json!("uid-1")));
    }

    #[tokio::test]
    async fn a_job_that_is_gone_or_replaced_needs_no_deleting() {
        let replaced = "the UID in the precondition (uid-1) does not match the UID in record (uid-2)";
        let (api, _) = jobs(vec![failure(404, "NotFound", "not found"), failure(409, "Conflict", replaced)]);
        delete_job(&api, "j", "uid-1").await.unwrap();
        delete_job(&api, "j", "uid-1").await.unwrap();
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_transient_and_is_asked_once() {
        let (api, log) = jobs(vec![failure(503, "ServiceUnavailable", "apiserver is shutting down")]);
        assert!(create_job(&api, &job()).await.unwrap_err().is_transient());
        assert!(create_job(&api, &job()).await.unwrap_err().is_transient(), "connection refused");
        assert_eq!(asked(&log).len(), 2);
    }
}
