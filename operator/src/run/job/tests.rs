use super::*;
use clap::Parser;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use trackway_crds::{
    contracts::{TargetAssignment, WaveAssignment},
    names,
    track::WorkerTemplate,
};

const START_SECONDS: i64 = 300;

fn args() -> Args {
    Args::parse_from([
        "trackway-operator",
        "--namespaces",
        "team-a",
        "--nats-url",
        "nats://nats:4222",
        "--store-url",
        "nats://",
        "--worker-image",
        "worker:1",
    ])
}

fn model(role: &str) -> Value {
    json!({"role": role, "endpoint": "main", "baseURL": "https://llm", "model": "m", "timeoutMillis": 90_000,
        "apiKeySecretRef": {"name": format!("{role}-key"), "key": "key"}, "caBundleRef": {"name": "authorities", "key": "ca.pem"}})
}

fn stage(name: &str, work: Value) -> Value {
    json!({"name": name, "work": work, "timeoutMillis": 600_000,
        "retry": {"qualityMaxAttempts": 3, "infrastructureMaxTries": 5, "modelMaxTries": 6, "judgeMaxTries": 5,
            "modelBackoff": {"initialMillis": 1000, "factor": 2, "maxMillis": 30_000}}})
}

fn revision() -> Revision {
    let mut insights = stage("insights", json!({"kind": "Generate", "model": model("writer"), "prompt": "insights.md"}));
    insights["judge"] = json!({"model": model("critic"), "threshold": 0.7,
        "dimensions": [{"name": "relevance", "weight": 1, "minimum": 0.0, "criterion": "c"}]});
    let program = json!({"kind": "Container", "image": "tools/count:2", "args": ["--all"], "env": {"LEVEL": "$(HOME)"},
        "resources": {"limits": {"memory": "1Gi"}}});
    let channel = |name: &str| {
        json!({"name": name, "url": "https://hook", "timeoutMillis": 10_000,
        "signingSecretRef": {"name": format!("{name}-signing"), "key": "secret"}})
    };
    let send = json!({"kind": "Broadcast", "items": "notices", "channels": [channel("inbox"), channel("chat")], "dryRun": false});
    serde_json::from_value(json!({"contract": 1, "track": "admin", "audience": "a",
        "stages": [insights, stage("count", program), stage("broadcast", send)],
        "debugger": {"model": model("doctor"), "timeoutMillis": 120_000},
        "limits": {"startTimeoutMillis": START_SECONDS * 1000, "activeDeadlineMillis": 1, "deadlineMillis": 1}}))
    .unwrap()
}

fn assignment(stage: &str) -> Assignment {
    serde_json::from_value(json!({"contract": 1, "revision": "admin-5d9c1a", "stage": stage, "attempt": 1, "try": 1,
        "run": {"namespace": "team-a", "name": "admin-b7k2f9q1", "uid": "u-1"}, "batch": run(json!(null)).spec.batch}))
    .unwrap()
}

fn run(status: Value) -> BatchRun {
    let reference = json!({"sha256": "0".repeat(64), "bytes": 1});
    serde_json::from_value(json!({
        "apiVersion": "trackway.dev/v1alpha1", "kind": "BatchRun", "metadata": {"name": "admin-b7k2f9q1", "namespace": "team-a"},
        "spec": {"trackRef": {"name": "admin"}, "batch": {"id": "b7k2f9q1", "tenant": "cash $$ & $(TRACKWAY_NATS_PASSWORD)",
            "level": "Tenant", "subject": "octo-org", "priority": "High", "events": 3, "readyAt": "2026-11-22T14:42:10.400000Z",
            "input": reference}},
        "status": status,
    }))
    .unwrap()
}

fn built(assignment: Assignment, revision: &Revision) -> Job {
    let intent = JobIntent { name: "admin-b7k2f9q1-x".into(), assignment };
    let parts =
        Parts { run: &run(json!(null)), intent: &intent, revision, args: &args(), now: Timestamp::from_second(100).unwrap() };
    build(&parts).unwrap()
}

fn pod(job: &Job) -> PodSpec {
    job.spec.clone().unwrap().template.spec.unwrap()
}

fn containers(job: &Job) -> Vec<Container> {
    pod(job).init_containers.into_iter().flatten().chain(pod(job).containers).collect()
}

fn container(job: &Job, name: &str) -> Container {
    containers(job).into_iter().find(|container| container.name == name).unwrap()
}

/// Names of the secrets a container gets, by variable.
fn secrets(container: &Container) -> BTreeMap<String, String> {
    let secret = |variable: k8s_openapi::api::core::v1::EnvVar| Some((variable.name, variable.value_from?.secret_key_ref?));
    let secrets = container.env.clone().into_iter().flatten().filter_map(secret);
    secrets.map(|(name, secret)| (name, secret.name)).collect()
}

fn of_models(container: &Container) -> Vec<(String, String)> {
    secrets(container).into_iter().filter(|(name, _)| name.contains("API_KEY") || name.contains("WEBHOOK")).collect()
}

fn wave(targets: u32, targets_per_pod: u32) -> Assignment {
    let targets = (0..targets).map(|index| TargetAssignment { index, attempt: 1, try_: 1 }).collect();
    Assignment { wave: Some(WaveAssignment { wave: 2, targets_per_pod, targets }), ..assignment("insights") }
}

fn all_kinds() -> Vec<Job> {
    let revision = revision();
    let kinds = ["insights", "count", "broadcast", names::DEBUGGER].map(assignment);
    kinds.into_iter().chain([wave(25, 10)]).map(|assignment| built(assignment, &revision)).collect()
}

#[test]
fn inv01_no_job_runs_before_it_is_released() {
    assert!(all_kinds().iter().all(|job| job.spec.as_ref().unwrap().suspend == Some(true)));
}

#[test]
fn every_container_satisfies_the_restricted_standard() {
    for job in all_kinds() {
        let pod = pod(&job);
        let of_pod = pod.security_context.unwrap();
        assert_eq!((of_pod.run_as_non_root, of_pod.seccomp_profile.unwrap().type_.as_str()), (Some(true), "RuntimeDefault"));
        assert_eq!((pod.automount_service_account_token, pod.enable_service_links), (Some(false), Some(false)));
        for container in containers(&job) {
            let security = container.security_context.unwrap();
            assert_eq!(security.allow_privilege_escalation, Some(false));
            assert_eq!(security.read_only_root_filesystem, Some(true));
            assert_eq!(security.capabilities.unwrap().drop, Some(vec!["ALL".to_owned()]));
            assert!(security.run_as_user.is_none() && security.privileged.is_none());
        }
    }
}

#[test]
fn a_stage_is_one_container_with_the_keys_of_its_models() {
    let job = built(assignment("insights"), &revision());
    assert_eq!(containers(&job).len(), 1);
    let worker = container(&job, "worker");
    assert!(worker.args.is_none());
    let keys = [("TRACKWAY_API_KEY_GENERATE", "writer-key"), ("TRACKWAY_API_KEY_JUDGE", "critic-key")];
    assert_eq!(of_models(&worker), keys.map(|(name, secret)| (name.to_owned(), secret.to_owned())));
    let spec = job.spec.unwrap();
    assert_eq!((spec.backoff_limit, spec.completion_mode, spec.completions), (Some(0), None, None));
    assert_eq!(spec.active_deadline_seconds, Some(600 + START_SECONDS));
}

#[test]
fn inv13_words_of_tenants_reach_the_worker_as_they_are_and_name_no_secret() {
    let worker = container(&built(assignment("insights"), &revision()), "worker");
    let told = worker.env.unwrap().into_iter().find(|variable| variable.name == "TRACKWAY_ASSIGNMENT").unwrap().value.unwrap();
    assert!(told.contains("cash $$$$ & $$(TRACKWAY_NATS_PASSWORD)"), "Kubernetes reads $$ as $: {told}");
}

#[test]
fn a_wave_is_an_indexed_job_whose_pods_fail_each_for_itself() {
    let job = built(wave(25, 10), &revision());
    assert_eq!(job.metadata.labels.as_ref().unwrap()["trackway.dev/wave"], "2");
    let spec = job.spec.clone().unwrap();
    assert_eq!(spec.template.metadata.unwrap().labels.unwrap()["trackway.dev/wave"], "2");
    assert_eq!((spec.completion_mode.as_deref(), spec.completions, spec.parallelism), (Some("Indexed"), Some(3), Some(3)));
    assert_eq!((spec.backoff_limit_per_index, spec.backoff_limit, spec.max_failed_indexes), (Some(0), None, None));
    assert!(spec.pod_failure_policy.is_none());
    let seen = crate::run::view::job(&job, "u-1", Vec::new());
    assert_eq!(seen.wave, wave(25, 10).wave, "it is read back from the Job");
}

#[test]
fn inv11_the_debugger_gets_what_is_left_of_its_time_and_its_own_key() {
    let intent = JobIntent { name: "j".into(), assignment: assignment(names::DEBUGGER) };
    let job = |status: Value, now: i64| {
        let now = Timestamp::from_second(now).unwrap();
        build(&Parts { run: &run(status), intent: &intent, revision: &revision(), args: &args(), now }).unwrap()
    };
    let catch = json!({"catch": {"startedAt": "1970-01-01T00:01:00.000000Z", "deadlineAt": "1970-01-01T00:03:00.000000Z", "try": 1, "tokens": 0}});
    let seconds = |job: &Job| pod(job).active_deadline_seconds.unwrap();
    assert_eq!(seconds(&job(json!(null), 100)), 120, "all of it");
    assert_eq!(seconds(&job(catch.clone(), 150)), 30);
    assert_eq!(seconds(&job(catch.clone(), 500)), 1, "too late to matter, and still a Job");
    let worker = container(&job(catch, 150), "worker");
    assert_eq!(of_models(&worker), [("TRACKWAY_API_KEY_DEBUG".to_owned(), "doctor-key".to_owned())]);
    let authorities = serde_json::to_string(&pod(&job(json!(null), 1)).volumes).unwrap();
    assert!(authorities.contains("debug.pem"), "{authorities}");
}

#[test]
fn inv13_a_program_sees_no_secret_no_token_and_no_variable_of_ours() {
    let job = built(assignment("count"), &revision());
    let main = container(&job, "main");
    assert_eq!(main.image.as_deref(), Some("tools/count:2"));
    assert_eq!((main.command, main.args), (None, Some(vec!["--all".to_owned()])));
    let env = main.env.clone().unwrap();
    assert_eq!(env.iter().map(|variable| variable.name.as_str()).collect::<Vec<_>>(), ["LEVEL"]);
    assert!(env.iter().all(|variable| variable.value_from.is_none()) && main.env_from.is_none());
    let mounts: Vec<_> = main.volume_mounts.unwrap().into_iter().map(|mount| (mount.name, mount.mount_path)).collect();
    assert_eq!(mounts, [("io", "/trackway"), ("tmp", "/tmp")].map(|(name, path)| (name.to_owned(), path.to_owned())));
    for volume in pod(&job).volumes.unwrap().into_iter().filter(|volume| ["io", "tmp"].contains(&volume.name.as_str())) {
        assert!(volume.empty_dir.is_some(), "{volume:?}");
    }
    assert!(pod(&job).share_process_namespace.is_none());
}

#[test]
fn around_a_program_ours_fetch_and_report_without_hiding_the_revision() {
    let job = built(assignment("count"), &revision());
    let order: Vec<_> = containers(&job).into_iter().map(|container| container.name).collect();
    assert_eq!(order, ["fetch", "main", "worker"]);
    for (name, step) in [("fetch", "fetch"), ("worker", "report")] {
        let ours = container(&job, name);
        assert_eq!((ours.image.as_deref(), ours.args), (Some("worker:1"), Some(vec![step.to_owned()])));
        let paths: Vec<_> = ours.volume_mounts.unwrap().into_iter().map(|mount| mount.mount_path).collect();
        assert_eq!(paths, ["/trackway/revision", "/trackway/ca", "/trackway/io"]);
    }
    assert_eq!(container(&job, "main").resources.unwrap().limits.unwrap()["memory"].0, "1Gi");
}

#[test]
fn a_broadcast_gets_the_signing_secret_of_each_channel() {
    let worker = container(&built(assignment("broadcast"), &revision()), "worker");
    let expected = [("TRACKWAY_WEBHOOK_SECRET_0", "inbox-signing"), ("TRACKWAY_WEBHOOK_SECRET_1", "chat-signing")];
    assert_eq!(of_models(&worker), expected.map(|(name, secret)| (name.to_owned(), secret.to_owned())));
    let signing = worker.env.unwrap().into_iter().filter(|variable| variable.name.starts_with("TRACKWAY_WEBHOOK"));
    let refs = signing.map(|variable| variable.value_from.unwrap().secret_key_ref.unwrap().optional);
    assert!(refs.into_iter().all(|optional| optional == Some(false)), "without it the pod must not start");
}

#[test]
fn a_worker_template_places_pods_and_cannot_take_our_labels() {
    let template: WorkerTemplate = serde_json::from_value(json!({
        "resources": {"requests": {"cpu": "1"}}, "nodeSelector": {"pool": "ai"}, "tolerations": [{"key": "ai", "operator": "Exists"}],
        "imagePullSecrets": [{"name": "registry"}], "labels": {"team": "growth", "trackway.dev/run": "other"},
        "priorityClassName": "batch"}))
    .unwrap();
    let revision = Revision { worker_template: template, ..revision() };
    let job = built(assignment("insights"), &revision);
    let labels = job.metadata.labels.as_ref().unwrap();
    assert_eq!((labels["team"].as_str(), labels["trackway.dev/run"].as_str()), ("growth", "admin-b7k2f9q1"));
    assert_eq!(Some(labels), job.spec.as_ref().unwrap().template.metadata.as_ref().unwrap().labels.as_ref());
    let pod = pod(&job);
    assert_eq!(pod.node_selector.unwrap()["pool"], "ai");
    assert_eq!(pod.tolerations.unwrap().len(), 3, "ours for dead nodes are kept");
    assert_eq!(pod.image_pull_secrets.unwrap()[0].name, "registry");
    assert_eq!(pod.priority_class_name.as_deref(), Some("batch"));
    let resources = container(&job, "worker").resources.unwrap();
    assert_eq!((resources.requests.unwrap()["cpu"].0.as_str(), resources.limits), ("1", None));
}

#[test]
fn what_the_revision_does_not_have_is_an_error() {
    let intent = JobIntent { name: "j".into(), assignment: assignment("nowhere") };
    let parts =
        Parts { run: &run(json!(null)), intent: &intent, revision: &revision(), args: &args(), now: Timestamp::UNIX_EPOCH };
    assert!(build(&parts).unwrap_err().to_string().contains("nowhere"));
}
