//! The Job of one try. Pure: the same try gives the same Job.

use super::view::{REVISION_VOLUME, WORKER};
use crate::args::Args;
use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};
use trackway_crds::{
    BatchRun,
    contracts::{ResolvedModel, ResolvedStage},
    labels,
    model_endpoint::ConfigMapKeyRef,
};
use trackway_plan::JobIntent;

const REVISION_DIR: &str = "/trackway/revision";
const CA_DIR: &str = "/trackway/ca";
const MILLIS: u64 = 1000;

/// The Job for `intent`, suspended, owned by `run`.
///
/// # Errors
/// When the parts do not make a Job, which only a bug can cause.
pub(crate) fn build(
    run: &BatchRun,
    intent: &JobIntent,
    stage: &ResolvedStage,
    start_timeout_millis: u64,
    args: &Args,
) -> serde_json::Result<Job> {
    let assignment = &intent.assignment;
    let labels = json!({
        labels::MANAGED_BY: labels::MANAGER,
        labels::TRACK: run.spec.track_ref.name,
        labels::RUN: assignment.run.name,
        labels::STAGE: assignment.stage,
        labels::ATTEMPT: assignment.attempt.to_string(),
        labels::TRY: assignment.try_.to_string(),
    });
    let timeout = stage.timeout_millis.div_ceil(MILLIS);
    serde_json::from_value(json!({
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
            // Jobs never retry: their own retries wait 10 to 20 s and hang on a dead node.
            "backoffLimit": 0,
            "activeDeadlineSeconds": timeout + start_timeout_millis.div_ceil(MILLIS),
            "template": {"metadata": {"labels": labels}, "spec": pod(intent, stage, timeout, args)?},
        },
    }))
}

fn pod(intent: &JobIntent, stage: &ResolvedStage, timeout: u64, args: &Args) -> serde_json::Result<Value> {
    let toleration = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30});
    Ok(json!({
        "restartPolicy": "Never",
        "serviceAccountName": args.worker_service_account,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "activeDeadlineSeconds": timeout,
        "terminationGracePeriodSeconds": 5,
        "tolerations": [toleration("node.kubernetes.io/not-ready"), toleration("node.kubernetes.io/unreachable")],
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": WORKER,
            "image": args.worker_image,
            "imagePullPolicy": args.worker_image_pull_policy,
            "env": environment(intent, stage, args)?,
            "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
            },
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "512Mi"}},
            "volumeMounts": [
                {"name": REVISION_VOLUME, "mountPath": REVISION_DIR, "readOnly": true},
                {"name": "ca", "mountPath": CA_DIR, "readOnly": true},
            ],
        }],
        "volumes": [
            {"name": REVISION_VOLUME, "configMap": {"name": intent.assignment.revision}},
            {"name": "ca", "projected": {"sources": authorities(stage)}},
        ],
    }))
}

fn environment(intent: &JobIntent, stage: &ResolvedStage, args: &Args) -> serde_json::Result<Vec<Value>> {
    let value = |name: &str, value: &str| json!({"name": name, "value": value});
    let secret = |name: &str, secret: &str, key: &str, optional: bool| json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": optional}}});
    let worker = &args.worker_secret;
    let mut environment = vec![
        value("TRACKWAY_ASSIGNMENT", &serde_json::to_string(&intent.assignment)?),
        value("TRACKWAY_REVISION_DIR", REVISION_DIR),
        value("TRACKWAY_STORE_URL", &args.store_url),
        value("TRACKWAY_NATS_URL", args.worker_nats_url.as_ref().unwrap_or(&args.nats_url)),
        json!({"name": "TRACKWAY_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}),
        secret("TRACKWAY_NATS_USER", worker, "nats-user", true),
        secret("TRACKWAY_NATS_PASSWORD", worker, "nats-password", true),
        secret("TRACKWAY_NATS_INBOX_PREFIX", worker, "nats-inbox-prefix", true),
        secret("AWS_ACCESS_KEY_ID", worker, "AWS_ACCESS_KEY_ID", true),
        secret("AWS_SECRET_ACCESS_KEY", worker, "AWS_SECRET_ACCESS_KEY", true),
    ];
    let mut key = |name: &str, model: &ResolvedModel| {
        if let Some(key) = &model.api_key_secret_ref {
            environment.push(secret(name, &key.name, &key.key, false));
        }
    };
    if let Some(model) = stage.model() {
        key("TRACKWAY_API_KEY_GENERATE", model);
    }
    if let Some(judge) = &stage.judge {
        key("TRACKWAY_API_KEY_JUDGE", &judge.model);
    }
    Ok(environment)
}

fn authorities(stage: &ResolvedStage) -> Vec<Value> {
    let source = |bundle: &Option<ConfigMapKeyRef>, path: &str| {
        bundle.as_ref().map(|bundle| json!({"configMap": {"name": bundle.name, "items": [{"key": bundle.key, "path": path}]}}))
    };
    let judge = stage.judge.as_ref().and_then(|judge| source(&judge.model.ca_bundle_ref, "judge.pem"));
    let generate = stage.model().and_then(|model| source(&model.ca_bundle_ref, "generate.pem"));
    generate.into_iter().chain(judge).collect()
}
