//! A sealed batch: the message that announces it and the document that holds its events.

use super::Reference;
use crate::track::{Level, Priority};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `BATCH_READY.<priority>.<batch id>`, written once: a batch is sealed and may be routed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BatchReady {
    /// Version of this document: 1.
    pub contract: u32,
    /// The batch.
    pub batch: BatchInfo,
    /// Its document in the payload store.
    pub input: Reference,
}

/// What is known of a batch without reading its events.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BatchInfo {
    /// Unique for ever; at most 64 of a–z, 0–9 and `-`.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub id: String,
    /// Whose events these are.
    #[schemars(length(min = 1, max = 128))]
    pub tenant: String,
    /// Whether all events of the tenant are gathered here or those of one user.
    pub level: Level,
    /// The tenant's or the user's id.
    #[schemars(length(min = 1, max = 128))]
    pub subject: String,
    /// The highest priority whose threshold was reached.
    pub priority: Priority,
    /// What Tracks select by; at most 16.
    #[serde(default)]
    #[schemars(extend("maxProperties" = 16), inner(length(max = 128)))]
    pub labels: BTreeMap<String, String>,
    /// How many events of what kind.
    pub counts: BatchCounts,
    /// When the first event came.
    pub from: Timestamp,
    /// When the last event came.
    pub to: Timestamp,
    /// When the batch was sealed.
    pub ready_at: Timestamp,
    /// Why it was sealed then, for example `threshold High 2`.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub reason: String,
}

/// How many events of what kind.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BatchCounts {
    /// Events in all.
    pub events: u32,
    /// Events of each priority.
    #[serde(default)]
    pub by_priority: BTreeMap<String, u32>,
    /// Events of each type.
    #[serde(default)]
    pub by_type: BTreeMap<String, u32>,
}

/// What `BatchReady.input` names: the batch with its events, at most 16 MiB.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BatchDocument {
    /// Version of this document: 1.
    pub contract: u32,
    /// The batch.
    pub batch: BatchInfo,
    /// Its events, oldest first.
    pub events: Vec<Event>,
}

/// One event, as prompts see it in `events`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// Id within its source.
    pub id: String,
    /// Where it came from.
    pub source: String,
    /// What kind of thing happened.
    #[serde(rename = "type")]
    pub type_: String,
    /// When it happened.
    pub time: Timestamp,
    /// Who or what it is about.
    #[serde(default)]
    pub subject: Option<String>,
    /// How urgent it is.
    pub priority: Priority,
    /// What the source said.
    #[serde(default)]
    pub data: serde_json::Value,
}
