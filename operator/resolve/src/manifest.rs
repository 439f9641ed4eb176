//! A resource as written, held against its definition: bounds of every field, and no field Kubernetes would silently drop.

use crate::{
    fault::{Fault, Faults, Reason, list},
    for_each::not_a_list,
};
use jsonschema::{ValidationError, error::ValidationErrorKind};
use serde_json::{Value, json};
use trackway_crds::{
    Tolerance,
    duration::{self, NotADuration},
    manifests::definitions,
};

/// Checks the `kind` (`Track`, `ModelEndpoint`, `BatchRun`) in `document` against its definition, as the API server would, but
/// with unknown fields as faults. A kind that is not Trackway's has none.
#[must_use]
pub fn check_manifest(kind: &str, document: &Value) -> Vec<Fault> {
    let mut faults = Faults::default();
    let Some(schema) = strict_schema(kind) else { return faults.into_vec() };
    match jsonschema::validator_for(&schema) {
        Ok(validator) => validator.iter_errors(document).for_each(|error| explain(&error, document, &schema, &mut faults)),
        Err(error) => faults.add("", Reason::SpecInvalid, format!("the definition of {kind} cannot be read: {error}")),
    }
    faults.into_vec()
}

fn strict_schema(kind: &str) -> Option<Value> {
    let definitions = definitions().ok()?;
    let (_, crd) = definitions.into_iter().find(|(_, crd)| crd.pointer("/spec/names/kind").is_some_and(|found| found == kind))?;
    let mut schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema")?.clone();
    let spec = schema.pointer_mut("/properties/spec")?;
    strict(spec);
    let metadata = json!({"type": "object", "required": ["name"], "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 253,
        "pattern": "^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"}}});
    Some(json!({
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "properties": {"apiVersion": {"const": "trackway.dev/v1alpha1"}, "kind": {}, "metadata": metadata, "spec": spec, "status": {}}
    }))
}

/// Kubernetes' dialect to JSON Schema's: `nullable` is a type, and what is not listed is refused.
fn strict(schema: &mut Value) {
    let Some(node) = schema.as_object_mut() else { return };
    if node.get("nullable") == Some(&Value::Bool(true))
        && let Some(kind) = node.get_mut("type")
    {
        *kind = json!([kind.clone(), "null"]);
    }
    let free = node.get("x-kubernetes-preserve-unknown-fields").is_some() || node.contains_key("additionalProperties");
    if node.contains_key("properties") && !free {
        node.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    if let Some(Value::Object(properties)) = node.get_mut("properties") {
        properties.values_mut().for_each(strict);
    }
    for child in ["items", "additionalProperties"] {
        if let Some(child) = node.get_mut(child) {
            strict(child);
        }
    }
}

fn explain(error: &ValidationError<'_>, document: &Value, schema: &Value, faults: &mut Faults) {
    let path = path_of(error.instance_path().as_str(), document);
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known = known_fields(error.schema_path().as_str(), schema);
            for key in unexpected {
                let message = format!("unknown field {key}; known here: {known}. Kubernetes would drop it silently");
                faults.add(join(key), Reason::SpecInvalid, message);
            }
        }
        ValidationErrorKind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            let message = if path.is_empty() { format!("{key} is missing") } else { format!("{key} is missing: add it here") };
            faults.add(if path.is_empty() { key.to_owned() } else { path }, Reason::SpecInvalid, message);
        }
        ValidationErrorKind::Pattern { pattern } if pattern == duration::PATTERN => {
            let text = error.instance().as_str().unwrap_or_default().to_owned();
            faults.add(path, Reason::BadDuration, NotADuration(text).to_string());
        }
        ValidationErrorKind::Type { .. } if in_quotes_it_would_do(error) => {
            faults.add(path, Reason::SpecInvalid, format!("{error}: write it in quotes, \"{}\"", error.instance()));
        }
        ValidationErrorKind::Pattern { .. } => {
            let message = explained(&path, error.instance()).unwrap_or_else(|| error.to_string());
            faults.add(path, Reason::SpecInvalid, message);
        }
        _ => faults.add(path, Reason::SpecInvalid, error.to_string()),
    }
}

/// YAML reads `cpu: 2` and `x: yes` as no texts.
fn in_quotes_it_would_do(error: &ValidationError<'_>) -> bool {
    (error.instance().is_number() || error.instance().is_boolean()) && error.to_string().ends_with("\"string\"")
}

/// A pattern says little to people; `None` where it says enough.
fn explained(path: &str, value: &Value) -> Option<String> {
    let text = value.as_str()?;
    if path.ends_with(".toleratedFailures") {
        return text.parse::<Tolerance>().err().map(|error| error.to_string());
    }
    path.ends_with(".forEach.items").then(|| not_a_list(text))
}

fn known_fields(schema_path: &str, schema: &Value) -> String {
    let parent = schema_path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let properties = schema.pointer(&format!("{parent}/properties")).and_then(Value::as_object);
    list(properties.into_iter().flat_map(|properties| properties.keys().map(String::as_str)))
}

/// `/spec/stages/1/name` → `spec.stages[1].name`.
fn path_of(pointer: &str, document: &Value) -> String {
    let (mut path, mut node) = (String::new(), Some(document));
    for token in pointer.split('/').skip(1) {
        let key = token.replace("~1", "/").replace("~0", "~");
        let next = match node {
            Some(Value::Array(items)) => {
                path.push_str(&format!("[{key}]"));
                key.parse::<usize>().ok().and_then(|index| items.get(index))
            }
            parent => {
                path.push_str(if path.is_empty() { "" } else { "." });
                path.push_str(&key);
                parent.and_then(|parent| parent.get(&key))
            }
        };
        node = next;
    }
    path
}
