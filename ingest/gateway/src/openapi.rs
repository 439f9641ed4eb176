//! `/openapi.json`: paths from the table of routes, schemas from the types.

use crate::{
    answers::{Answers, Progress, Questionnaire},
    events::Accepted,
    problem::{self, Document, Kind},
    routes::{ROUTES, Task},
};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// A CloudEvent as its JSON format has it.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "CloudEvent")]
struct CloudEventDocument {
    /// `1.0`.
    specversion: String,
    /// Unique within its source.
    #[schemars(length(min = 1, max = 256))]
    id: String,
    /// Where it happened.
    #[schemars(length(min = 1, max = 512))]
    source: String,
    /// What kind of thing happened.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 128))]
    type_: String,
    /// When it happened; absent: when it is taken.
    time: Option<jiff::Timestamp>,
    /// What it is about.
    #[schemars(length(max = 256))]
    subject: Option<String>,
    /// Media type of `data`.
    datacontenttype: Option<String>,
    /// What happened.
    data: Option<Value>,
    /// The same in base64, for what is no JSON.
    data_base64: Option<String>,
}

/// The document.
#[must_use]
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(assemble);
    &DOCUMENT
}

fn assemble() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    for route in ROUTES {
        let mut operation = operation(route.task, &mut schemas);
        let parameters: Vec<Value> = parameters(route.path);
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.task.method().as_str().to_ascii_lowercase()] = operation;
    }
    let problems = schemas.subschema_for::<Document>();
    let responses: Map<String, Value> =
        Kind::ALL.iter().map(|kind| (kind.name().to_owned(), response(*kind, problems.as_value()))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Trackway gateway",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Takes events and answers. 202 means that the event is stored durably; what was answered otherwise, or not at all, may be sent again: the same event is taken once.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "responses": responses,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token of a source of kind Bearer. It says whose the event is."},
                "standardWebhooks": {"type": "apiKey", "in": "header", "name": "webhook-signature",
                    "description": "With webhook-id and webhook-timestamp, as https://www.standardwebhooks.com says; at a source of kind StandardWebhooks."},
                "github": {"type": "apiKey", "in": "header", "name": "X-Hub-Signature-256", "description": "At a source of kind GitHub."},
            },
        },
    })
}

fn parameters(path: &str) -> Vec<Value> {
    let named = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    named.map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})).collect()
}

fn operation(task: Task, schemas: &mut SchemaGenerator) -> Value {
    use Kind::{
        Conflict, Expired, HeadersTooLarge, Invalid, Malformed, NotAuthenticated, NotFound, OtherTenant, RateLimited, TooLarge,
        TooSlow, Unavailable, UnsupportedMedia,
    };
    let any_sender = json!([{"bearer": []}, {"standardWebhooks": []}, {"github": []}]);
    let taking = [
        Malformed,
        NotAuthenticated,
        NotFound,
        TooSlow,
        Conflict,
        TooLarge,
        UnsupportedMedia,
        Invalid,
        RateLimited,
        HeadersTooLarge,
        Unavailable,
    ];
    let reading = [Malformed, NotAuthenticated, OtherTenant, NotFound, RateLimited, HeadersTooLarge, Unavailable];
    let accepted = schema::<Accepted>(schemas);
    match task {
        Task::Events => {
            let event = schema::<CloudEventDocument>(schemas);
            json!({
                "operationId": "takeEvents",
                "summary": "Takes CloudEvents 1.0: binary (attributes in headers ce-…), structured or batch.",
                "description": "At sources that sign, structured and batch only: a signature covers no headers. Of a batch, all events are read before the first is stored.",
                "security": any_sender,
                "requestBody": {"required": true, "content": {
                    "application/cloudevents+json": {"schema": event},
                    "application/cloudevents-batch+json": {"schema": {"type": "array", "items": event, "minItems": 1, "maxItems": crate::cloud_event::MAX_BATCH}},
                    "application/json": {"schema": {}},
                }},
                "responses": responses("202", "Stored. Of a batch, a list in its order.", json!({"oneOf": [accepted, {"type": "array", "items": accepted}]}), &taking),
            })
        }
        Task::Webhooks => json!({
            "operationId": "takeWebhook",
            "summary": "Takes a webhook or plain JSON; the source's configuration says how it is read.",
            "security": any_sender,
            "requestBody": {"required": true, "content": {"application/json": {"schema": {}}}},
            "responses": responses("202", "Stored.", accepted, &taking),
        }),
        Task::Answers => json!({
            "operationId": "answerQuestionnaire",
            "summary": "Takes answers to some or all questions of a questionnaire.",
            "security": [{"bearer": []}],
            "requestBody": {"required": true, "content": {"application/json": {"schema": schema::<Answers>(schemas)}}},
            "responses": responses("200", "Taken; what is missing is named.", schema::<Progress>(schemas),
                &[&reading[..], &[TooSlow, Conflict, Expired, TooLarge, UnsupportedMedia, Invalid]].concat()),
        }),
        Task::Questionnaire => json!({
            "operationId": "showQuestionnaire",
            "summary": "Shows a questionnaire to its tenant: the questions, and what is missing.",
            "security": [{"bearer": []}],
            "responses": responses("200", "The questionnaire.", schema::<Questionnaire>(schemas), &reading),
        }),
        Task::OpenApi => json!({
            "operationId": "describe",
            "summary": "This document.",
            "security": [],
            "responses": responses("200", "This document.", json!({"type": "object"}), &[HeadersTooLarge, Unavailable]),
        }),
    }
}

fn schema<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    schemas.subschema_for::<T>().to_value()
}

fn responses(status: &str, description: &str, schema: Value, problems: &[Kind]) -> Value {
    let mut responses = Map::new();
    responses.insert(status.to_owned(), json!({"description": description, "content": {"application/json": {"schema": schema}}}));
    for kind in problems {
        let reference = json!({"$ref": format!("#/components/responses/{}", kind.name())});
        responses.insert(kind.status().as_str().to_owned(), reference);
    }
    responses.into()
}

/// A problem as a response of the components.
fn response(kind: Kind, schema: &Value) -> Value {
    let mut response = json!({"description": kind.title(), "content": {problem::MEDIA_TYPE: {"schema": schema}}});
    if matches!(kind, Kind::RateLimited | Kind::Unavailable) {
        response["headers"] = json!({"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}});
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reference_of_the_document_leads_somewhere() {
        let document = document();
        let mut seen = 0;
        check(document, &mut |reference| {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
            seen += 1;
        });
        assert!(seen > 50, "{seen}");
    }

    fn check(value: &Value, see: &mut impl FnMut(&str)) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    see(reference);
                }
                fields.values().for_each(|value| check(value, see));
            }
            Value::Array(items) => items.iter().for_each(|value| check(value, see)),
            _ => {}
        }
    }

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let paths = document()["paths"].as_object().unwrap();
        let told: BTreeSet<(String, String)> = paths
            .iter()
            .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(|method| (path.clone(), method.to_uppercase())))
            .collect();
        let there = ROUTES.map(|route| (route.path.to_owned(), route.task.method().to_string()));
        assert_eq!(told, BTreeSet::from(there));
    }
}
