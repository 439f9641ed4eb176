//! Jobs and pods as the planner sees them. Pure.

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerState, Pod, PodStatus},
};
use kube::ResourceExt;
use trackway_plan::{Finished, JobView, PodView, Waiting};

/// The container whose termination message is the result.
pub(crate) const WORKER: &str = "worker";
/// The volume that holds the revision.
pub(crate) const REVISION_VOLUME: &str = "revision";
/// Label the Job controller puts on its pods: the Job's uid.
pub(crate) const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";

/// A Job of the run `run_uid`, with its pods.
pub(crate) fn job(job: &Job, run_uid: &str, pods: Vec<PodView>) -> JobView {
    JobView {
        name: job.name_any(),
        uid: job.uid().unwrap_or_default(),
        owned: job.owner_references().iter().any(|owner| owner.uid == run_uid),
        revision: revision(job),
        wave: None,
        suspended: job.spec.as_ref().and_then(|spec| spec.suspend).unwrap_or(false),
        deleting: job.metadata.deletion_timestamp.is_some(),
        ended: ended(job),
        pods,
    }
}

/// The ConfigMap its pod mounts as the revision.
fn revision(job: &Job) -> Option<String> {
    let volumes = job.spec.as_ref()?.template.spec.as_ref()?.volumes.as_ref()?;
    let volume = volumes.iter().find(|volume| volume.name == REVISION_VOLUME)?;
    Some(volume.config_map.as_ref()?.name.clone())
}

fn ended(job: &Job) -> Option<Finished> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().filter(|condition| condition.status == "True").find_map(|condition| {
        let ok = match condition.type_.as_str() {
            "Complete" | "SuccessCriteriaMet" => true,
            // FailureTarget comes as soon as a pod is lost, Failed only once the pod is gone for good.
            "Failed" | "FailureTarget" => false,
            _ => return None,
        };
        let reason = condition.reason.clone().unwrap_or_default();
        Some(Finished { ok, reason, message: condition.message.clone().unwrap_or_default() })
    })
}

/// A pod.
pub(crate) fn pod(pod: &Pod) -> PodView {
    let status = pod.status.clone().unwrap_or_default();
    let state = worker_state(&status);
    let terminated = state.as_ref().and_then(|state| state.terminated.clone());
    PodView {
        uid: pod.uid().unwrap_or_default(),
        started: terminated.is_some() || state.as_ref().is_some_and(|state| state.running.is_some()),
        waiting: waiting(&status, state.as_ref()),
        results: terminated.as_ref().and_then(|ended| serde_json::from_str(ended.message.as_deref()?).ok()).into_iter().collect(),
        index: 0,
        finished: terminated
            .map(|ended| Finished {
                ok: ended.exit_code == 0,
                reason: ended.reason.unwrap_or_else(|| format!("exit code {}", ended.exit_code)),
                message: format!("exit code {}", ended.exit_code),
            })
            .or_else(|| lost(&status)),
    }
}

fn worker_state(status: &PodStatus) -> Option<ContainerState> {
    let containers = status.container_statuses.as_ref()?;
    containers.iter().find(|container| container.name == WORKER)?.state.clone()
}

/// A pod that failed without its container having ended: evicted, rejected by the kubelet, past its deadline.
fn lost(status: &PodStatus) -> Option<Finished> {
    (status.phase.as_deref() == Some("Failed")).then(|| Finished {
        ok: false,
        reason: status.reason.clone().unwrap_or_else(|| "Failed".into()),
        message: status.message.clone().unwrap_or_default(),
    })
}

fn waiting(status: &PodStatus, state: Option<&ContainerState>) -> Option<Waiting> {
    if let Some(waiting) = state.and_then(|state| state.waiting.clone()) {
        return Some(Waiting { reason: waiting.reason.unwrap_or_default(), message: waiting.message.unwrap_or_default() });
    }
    let conditions = status.conditions.as_ref()?;
    let unscheduled = conditions.iter().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    Some(Waiting {
        reason: unscheduled.reason.clone().unwrap_or_default(),
        message: unscheduled.message.clone().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod_with(status: serde_json::Value) -> PodView {
        pod(&serde_json::from_value(json!({"metadata": {"uid": "p"}, "status": status})).unwrap())
    }

    #[test]
    fn a_pod_that_cannot_start_says_why() {
        let seen = pod_with(json!({"phase": "Pending", "containerStatuses": [
            {"name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"llm\" not found"}}}]}));
        assert!(!seen.started && seen.finished.is_none());
        assert_eq!(seen.waiting.unwrap().message, "secret \"llm\" not found");
    }

    #[test]
    fn an_evicted_pod_is_lost() {
        let seen = pod_with(json!({"phase": "Failed", "reason": "Evicted", "message": "node was low on memory"}));
        assert_eq!(seen.finished.unwrap().reason, "Evicted");
    }

    #[test]
    fn a_job_that_begins_to_fail_has_ended() {
        let failing: Job = serde_json::from_value(json!({"metadata": {"name": "j", "uid": "u"}, "status": {"conditions": [
            {"type": "Suspended", "status": "False"},
            {"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded"}]}}))
        .unwrap();
        assert_eq!(job(&failing, "r", Vec::new()).ended.unwrap().reason, "BackoffLimitExceeded");
    }
}
