//! The pod of a Job: one container, or around a program of the user's three. All of them satisfy the restricted Pod Security
//! Standard.

use super::{
    Parts, environment,
    task::{Program, Task},
};
use crate::run::view::{FETCH, MAIN, REVISION_VOLUME, WORKER};
use serde_json::{Value, json};
use trackway_crds::track::{Resources, Toleration};

pub(super) const REVISION_DIR: &str = "/trackway/revision";
const CA_DIR: &str = "/trackway/ca";
/// Where our containers see what a program reads and writes; it sees the same at [`PROGRAM_DIR`].
const IO_DIR: &str = "/trackway/io";
const PROGRAM_DIR: &str = "/trackway";
const IO_VOLUME: &str = "io";
const TMP_VOLUME: &str = "tmp";

pub(super) fn spec(parts: &Parts<'_>, task: &Task<'_>, timeout_seconds: u64) -> serde_json::Result<Value> {
    let template = &parts.revision.worker_template;
    let mut volumes = vec![
        json!({"name": REVISION_VOLUME, "configMap": {"name": parts.intent.assignment.revision}}),
        json!({"name": "ca", "projected": {"sources": environment::authorities(task)}}),
    ];
    let (init, worker) = match &task.program {
        None => (Vec::new(), ours(parts, WORKER, None, environment::keys(task))?),
        Some(program) => {
            volumes.extend([IO_VOLUME, TMP_VOLUME].map(|name| json!({"name": name, "emptyDir": {}})));
            let fetch = ours(parts, FETCH, Some("fetch"), Vec::new())?;
            (vec![fetch, theirs(parts, program)], ours(parts, WORKER, Some("report"), environment::keys(task))?)
        }
    };
    Ok(json!({
        "restartPolicy": "Never",
        "serviceAccountName": parts.args.worker_service_account,
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "activeDeadlineSeconds": timeout_seconds,
        "terminationGracePeriodSeconds": 5,
        "tolerations": tolerations(&template.tolerations),
        "nodeSelector": template.node_selector,
        "imagePullSecrets": template.image_pull_secrets,
        "priorityClassName": template.priority_class_name,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": init,
        "containers": [worker],
        "volumes": volumes,
    }))
}

fn tolerations(theirs: &[Toleration]) -> Vec<Value> {
    let ours = |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 30});
    let ours = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"].map(ours);
    ours.into_iter().chain(theirs.iter().map(|toleration| json!(toleration))).collect()
}

/// A container of ours. `step`: its part around a program.
fn ours(parts: &Parts<'_>, name: &str, step: Option<&str>, keys: Vec<Value>) -> serde_json::Result<Value> {
    let mut env = environment::basic(parts)?;
    env.extend(keys);
    let mut mounts = vec![
        json!({"name": REVISION_VOLUME, "mountPath": REVISION_DIR, "readOnly": true}),
        json!({"name": "ca", "mountPath": CA_DIR, "readOnly": true}),
    ];
    mounts.extend(step.map(|_| json!({"name": IO_VOLUME, "mountPath": IO_DIR})));
    Ok(json!({
        "name": name,
        "image": parts.args.worker_image,
        "imagePullPolicy": parts.args.worker_image_pull_policy,
        "args": step.map(|step| [step]),
        "env": env,
        "securityContext": security(),
        "resources": resources(parts.revision.worker_template.resources.as_ref()),
        "volumeMounts": mounts,
    }))
}

/// The user's program: no environment, no volume and no secret of ours.
fn theirs(parts: &Parts<'_>, program: &Program<'_>) -> Value {
    let own = program.resources.or(parts.revision.worker_template.resources.as_ref());
    let env: Vec<_> = program.env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    json!({
        "name": MAIN,
        "image": program.image,
        // Left out, the image's own; an empty list would mean the same but reads as "nothing".
        "command": (!program.command.is_empty()).then_some(program.command),
        "args": (!program.args.is_empty()).then_some(program.args),
        "env": env,
        "securityContext": security(),
        "resources": resources(own),
        "volumeMounts": [{"name": IO_VOLUME, "mountPath": PROGRAM_DIR}, {"name": TMP_VOLUME, "mountPath": "/tmp"}],
    })
}

fn security() -> Value {
    json!({"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]}})
}

fn resources(given: Option<&Resources>) -> Value {
    given.map_or_else(
        || json!({"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "512Mi"}}),
        |given| json!(given),
    )
}
