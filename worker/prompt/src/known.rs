//! What a prompt of a stage may name.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::shape::{Fields, Shape, Why, field};

/// What a prompt of one stage may name beyond what every prompt may.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// The stages before, in order, with what is known of their output.
    pub stages: Vec<(String, Output)>,
    /// The stage's `vars`.
    pub vars: BTreeMap<String, Value>,
    /// What `target` is; `None`: the stage has no `forEach`, and prompts no `target`.
    pub target: Option<Target>,
    /// Whether past events are found for it; if not, prompts know no `retrieved`.
    pub retrieves: bool,
}

/// What is known of a stage's output before there is one.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Nothing: prompts may name any part of it.
    Unknown,
    /// `{"text": string}`.
    Text,
    /// A value valid for this JSON Schema.
    Schema(Value),
    /// [`FanOutOutput`](trackway_crds::contracts::FanOutOutput) over such outputs.
    FanOut(Box<Output>),
    /// [`BroadcastOutput`](trackway_crds::contracts::BroadcastOutput).
    Broadcast,
}

/// An entry of a list that an earlier stage wrote.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The output that holds the list.
    pub of: Output,
    /// Its field.
    pub field: String,
}

impl Output {
    fn shape(&self) -> Shape {
        match self {
            Self::Unknown => Shape::Any,
            Self::Text => Shape::object(&[("text", Shape::Scalar)]),
            Self::Schema(schema) => Shape::of_schema(schema),
            Self::FanOut(each) => fan_out(each.shape()),
            Self::Broadcast => broadcast(),
        }
    }
}

impl Target {
    fn shape(&self) -> Shape {
        match self.of.shape() {
            Shape::Object(fields) => field(&fields, &self.field).map_or(Shape::Any, Shape::item),
            _ => Shape::Any,
        }
    }
}

fn fan_out(output: Shape) -> Shape {
    let error = Shape::object(&[("class", Shape::Scalar), ("reason", Shape::Scalar), ("message", Shape::Scalar)]);
    let item = Shape::object(&[
        ("key", Shape::Scalar),
        ("phase", Shape::Scalar),
        ("output", Shape::Maybe(Box::new(output), Why::FailedTarget)),
        ("score", Shape::Scalar),
        ("error", Shape::Maybe(Box::new(error), Why::SucceededTarget)),
    ]);
    let counts = Shape::object(&[("total", Shape::Scalar), ("succeeded", Shape::Scalar), ("failed", Shape::Scalar)]);
    Shape::object(&[("items", Shape::List(Box::new(item))), ("counts", counts)])
}

/// A delivery's `status` and `reason` are not always there, so a prompt asks whether they are defined.
fn broadcast() -> Shape {
    let delivery = ["channel", "key", "id", "phase", "at"].map(|name| (name, Shape::Scalar));
    let counts = ["delivered", "refused", "withheld", "dryRun"].map(|name| (name, Shape::Scalar));
    Shape::object(&[("deliveries", Shape::List(Box::new(Shape::object(&delivery)))), ("counts", Shape::object(&counts))])
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
        let event = [
            ("id", Shape::Scalar),
            ("source", Shape::Scalar),
            ("type", Shape::Scalar),
            ("time", Shape::Scalar),
            ("subject", Shape::Any),
            ("priority", Shape::Scalar),
            ("data", Shape::Any),
        ];
        let past: Vec<_> = [("similarity", Shape::Scalar)].into_iter().chain(event.clone()).collect();
        let event = object(&event);
        let dimension = object(&[("name", Shape::Scalar), ("score", Shape::Scalar), ("why", Shape::Scalar)]);
        let feedback =
            object(&[("score", Shape::Scalar), ("text", Shape::Scalar), ("dimensions", Shape::List(Box::new(dimension)))]);
        let stages = self.stages.iter().map(|(name, output)| (name.clone(), output.shape()));
        let always = [
            ("track", object(&[("name", Shape::Scalar), ("audience", Shape::Scalar), ("vars", vars)])),
            ("batch", batch),
            ("events", Shape::List(Box::new(event))),
            ("context", Shape::Map),
            ("stages", Shape::Object(stages.collect())),
            ("feedback", Shape::Maybe(Box::new(feedback), Why::FirstAttempt)),
        ];
        let target = self.target.as_ref().map(|target| ("target", target.shape()));
        let retrieved = self.retrieves.then(|| ("retrieved", Shape::List(Box::new(object(&past)))));
        always.into_iter().chain(target).chain(retrieved).map(|(name, shape)| (name.to_owned(), shape)).collect()
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
