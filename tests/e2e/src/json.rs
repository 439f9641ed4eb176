//! JSON and YAML as tests write them.

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads YAML.
///
/// # Errors
/// What the reader says; `what` names the text.
pub fn yaml<T: DeserializeOwned>(what: &str, text: &str) -> anyhow::Result<T> {
    serde_saphyr::from_str(text).with_context(|| what.to_owned())
}

/// Merges `patch` into `target` as a JSON merge patch does: `null` removes, lists are replaced.
pub fn merge(target: &mut Value, patch: &Value) {
    let (Some(fields), Some(changes)) = (target.as_object_mut(), patch.as_object()) else {
        *target = patch.clone();
        return;
    };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else if change.is_object() {
            merge(fields.entry(name.clone()).or_insert_with(|| Value::Object(Default::default())), change);
        } else {
            fields.insert(name.clone(), change.clone());
        }
    }
}
