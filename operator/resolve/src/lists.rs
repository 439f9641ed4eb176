//! What a schema says of a list that a stage writes.

use serde_json::{Map, Value};
use trackway_prompt::Output;

/// Schemas may refer to themselves.
const MAX_DEPTH: usize = 16;

/// What is known of the entries of a list.
pub(crate) enum Entries<'a> {
    /// Objects with exactly these fields, or with these and others.
    Objects { fields: Option<&'a Map<String, Value>>, closed: bool, root: &'a Value },
    /// Nothing: the schema leaves it open.
    Open,
}

impl Entries<'_> {
    /// The type of field `name`: `Some(None)` when it is there or may be there, of a type the schema leaves open; `None` when
    /// entries cannot have it.
    pub(crate) fn kind_of(&self, name: &str) -> Option<Option<&str>> {
        let Self::Objects { fields, closed, root } = self else { return Some(None) };
        match fields.and_then(|fields| fields.get(name)) {
            Some(schema) => Some(follow(root, schema).and_then(kind)),
            None if *closed => None,
            None => Some(None),
        }
    }

    /// The fields that are known, for messages.
    pub(crate) fn names(&self) -> Vec<&str> {
        match self {
            Self::Objects { fields: Some(fields), .. } => fields.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

/// The list in `field` of an output.
///
/// # Errors
/// Why it is no list of objects, as the end of a sentence that begins with what it should be.
pub(crate) fn entries<'a>(output: &'a Output, field: &str) -> Result<Entries<'a>, String> {
    match output {
        Output::Unknown => Ok(Entries::Open),
        Output::Schema(schema) => of_schema(schema, field),
        Output::Text => Err("its output is {\"text\": string}".into()),
        Output::FanOut(_) => Err("it has forEach, and its output is put together from its targets only when it is read".into()),
        Output::Broadcast => Err("its output is a report of what was sent".into()),
    }
}

fn of_schema<'a>(root: &'a Value, field: &str) -> Result<Entries<'a>, String> {
    let Some(object) = follow(root, root) else { return Ok(Entries::Open) };
    let fields = object.get("properties").and_then(Value::as_object);
    let list = match fields.and_then(|fields| fields.get(field)) {
        Some(list) => list,
        None if is_closed(object) => {
            let names: Vec<_> = fields.into_iter().flat_map(|fields| fields.keys().map(String::as_str)).collect();
            return Err(format!("its schema has no field {field}; it has: {}", crate::fault::list(names)));
        }
        None => return Ok(Entries::Open),
    };
    let Some(list) = follow(root, list) else { return Ok(Entries::Open) };
    match kind(list) {
        Some("array") => {}
        Some(other) => return Err(format!("in its schema {field} has type {other:?}")),
        None => return Ok(Entries::Open),
    }
    let Some(entry) = list.get("items").and_then(|entry| follow(root, entry)) else { return Ok(Entries::Open) };
    match kind(entry) {
        Some("object") => {
            let fields = entry.get("properties").and_then(Value::as_object);
            Ok(Entries::Objects { fields, closed: is_closed(entry), root })
        }
        Some(other) => Err(format!("in its schema the entries of {field} have type {other:?}")),
        None => Ok(Entries::Open),
    }
}

/// As prompts see it: what a schema does not name is unknown, unless it says that it takes others.
fn is_closed(object: &Map<String, Value>) -> bool {
    object.contains_key("properties")
        && matches!(object.get("additionalProperties"), None | Some(Value::Bool(false)))
        && !object.contains_key("patternProperties")
}

fn kind(schema: &Map<String, Value>) -> Option<&str> {
    schema.get("type").and_then(Value::as_str)
}

/// The schema behind references; `None` when it leaves open what it is.
fn follow<'a>(root: &'a Value, schema: &'a Value) -> Option<&'a Map<String, Value>> {
    let mut schema = schema.as_object()?;
    for _ in 0..MAX_DEPTH {
        let Some(reference) = schema.get("$ref") else {
            let composed = ["anyOf", "oneOf", "allOf", "if"].iter().any(|keyword| schema.contains_key(*keyword));
            return (!composed).then_some(schema);
        };
        schema = root.pointer(reference.as_str()?.strip_prefix('#')?)?.as_object()?;
    }
    None
}
