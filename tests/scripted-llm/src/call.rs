//! Recognises a request: what kind it is, what it says, which schema its answer must follow.

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// What a request wants, recognised by the name of its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Anything but the others: schema `output`, `context_validation`, or none.
    Generate,
    /// Schema `verdict`.
    Judge,
    /// Schema `diagnosis`.
    Debug,
    /// A request for embeddings.
    Embed,
}

/// How the answer's shape was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// `response_format: {type: json_schema}`
    JsonSchema,
    /// `response_format: {type: json_object}`
    JsonObject,
    /// No `response_format`, or `{type: text}`.
    Text,
}

/// The `x-trackway-*` headers of a call; empty where absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TrackwayHeaders {
    /// `x-trackway-run`: the run's uid.
    pub run: String,
    /// `x-trackway-run-name`
    pub run_name: String,
    /// `x-trackway-stage`
    pub stage: String,
    /// `x-trackway-attempt`
    pub attempt: String,
    /// `x-trackway-try`
    #[serde(rename = "try")]
    pub try_: String,
    /// `x-trackway-index`: the target of a fan-out.
    pub index: String,
    /// `x-trackway-target`: its key.
    pub target: String,
    /// `x-trackway-purpose`: generate, judge, repair or debug.
    pub purpose: String,
}

impl TrackwayHeaders {
    pub(crate) fn read(headers: &HeaderMap) -> TrackwayHeaders {
        let of = |name: &str| header(headers, name).unwrap_or_default().to_owned();
        TrackwayHeaders {
            run: of("x-trackway-run"),
            run_name: of("x-trackway-run-name"),
            stage: of("x-trackway-stage"),
            attempt: of("x-trackway-attempt"),
            try_: of("x-trackway-try"),
            index: of("x-trackway-index"),
            target: of("x-trackway-target"),
            purpose: of("x-trackway-purpose"),
        }
    }
}

/// A header's value, when it is text.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A recognised request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) kind: Kind,
    pub(crate) model: String,
    pub(crate) format: Format,
    /// All messages, one after the other.
    pub(crate) text: String,
    pub(crate) schema: Option<Value>,
    pub(crate) headers: HeaderMap,
    pub(crate) trackway: TrackwayHeaders,
    /// sha256 of model, text and schema, hexadecimal.
    pub(crate) hash: String,
}

/// What introduces a schema told in words; its name in quotes and the schema follow.
const TOLD_SCHEMA: &str = "JSON Schema \"";

impl Call {
    /// Recognises a chat request. An `Err` says what the protocol expects.
    pub(crate) fn chat(body: &Value, headers: HeaderMap) -> Result<Call, String> {
        let messages = body.get("messages").and_then(Value::as_array).ok_or("'messages' must be a list")?;
        if body.get("stream").and_then(Value::as_bool) == Some(true) {
            return Err("'stream' is not supported here".to_owned());
        }
        let text = messages.iter().filter_map(|message| content(message.get("content")?)).collect::<Vec<_>>().join("\n\n");
        let format = match body.pointer("/response_format/type").and_then(Value::as_str) {
            Some("json_schema") => Format::JsonSchema,
            Some("json_object") => Format::JsonObject,
            _ => Format::Text,
        };
        let named = body.pointer("/response_format/json_schema").and_then(named_schema).or_else(|| told_schema(&text));
        let (name, schema) = named.unzip();
        let kind = match name.as_deref() {
            Some("verdict") => Kind::Judge,
            Some("diagnosis") => Kind::Debug,
            _ => Kind::Generate,
        };
        Ok(Call::new(kind, body, format, text, schema, headers))
    }

    /// Recognises a request for embeddings and the texts it is about.
    pub(crate) fn embeddings(body: &Value, headers: HeaderMap) -> Result<(Call, Vec<String>), String> {
        let inputs = match body.get("input") {
            Some(Value::String(text)) => vec![text.clone()],
            Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        if inputs.is_empty() {
            return Err("'input' must be a text or a list of texts".to_owned());
        }
        Ok((Call::new(Kind::Embed, body, Format::Text, inputs.join("\n\n"), None, headers), inputs))
    }

    fn new(kind: Kind, body: &Value, format: Format, text: String, schema: Option<Value>, headers: HeaderMap) -> Call {
        let model = body.get("model").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut hash = Sha256::new();
        for part in [&model, &text, &schema.as_ref().map(Value::to_string).unwrap_or_default()] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        let hash = hex::encode(hash.finalize());
        Call { kind, model, format, text, schema, trackway: TrackwayHeaders::read(&headers), headers, hash }
    }
}

fn content(content: &Value) -> Option<String> {
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) => Some(parts.iter().filter_map(|part| part.get("text")?.as_str()).collect()),
        _ => None,
    }
}

fn named_schema(named: &Value) -> Option<(String, Value)> {
    Some((named.get("name")?.as_str()?.to_owned(), named.get("schema")?.clone()))
}

/// A schema in the text, as a client writes it for servers without `json_schema`: the last one wins.
fn told_schema(text: &str) -> Option<(String, Value)> {
    let (_, after) = text.rsplit_once(TOLD_SCHEMA)?;
    let (name, rest) = after.split_once('"')?;
    let schema = rest.get(rest.find('{')?..)?;
    let value = serde_json::Deserializer::from_str(schema).into_iter::<Value>().next()?.ok()?;
    Some((name.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kind(body: Value) -> (Kind, Format, bool) {
        let call = Call::chat(&body, HeaderMap::new()).unwrap();
        (call.kind, call.format, call.schema.is_some())
    }

    #[test]
    fn the_schema_name_tells_the_kind() {
        let with = |name: &str| {
            json!({"messages": [{"role": "user", "content": "x"}],
                "response_format": {"type": "json_schema", "json_schema": {"name": name, "schema": {"type": "object"}}}})
        };
        assert_eq!(kind(with("verdict")), (Kind::Judge, Format::JsonSchema, true));
        assert_eq!(kind(with("diagnosis")), (Kind::Debug, Format::JsonSchema, true));
        assert_eq!(kind(with("output")), (Kind::Generate, Format::JsonSchema, true));
        assert_eq!(kind(json!({"messages": []})), (Kind::Generate, Format::Text, false));
    }

    #[test]
    fn a_schema_told_in_words_is_found() {
        let words = "Answer with one JSON object. It must be valid for the JSON Schema \"verdict\":\n{\"type\":\"object\"}";
        let body = json!({"messages": [{"role": "user", "content": [{"type": "text", "text": words}]}],
            "response_format": {"type": "json_object"}});
        assert_eq!(kind(body), (Kind::Judge, Format::JsonObject, true));
    }

    #[test]
    fn what_the_protocol_does_not_allow_is_said() {
        assert_eq!(Call::chat(&json!({}), HeaderMap::new()).unwrap_err(), "'messages' must be a list");
        let streamed = json!({"messages": [], "stream": true});
        assert_eq!(Call::chat(&streamed, HeaderMap::new()).unwrap_err(), "'stream' is not supported here");
    }
}
