//! What a prompt of a stage may name.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::shape::{Fields, Shape};

/// What a prompt of one stage may name beyond what every prompt may.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// The stages before, in order, with the JSON Schema of their output; `None`: `{"text": string}`.
    pub stages: Vec<(String, Option<Value>)>,
    /// The stage's `vars`.
    pub vars: BTreeMap<String, Value>,
}

impl Known {
    pub(crate) fn roots(&self) -> Fields {
        let object = |fields: &[(&str, Shape)]| Shape::object(fields);
        let vars = Shape::Object(self.vars.iter().map(|(name, value)| (name.clone(), Shape::of_value(value))).collect());
        let counts = object(&[("events", Shape::Scalar), ("byPriority", Shape::Map), ("byType", Shape::Map)]);
        let batch = object(&[
            ("id", Shape::Scalar),
            ("tenant", Shape::Scalar),
            ("level", Shape::Scalar),
            ("subject", Shape::Scalar),
            ("priority", Shape::Scalar),
            ("labels", Shape::Map),
            ("counts", counts),
            ("from", Shape::Scalar),
            ("to", Shape::Scalar),
        ]);
        let event = object(&[
            ("id", Shape::Scalar),
            ("source", Shape::Scalar),
            ("type", Shape::Scalar),
            ("time", Shape::Scalar),
            ("subject", Shape::Any),
            ("priority", Shape::Scalar),
            ("data", Shape::Any),
        ]);
        let dimension = object(&[("name", Shape::Scalar), ("score", Shape::Scalar), ("why", Shape::Scalar)]);
        let feedback =
            object(&[("score", Shape::Scalar), ("text", Shape::Scalar), ("dimensions", Shape::List(Box::new(dimension)))]);
        let stages = self.stages.iter().map(|(name, schema)| {
            let schema = schema.clone().unwrap_or_else(text_output_schema);
            (name.clone(), Shape::of_schema(&schema))
        });
        [
            ("track", object(&[("name", Shape::Scalar), ("audience", Shape::Scalar), ("vars", vars)])),
            ("batch", batch),
            ("events", Shape::List(Box::new(event))),
            ("context", Shape::Map),
            ("stages", Shape::Object(stages.collect())),
            ("feedback", Shape::Maybe(Box::new(feedback))),
        ]
        .into_iter()
        .map(|(name, shape)| (name.to_owned(), shape))
        .collect()
    }
}

/// The output of a stage without a schema of its own.
#[must_use]
pub fn text_output_schema() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["text"],
        "properties": {"text": {"type": "string", "minLength": 1}},
    })
}

/// The output of a context validation: `trackway_crds::contracts::ContextAnswer`.
#[must_use]
pub fn context_answer_schema() -> Value {
    let text = |description: &str| json!({"type": "string", "minLength": 1, "description": description});
    json!({
        "type": "object", "additionalProperties": false, "required": ["complete", "gaps"],
        "properties": {
            "complete": {"type": "boolean", "description": "Whether the batch says enough to work with"},
            "gaps": {"type": "array", "maxItems": 32, "description": "What is missing; empty when complete", "items": {
                "type": "object", "additionalProperties": false, "required": ["id", "question", "why"],
                "properties": {
                    "id": text("Short id, unique in the list"),
                    "question": text("What to ask"),
                    "why": text("Why it matters"),
                    "answer": {"type": "object", "description": "JSON Schema of an answer"},
                },
            }},
        },
    })
}
