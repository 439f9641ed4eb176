//! Output schemas: JSON Schemas whose root is an object.

use crate::{
    fault::{Fault, Faults, Reason, list},
    json_lines::line_of,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// Reads the schema under `key`; faults are said at `path`.
pub(crate) fn read(path: &str, key: &str, files: &BTreeMap<String, String>, source: &str, faults: &mut Faults) -> Option<Value> {
    let Some(text) = files.get(key) else {
        let message = format!(
            "no key {key} in the prompts ({source}); it has: {}. Add the schema under this key, or leave outputSchema out",
            list(files.keys().map(String::as_str))
        );
        faults.add(path, Reason::SchemaMissing, message);
        return None;
    };
    match checked(text) {
        Ok(schema) => Some(schema),
        Err((line, message)) => {
            let (path, file) = (path.to_owned(), Some(key.to_owned()));
            faults.push(Fault { path, reason: Reason::SchemaInvalid, message, file, line: Some(line) });
            None
        }
    }
}

fn checked(text: &str) -> Result<Value, (u32, String)> {
    let schema: Value = serde_json::from_str(text)
        .map_err(|error| (u32::try_from(error.line()).unwrap_or(1).max(1), format!("not JSON: {error}")))?;
    match schema.get("type") {
        Some(Value::String(kind)) if kind == "object" => {}
        found => {
            let found = found.map_or_else(|| "no type".to_owned(), |kind| format!("type {kind}"));
            let line = line_of(text, "/type").unwrap_or(1);
            return Err((line, format!("the schema's root has {found}; an output is an object: write \"type\": \"object\"")));
        }
    }
    if let Err(error) = jsonschema::validator_for(&schema) {
        let pointer = error.instance_path().to_string();
        let at = if pointer.is_empty() { "the root" } else { &pointer };
        let message = format!("not a JSON Schema, at {at}: {error}");
        return Err((line_of(text, &pointer).unwrap_or(1), message));
    }
    Ok(schema)
}
