//! The generated files: CRD manifests and the contracts' JSON Schemas.

use crate::{BatchRun, ModelEndpoint, Questionnaire, Track, contracts};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use schemars::{Schema, SchemaGenerator, json_schema, schema_for};
use serde_json::{Value, json};

/// A map of free-form JSON values, at most 16 of them.
pub(crate) fn free_form(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": 16, "x-kubernetes-preserve-unknown-fields": true})
}

/// A JSON Schema: an object of up to 32 keywords, whatever they are.
pub(crate) fn a_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": 32, "x-kubernetes-preserve-unknown-fields": true})
}

/// The custom resource definitions as JSON values, by file name, ready to be written as YAML and applied.
///
/// # Errors
/// When a definition cannot be written as JSON, which the test of this module rules out.
pub fn definitions() -> Result<Vec<(&'static str, Value)>, serde_json::Error> {
    let crds: [(&'static str, CustomResourceDefinition); 4] = [
        ("batchruns.yaml", BatchRun::crd()),
        ("modelendpoints.yaml", ModelEndpoint::crd()),
        ("questionnaires.yaml", Questionnaire::crd()),
        ("tracks.yaml", Track::crd()),
    ];
    crds.into_iter().map(|(file, crd)| Ok((file, polished(serde_json::to_value(crd)?)))).collect()
}

/// JSON Schemas of the contracts, by file name.
#[must_use]
pub fn contract_schemas() -> Vec<(&'static str, Schema)> {
    vec![
        ("assignment.json", schema_for!(contracts::Assignment)),
        ("attempt-record.json", schema_for!(contracts::AttemptRecord)),
        ("batch-document.json", schema_for!(contracts::BatchDocument)),
        ("batch-ready.json", schema_for!(contracts::BatchReady)),
        ("broadcast-output.json", schema_for!(contracts::BroadcastOutput)),
        ("context-answer.json", schema_for!(contracts::ContextAnswer)),
        ("debugger-answer.json", schema_for!(contracts::DebuggerAnswer)),
        ("diagnosis.json", schema_for!(contracts::StoredDiagnosis)),
        ("failure-record.json", schema_for!(contracts::FailureRecord)),
        ("event.json", schema_for!(contracts::StoredEvent)),
        ("fan-out-output.json", schema_for!(contracts::FanOutOutput)),
        ("judge-answer.json", schema_for!(contracts::JudgeAnswer)),
        ("pod-digest.json", schema_for!(contracts::PodDigest)),
        ("questionnaire-record.json", schema_for!(contracts::QuestionnaireRecord)),
        ("result.json", schema_for!(contracts::StageResult)),
        ("retrieve-answer.json", schema_for!(contracts::RetrieveAnswer)),
        ("retrieve-request.json", schema_for!(contracts::RetrieveRequest)),
        ("revision.json", schema_for!(contracts::Revision)),
        ("stage-input.json", schema_for!(contracts::StageInput)),
        ("tenant-context.json", schema_for!(contracts::TenantContext)),
        ("verdict.json", schema_for!(contracts::StoredVerdict)),
    ]
}

fn polished(mut crd: Value) -> Value {
    if let Some(versions) = crd.pointer_mut("/spec/versions").and_then(Value::as_array_mut) {
        for version in versions {
            if let Some(schema) = version.pointer_mut("/schema/openAPIV3Schema") {
                polish(schema);
                // A run without a status reads as "done" to tools that follow kstatus.
                if let Some(status) = schema.pointer_mut("/properties/status/properties/observedGeneration") {
                    status["default"] = json!(-1);
                    schema["properties"]["status"]["default"] = json!({"observedGeneration": -1});
                }
            }
        }
    }
    crd
}

/// Bounds what derive leaves open: lists are atomic unless they say otherwise (one writer, no managedFields growth), and texts
/// of Kubernetes' own types get the limits the API conventions give them.
fn polish(schema: &mut Value) {
    let Some(node) = schema.as_object_mut() else { return };
    match node.get("type").and_then(Value::as_str) {
        Some("array") => {
            node.entry("x-kubernetes-list-type").or_insert(json!("atomic"));
        }
        // The API server knows no unsigned formats and warns of each at every apply; `minimum` says the same.
        Some("integer") if node.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) => {
            node.remove("format");
        }
        Some("string") if !node.contains_key("enum") && !node.contains_key("format") => {
            node.entry("maxLength").or_insert(json!(1024));
        }
        _ => {}
    }
    for key in ["properties", "$defs"] {
        if let Some(children) = node.get_mut(key).and_then(Value::as_object_mut) {
            children.values_mut().for_each(polish);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = node.get_mut(key) {
            polish(child);
        }
    }
}
