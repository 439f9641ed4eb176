//! The list a later stage is done over.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trackway_crds::{
    contracts::{ListInfo, ResolvedForEach},
    ledger::MAX_TARGETS,
    names::sha256_hex,
    text::cut,
};

use crate::answer::Fault;

/// Most bytes of a key in a message.
const MAX_KEY_SHOWN: usize = 64;

/// One entry of the list.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// What tells it from all others.
    pub key: String,
    /// The entry as it was written; prompts see it as `target`.
    pub value: Value,
}

/// The targets in `output`, the accepted output of the stage that `for_each` names. Not a list, an entry that is no object, a key
/// that is neither text nor number or is there twice, more than 1,000 entries: a fault that says which.
pub(crate) fn targets(output: &Value, for_each: &ResolvedForEach) -> Result<Vec<Target>, Fault> {
    let keys = keys(output, for_each)?;
    let entries = list(output, for_each)?;
    Ok(keys.into_iter().zip(entries).map(|(key, value)| Target { key, value: value.clone() }).collect())
}

/// What the operator must know of the list.
pub(crate) fn list_info(output: &Value, for_each: &ResolvedForEach) -> Result<ListInfo, Fault> {
    let keys = keys(output, for_each)?;
    let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
    Ok(ListInfo { count, keys_sha256: sha256_hex(json!(keys).to_string().as_bytes()) })
}

/// The key of each entry, in order.
pub(crate) fn keys(output: &Value, for_each: &ResolvedForEach) -> Result<Vec<String>, Fault> {
    let list = list(output, for_each)?;
    if list.len() > MAX_TARGETS {
        return Err(fault(for_each, &format!("has {} entries; at most {MAX_TARGETS} can be fanned out over", list.len())));
    }
    let mut keys = Vec::with_capacity(list.len());
    let mut seen = BTreeMap::new();
    for (index, entry) in list.iter().enumerate() {
        let key = key(index, entry, for_each)?;
        if let Some(first) = seen.insert(key.clone(), index) {
            let shown = cut(&key, MAX_KEY_SHOWN);
            let message =
                format!("entries {first} and {index} have the same {}, {shown:?}; it must tell them apart", for_each.key);
            return Err(fault(for_each, &message));
        }
        keys.push(key);
    }
    Ok(keys)
}

fn list<'a>(output: &'a Value, for_each: &ResolvedForEach) -> Result<&'a Vec<Value>, Fault> {
    match output.get(&for_each.field) {
        Some(Value::Array(list)) => Ok(list),
        Some(other) => Err(fault(for_each, &format!("is {}, and must be a list of objects", kind(other)))),
        None => Err(fault(for_each, "is not there, and must be a list of objects")),
    }
}

fn key(index: usize, entry: &Value, for_each: &ResolvedForEach) -> Result<String, Fault> {
    let Value::Object(object) = entry else {
        return Err(fault(for_each, &format!("entry {index} is {}, and must be an object", kind(entry))));
    };
    match object.get(&for_each.key) {
        None => Ok(index.to_string()),
        Some(Value::String(key)) if !key.is_empty() => Ok(key.clone()),
        Some(Value::Number(key)) => Ok(key.to_string()),
        Some(other) => {
            let message = format!(
                "entry {index} has {} as its {}, which must be a text that is not empty, or a number",
                kind(other),
                for_each.key
            );
            Err(fault(for_each, &message))
        }
    }
}

fn fault(for_each: &ResolvedForEach, what: &str) -> Fault {
    Fault { permanent: true, ..Fault::new("TargetsInvalid", format!("{}.{}: {what}", for_each.stage, for_each.field)) }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty text",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
