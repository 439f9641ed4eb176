//! Past events that resemble what a stage works on: asked by a worker, answered by the vectorizer, over NATS request and reply.

use super::Event;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most events one question may ask for.
pub const MAX_TOP_K: u32 = 100;
/// Most bytes of a question's text: what one call of an embedding model reads at most, whichever it is.
pub const MAX_QUERY_BYTES: usize = 8 * 1024;

/// `RETRIEVE.<namespace>`: which past events of a tenant are nearest to a text.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RetrieveRequest {
    /// Version of this document: 1.
    pub contract: u32,
    /// Whose events; refused unless the namespace is bound to this tenant.
    #[schemars(length(min = 1, max = 128))]
    pub tenant: String,
    /// Only events received before this moment: a batch does not find itself.
    pub before: Timestamp,
    /// What they should resemble.
    #[schemars(length(min = 1, max = 8192))]
    pub text: String,
    /// How many.
    #[schemars(range(min = 1, max = 100))]
    pub top_k: u32,
}

/// The answer to a [`RetrieveRequest`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RetrieveAnswer {
    /// Version of this document: 1.
    pub contract: u32,
    /// The nearest first; fewer than asked for when there are no more.
    #[serde(default)]
    pub events: Vec<RetrievedEvent>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<RetrieveError>,
}

/// A past event and how near it is.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RetrievedEvent {
    /// Cosine of the angle between the two vectors, in thousandths: 1000 says the same.
    pub similarity: i32,
    /// The event.
    pub event: Event,
}

/// Why a question was not answered.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RetrieveError {
    /// Whether asking again later may help.
    pub transient: bool,
    /// What to do, for people.
    #[schemars(length(max = 512))]
    pub message: String,
}
