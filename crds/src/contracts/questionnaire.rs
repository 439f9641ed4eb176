//! Questions to a tenant and their answers, where gateway, operator and workers meet: two NATS buckets.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most questions of one questionnaire that the operator makes.
pub const MAX_QUESTIONS: usize = 8;
/// Most bytes of all its questions as JSON.
pub const MAX_QUESTIONS_BYTES: usize = 12 * 1024;

/// Key `<namespace>.<questionnaire>` of bucket `questionnaires`: made by the operator, answered through the gateway, changed only
/// by comparing revisions.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct QuestionnaireRecord {
    /// Version of this document: 1.
    pub contract: u32,
    /// Whose answers are wanted; only a credential of this tenant may give them.
    #[schemars(length(min = 1, max = 128))]
    pub tenant: String,
    /// What is asked; at most 32.
    #[schemars(length(max = 32))]
    pub questions: Vec<Question>,
    /// From then on answers come too late.
    pub expires_at: Timestamp,
    /// What was answered so far, by question. All of them: the questionnaire is answered.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, Answer>,
    /// When the last question was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<Timestamp>,
}

/// One question.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// Unique in the questionnaire; prompts see the answer as `context.ID`.
    #[schemars(length(min = 1, max = 64))]
    pub id: String,
    /// The question.
    #[schemars(length(min = 1, max = 1024))]
    pub question: String,
    /// Why it is asked.
    #[serde(default)]
    #[schemars(length(max = 1024))]
    pub why: String,
    /// JSON Schema of its answer.
    #[schemars(schema_with = "crate::manifests::a_schema")]
    pub answer: serde_json::Value,
}

/// One answer.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// What was answered.
    pub value: serde_json::Value,
    /// When.
    pub at: Timestamp,
}

/// Key `<namespace>.<H(tenant)>` of bucket `context`: what a tenant has answered so far; prompts see it as `context`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TenantContext {
    /// Version of this document: 1.
    pub contract: u32,
    /// Whose answers.
    pub tenant: String,
    /// The newest answer to each question, by question id; at most 256.
    #[schemars(extend("maxProperties" = 256))]
    pub answers: BTreeMap<String, Answer>,
}
