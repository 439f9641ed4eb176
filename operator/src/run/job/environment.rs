//! What our containers are told, and which secrets they get: those of what they call, no others.

use super::{Parts, pod::REVISION_DIR, task::Task};
use crate::run::view::ASSIGNMENT;
use serde_json::{Value, json};

/// Of every container of ours: its task, its place in the cluster, the store and the stream.
pub(super) fn basic(parts: &Parts<'_>) -> serde_json::Result<Vec<Value>> {
    let args = parts.args;
    let shared = |name: &str, key: &str| secret(name, &args.worker_secret, key, true);
    Ok(vec![
        value(ASSIGNMENT, &serde_json::to_string(&parts.intent.assignment)?),
        value("TRACKWAY_REVISION_DIR", REVISION_DIR),
        value("TRACKWAY_STORE_URL", &args.store_url),
        value("TRACKWAY_NATS_URL", args.worker_nats_url.as_ref().unwrap_or(&args.nats_url)),
        json!({"name": "TRACKWAY_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}),
        shared("TRACKWAY_NATS_USER", "nats-user"),
        shared("TRACKWAY_NATS_PASSWORD", "nats-password"),
        shared("TRACKWAY_NATS_INBOX_PREFIX", "nats-inbox-prefix"),
        shared("AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY_ID"),
        shared("AWS_SECRET_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY"),
    ])
}

/// Of the container that calls models and receivers: their keys and signing secrets, without which it must not start.
pub(super) fn keys(task: &Task<'_>) -> Vec<Value> {
    let models = task.models.iter().filter_map(|used| {
        let key = used.model.api_key_secret_ref.as_ref()?;
        Some(secret(used.key, &key.name, &key.key, false))
    });
    let channels = task.channels.iter().enumerate().map(|(ordinal, channel)| {
        let signing = &channel.signing_secret_ref;
        secret(&format!("TRACKWAY_WEBHOOK_SECRET_{ordinal}"), &signing.name, &signing.key, false)
    });
    models.chain(channels).collect()
}

/// The endpoints' certificate authorities, as sources of a projected volume.
pub(super) fn authorities(task: &Task<'_>) -> Vec<Value> {
    let source = |bundle: &trackway_crds::model_endpoint::ConfigMapKeyRef, path: &str| json!({"configMap": {"name": bundle.name, "items": [{"key": bundle.key, "path": path}]}});
    task.models.iter().filter_map(|used| Some(source(used.model.ca_bundle_ref.as_ref()?, used.file))).collect()
}

/// Kubernetes reads `$(NAME)` and `$$` in values; what we pass on, words of tenants among it, is meant as it is.
fn value(name: &str, value: &str) -> Value {
    json!({"name": name, "value": value.replace('$', "$$")})
}

fn secret(name: &str, secret: &str, key: &str, optional: bool) -> Value {
    json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": optional}}})
}
