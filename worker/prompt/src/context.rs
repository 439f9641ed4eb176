//! What one rendering is given.

use std::collections::BTreeMap;

use minijinja::{Value, value::Serde};
use serde_json::json;
use trackway_crds::contracts::{BatchInfo, Event, Feedback, RetrievedEvent};

/// Everything a prompt may name, for one attempt of one stage.
#[derive(Clone, Copy, Debug)]
pub struct PromptContext<'a> {
    /// The track, as this stage sees it.
    pub track: &'a TrackContext,
    /// The batch.
    pub batch: &'a BatchInfo,
    /// Its events, oldest first.
    pub events: &'a [Event],
    /// The tenant's answers so far, by question.
    pub context: &'a BTreeMap<String, serde_json::Value>,
    /// Accepted outputs of the stages before, by stage name.
    pub stages: &'a BTreeMap<String, serde_json::Value>,
    /// The entry of the list this is about, in a fan-out; elsewhere prompts cannot name `target`.
    pub target: Option<&'a serde_json::Value>,
    /// What the judge said of the attempt before; `None` on attempt 1, where prompts see `none`.
    pub feedback: Option<&'a Feedback>,
    /// Past events that resemble the batch, the nearest first, where the stage retrieves; elsewhere prompts cannot name
    /// `retrieved`.
    pub retrieved: Option<&'a [RetrievedEvent]>,
}

/// What a prompt sees in `track`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrackContext {
    /// Name of the track.
    pub name: String,
    /// Who reads what it writes.
    pub audience: String,
    /// The stage's `vars`.
    pub vars: BTreeMap<String, serde_json::Value>,
}

impl PromptContext<'_> {
    pub(crate) fn value(&self) -> Value {
        let Self { track, batch, events, context, stages, target, feedback, retrieved } = self;
        let batch = json!({
            "id": batch.id, "tenant": batch.tenant, "level": batch.level, "subject": batch.subject, "priority": batch.priority,
            "labels": batch.labels, "counts": batch.counts, "from": batch.from, "to": batch.to,
        });
        let track = json!({"name": track.name, "audience": track.audience, "vars": track.vars});
        minijinja::context! {
            track => Value::from(Serde(track)),
            batch => Value::from(Serde(batch)),
            events => Value::from(Serde(events)),
            context => Value::from(Serde(context)),
            stages => Value::from(Serde(stages)),
            target => target.map_or(Value::UNDEFINED, |target| Value::from(Serde(target))),
            feedback => Value::from(Serde(feedback)),
            retrieved => retrieved.map_or(Value::UNDEFINED, past),
        }
    }
}

/// Past events as `events`, each with its similarity as a number from -1 to 1.
fn past(found: &[RetrievedEvent]) -> Value {
    let one = |RetrievedEvent { similarity, event }: &RetrievedEvent| {
        let Event { id, source, type_, time, subject, priority, data } = event;
        let similarity = f64::from(*similarity) / 1000.0;
        json!({
            "similarity": similarity, "id": id, "source": source, "type": type_, "time": time, "subject": subject,
            "priority": priority, "data": data,
        })
    };
    Value::from(Serde(found.iter().map(one).collect::<Vec<_>>()))
}
