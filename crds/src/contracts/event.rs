//! An event as Trackway keeps it: what the gateway puts into the stream EVENTS and what lake, vectors and batches are made of.

use crate::track::Priority;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `EVENTS.<partition>.<H(tenant)>.<bucket of the user, or "-">.<id>`, one for each tenant and id: an event that was acknowledged to its sender.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StoredEvent {
    /// Version of this document: 1.
    pub contract: u32,
    /// The event's key: [`crate::names::event_key`] of tenant, origin, source and the sender's id.
    #[schemars(regex(pattern = r"^[0-9a-f]{32}$"))]
    pub id: String,
    /// Whose event it is; from the sender's credential, never from the body.
    #[schemars(length(min = 1, max = 128))]
    pub tenant: String,
    /// The user it is about, whose batch it enters too; absent: the tenant's batch only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub user: Option<String>,
    /// Id of the source configuration that let it in.
    #[schemars(length(min = 1, max = 64))]
    pub origin: String,
    /// `source` of the CloudEvent.
    #[schemars(length(min = 1, max = 512))]
    pub source: String,
    /// `id` of the CloudEvent: unique within its source.
    #[schemars(length(min = 1, max = 256))]
    pub ce_id: String,
    /// `type` of the CloudEvent.
    #[serde(rename = "type")]
    #[schemars(length(min = 1, max = 128))]
    pub type_: String,
    /// When it happened, as the sender says; when it came, if the sender says nothing.
    pub time: Timestamp,
    /// When the gateway took it.
    pub received_at: Timestamp,
    /// `subject` of the CloudEvent: what it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub subject: Option<String>,
    /// How urgent it is.
    pub priority: Priority,
    /// What the source's configuration found; at most 16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16), inner(length(max = 128)))]
    pub labels: BTreeMap<String, String>,
    /// What the sender said.
    #[serde(default)]
    pub data: serde_json::Value,
    /// SHA-256 of what the sender said, as it was before it was read: two events of one key must agree in it.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub body_sha256: String,
}

impl StoredEvent {
    /// As batch documents and prompts show it.
    #[must_use]
    pub fn for_batch(self) -> super::Event {
        super::Event {
            id: self.id,
            source: self.source,
            type_: self.type_,
            time: self.time,
            subject: self.subject,
            priority: self.priority,
            data: self.data,
        }
    }
}
