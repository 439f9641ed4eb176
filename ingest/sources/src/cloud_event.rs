//! CloudEvents 1.0, as they come over HTTP.

use crate::json::json;
use crate::read::MapError;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A CloudEvent taken apart; not checked further than its form.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CloudEvent {
    /// Attributes by name, extensions among them; numbers and truth values as text.
    pub attributes: BTreeMap<String, String>,
    /// What the event says; null if nothing.
    pub data: Value,
}

impl CloudEvent {
    /// An event in the JSON format: a body of `application/cloudevents+json`, or one element of a batch.
    ///
    /// # Errors
    /// [`MapError::Field`] naming the attribute.
    pub fn structured(event: Value) -> Result<Self, MapError> {
        let Value::Object(mut fields) = event else {
            return Err(MapError::field("the event", "is not a JSON object"));
        };
        let data = fields.remove("data");
        let encoded = fields.remove("data_base64");
        let attributes = attributes(fields)?;
        let data = match (data, encoded) {
            (Some(_), Some(_)) => return Err(MapError::field("data_base64", "stands beside data: send one of them")),
            (Some(data), None) => data,
            (None, Some(Value::String(text))) => {
                let bytes = STANDARD.decode(text).map_err(|_| MapError::field("data_base64", "is not base64"))?;
                data_of(attributes.get("datacontenttype").map(String::as_str), &bytes)?
            }
            (None, Some(_)) => return Err(MapError::field("data_base64", "is not a text")),
            (None, None) => Value::Null,
        };
        Self { attributes, data }.of_version_1()
    }

    /// An event whose attributes came as headers `ce-…` (names without `ce-`, values already percent-decoded) and whose data is the
    /// body.
    ///
    /// # Errors
    /// [`MapError`], when the body is not of its content type or the version is unknown.
    pub fn binary(attributes: BTreeMap<String, String>, content_type: Option<&str>, body: &[u8]) -> Result<Self, MapError> {
        Self { attributes, data: data_of(content_type, body)? }.of_version_1()
    }

    fn of_version_1(self) -> Result<Self, MapError> {
        match self.attributes.get("specversion").map(String::as_str) {
            Some("1.0") => Ok(self),
            Some(_) => Err(MapError::field("specversion", "is not 1.0: send CloudEvents of version 1.0")),
            None => Err(MapError::field("specversion", "is missing: send CloudEvents of version 1.0")),
        }
    }
}

fn attributes(fields: Map<String, Value>) -> Result<BTreeMap<String, String>, MapError> {
    let mut attributes = BTreeMap::new();
    for (name, value) in fields {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text,
            Value::Bool(yes) => yes.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(MapError::field(
                    &shown(&name),
                    "is a list or an object: attributes of a CloudEvent are texts, numbers or truth values",
                ));
            }
        };
        attributes.insert(name, text);
    }
    Ok(attributes)
}

/// JSON as it is, other text as text, anything else as `{"base64": …}`.
fn data_of(content_type: Option<&str>, bytes: &[u8]) -> Result<Value, MapError> {
    let kind = content_type.and_then(|kind| kind.split(';').next()).map(|kind| kind.trim().to_ascii_lowercase());
    let is_json = kind.as_deref().is_none_or(|kind| kind == "application/json" || kind == "text/json" || kind.ends_with("+json"));
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    if is_json {
        return json(bytes);
    }
    Ok(match std::str::from_utf8(bytes) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => serde_json::json!({"base64": STANDARD.encode(bytes)}),
    })
}

/// A name that a stranger chose, as far as a message repeats it.
fn shown(name: &str) -> String {
    name.chars().take(40).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
