//! Jobs and pods as the planner sees them. Pure.

use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerState, ContainerStateTerminated, Pod, PodStatus},
};
use kube::ResourceExt;
use trackway_crds::{
    contracts::{Assignment, CONTRACT, PodDigest, StageResult, WaveAssignment},
    labels,
};
use trackway_plan::{Finished, JobView, PodView, Waiting};

/// The container whose termination message is the result.
pub(crate) const WORKER: &str = "worker";
/// Before a program of the user's: the container that fetches what it reads.
pub(crate) const FETCH: &str = "fetch";
/// The program of the user's.
pub(crate) const MAIN: &str = "main";
/// The volume that holds the revision.
pub(crate) const REVISION_VOLUME: &str = "revision";
/// The variable that holds what a pod is told.
pub(crate) const ASSIGNMENT: &str = "TRACKWAY_ASSIGNMENT";
/// Label the Job controller puts on its pods: the Job's uid.
pub(crate) const CONTROLLER_UID: &str = "batch.kubernetes.io/controller-uid";
/// Label and annotation the Job controller puts on the pods of an Indexed Job.
const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// What a container waits for that is only not its turn yet.
const NOT_ITS_TURN: &str = "PodInitializing";

/// A Job of the run `run_uid`, with its pods.
pub(crate) fn job(job: &Job, run_uid: &str, pods: Vec<PodView>) -> JobView {
    JobView {
        name: job.name_any(),
        uid: job.uid().unwrap_or_default(),
        owned: job.owner_references().iter().any(|owner| owner.uid == run_uid),
        revision: revision(job),
        wave: wave(job),
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

/// The targets its pods were told. It is read where they read it: a status may not know the Job yet.
fn wave(job: &Job) -> Option<WaveAssignment> {
    job.metadata.labels.as_ref()?.get(labels::WAVE)?;
    let containers = &job.spec.as_ref()?.template.spec.as_ref()?.containers;
    let worker = containers.iter().find(|container| container.name == WORKER)?;
    let told = worker.env.as_ref()?.iter().find(|variable| variable.name == ASSIGNMENT)?.value.as_ref()?;
    serde_json::from_str::<Assignment>(told).ok()?.wave
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

/// A pod. `dimensions` are what the judge of its stage scores, in the Track's order.
pub(crate) fn pod(pod: &Pod, dimensions: &[String]) -> PodView {
    let status = pod.status.clone().unwrap_or_default();
    let worker = state(&status, WORKER);
    let before: Vec<_> = [FETCH, MAIN].iter().filter_map(|name| Some((*name, state(&status, name)?))).collect();
    let terminated = worker.as_ref().and_then(|state| state.terminated.as_ref());
    let last_words = before.iter().filter(|(name, _)| *name == FETCH).filter_map(|(_, state)| state.terminated.as_ref());
    PodView {
        uid: pod.uid().unwrap_or_default(),
        started: has_started(worker.as_ref(), &before),
        waiting: waiting(&status, worker.as_ref(), &before),
        results: last_words.chain(terminated).flat_map(|ended| told(ended, dimensions)).collect(),
        index: index(pod),
        finished: terminated.map(|ended| finished(WORKER, ended)).or_else(|| stopped(&before)).or_else(|| lost(&status)),
    }
}

/// Its completion index; 0 for a pod that has none.
fn index(pod: &Pod) -> u32 {
    let given = pod.annotations().get(COMPLETION_INDEX).or_else(|| pod.labels().get(COMPLETION_INDEX));
    given.and_then(|index| index.parse().ok()).unwrap_or(0)
}

fn state(status: &PodStatus, container: &str) -> Option<ContainerState> {
    let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    all.into_iter().find(|status| status.name == container)?.state.clone()
}

fn has_run(state: &ContainerState) -> bool {
    state.running.is_some() || state.terminated.is_some()
}

/// Its work has begun. A program whose image cannot be had has not, although what it reads was fetched.
fn has_started(worker: Option<&ContainerState>, before: &[(&str, ContainerState)]) -> bool {
    worker.is_some_and(has_run) || before.iter().any(|(_, state)| has_run(state)) && hindered(before).is_none()
}

/// What keeps a container that must run before the worker from running.
fn hindered(before: &[(&str, ContainerState)]) -> Option<Waiting> {
    let waiting = before.iter().filter_map(|(_, state)| state.waiting.as_ref());
    let hindrance = |reason: &Option<String>| reason.as_deref().is_some_and(|reason| reason != NOT_ITS_TURN);
    let waiting = waiting.into_iter().find(|waiting| hindrance(&waiting.reason))?;
    Some(Waiting { reason: waiting.reason.clone().unwrap_or_default(), message: waiting.message.clone().unwrap_or_default() })
}

/// The results in a container's termination message.
fn told(ended: &ContainerStateTerminated, dimensions: &[String]) -> Vec<StageResult> {
    let Some(message) = ended.message.as_deref() else { return Vec::new() };
    if let Ok(result) = serde_json::from_str::<StageResult>(message) {
        return Some(result).filter(|result| result.contract == CONTRACT).into_iter().collect();
    }
    let digest = serde_json::from_str::<PodDigest>(message).ok().filter(|digest| digest.contract == CONTRACT);
    digest.map(|digest| digest.results(dimensions)).unwrap_or_default()
}

fn finished(container: &str, ended: &ContainerStateTerminated) -> Finished {
    let code = ended.exit_code;
    let said = ended.reason.clone();
    let message = match (container, &said) {
        (WORKER, _) => format!("exit code {code}"),
        (_, Some(reason)) => format!("container {container}: exit code {code} ({reason})"),
        (_, None) => format!("container {container}: exit code {code}"),
    };
    Finished { ok: code == 0, reason: said.unwrap_or_else(|| format!("exit code {code}")), message }
}

/// A container that must end well before the worker runs has not: the worker never will.
fn stopped(before: &[(&str, ContainerState)]) -> Option<Finished> {
    let ended = before.iter().filter_map(|(name, state)| Some((*name, state.terminated.as_ref()?)));
    ended.into_iter().find(|(_, ended)| ended.exit_code != 0).map(|(name, ended)| finished(name, ended))
}

/// A pod that failed without its container having ended: evicted, rejected by the kubelet, past its deadline.
fn lost(status: &PodStatus) -> Option<Finished> {
    (status.phase.as_deref() == Some("Failed")).then(|| Finished {
        ok: false,
        reason: status.reason.clone().unwrap_or_else(|| "Failed".into()),
        message: status.message.clone().unwrap_or_default(),
    })
}

fn waiting(status: &PodStatus, worker: Option<&ContainerState>, before: &[(&str, ContainerState)]) -> Option<Waiting> {
    if let Some(hindrance) = hindered(before) {
        return Some(hindrance);
    }
    if let Some(waiting) = worker.and_then(|state| state.waiting.clone()) {
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
        pod(&serde_json::from_value(json!({"metadata": {"uid": "p"}, "status": status})).unwrap(), &[])
    }

    #[test]
    fn a_pod_that_cannot_start_says_why() {
        let seen = pod_with(json!({"phase": "Pending", "containerStatuses": [
            {"name": "worker", "image": "", "imageID": "", "ready": false, "restartCount": 0,
             "state": {"waiting": {"reason": "CreateContainerConfigError", "message": "secret \"llm\" not found"}}}]}));
        assert!(!seen.started && seen.finished.is_none());
        assert_eq!(seen.waiting.unwrap().message, "secret \"llm\" not found");
    }

    fn container(name: &str, state: serde_json::Value) -> serde_json::Value {
        json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state})
    }

    fn ended(name: &str, code: i32, message: &str) -> serde_json::Value {
        let reason = if code == 0 { "Completed" } else { "Error" };
        container(name, json!({"terminated": {"exitCode": code, "reason": reason, "message": message}}))
    }

    fn not_its_turn(name: &str) -> serde_json::Value {
        container(name, json!({"waiting": {"reason": "PodInitializing"}}))
    }

    #[test]
    fn a_program_that_fails_ends_the_pod_and_is_named() {
        let seen = pod_with(json!({"phase": "Failed", "containerStatuses": [not_its_turn("worker")],
            "initContainerStatuses": [ended("fetch", 0, ""), ended("main", 3, "{}")]}));
        let finished = seen.finished.unwrap();
        assert_eq!((finished.ok, finished.message.as_str()), (false, "container main: exit code 3 (Error)"));
        assert!(seen.started && seen.results.is_empty());
    }

    #[test]
    fn a_program_that_is_at_work_has_started_and_waits_for_nothing_that_hinders() {
        let seen = pod_with(json!({"phase": "Pending", "containerStatuses": [not_its_turn("worker")],
            "initContainerStatuses": [ended("fetch", 0, ""), container("main", json!({"running": {}}))]}));
        assert!(seen.started && seen.finished.is_none());
    }

    #[test]
    fn a_program_whose_image_cannot_be_had_has_not_started_although_its_input_was_fetched() {
        let seen = pod_with(json!({"phase": "Pending", "containerStatuses": [not_its_turn("worker")], "initContainerStatuses": [
            ended("fetch", 0, ""), container("main", json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}}))]}));
        assert!(!seen.started);
        assert_eq!(seen.waiting.unwrap().message, "no such image");
    }

    fn result(index: u32) -> StageResult {
        serde_json::from_value(
            json!({"contract": 1, "run": "r", "stage": "s", "index": index, "attempt": 1, "try": 1, "pod": "p",
            "phase": "Done"}),
        )
        .unwrap()
    }

    #[test]
    fn what_our_containers_said_last_is_a_result_and_what_a_program_said_is_none() {
        let words = serde_json::to_string(&result(0)).unwrap();
        let said = |fetch: &str, main: &str, worker: &str| {
            let seen = pod_with(json!({"containerStatuses": [ended("worker", 0, worker)],
                "initContainerStatuses": [ended("fetch", 0, fetch), ended("main", 0, main)]}));
            seen.results.len()
        };
        assert_eq!((said(&words, "", ""), said("", &words, ""), said("", "", &words)), (1, 0, 1));
        assert_eq!(said("", "", &words.replace("\"contract\":1", "\"contract\":9")), 0);
    }

    #[test]
    fn a_digest_tells_a_result_for_each_target_of_the_pod() {
        let digest = json!({"contract": 1, "run": "r", "stage": "notices", "pod": "p", "targets": [
            {"i": 7, "a": 2, "t": 1, "d": [900, 800]}, {"i": 8, "a": 1, "t": 3, "e": "model", "r": "Overloaded"}]});
        let seen: Pod = serde_json::from_value(json!({
            "metadata": {"uid": "p", "annotations": {COMPLETION_INDEX: "4"}},
            "status": {"containerStatuses": [ended("worker", 0, &digest.to_string())]}}))
        .unwrap();
        let seen = pod(&seen, &["relevance".to_owned(), "safety".to_owned()]);
        assert_eq!(seen.index, 4);
        assert_eq!((seen.results[0].index, seen.results[0].dimensions["safety"]), (7, 800));
        assert_eq!((seen.results[1].try_, seen.results[1].error.as_ref().unwrap().reason.as_str()), (3, "Overloaded"));
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
