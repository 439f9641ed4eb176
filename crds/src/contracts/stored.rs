//! What workers keep in the payload store. Blobs are named by their content; the names here are created once and never change,
//! so a pod that comes second adopts what is there and calls no model.

use super::{Reference, RetrievedEvent, Tokens};
use crate::Score;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The documents of one attempt.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum NameKind {
    /// [`StageInput`].
    Input,
    /// The accepted shape of the stage: `{"text"}` or an object valid for its schema.
    Output,
    /// [`StoredVerdict`].
    Verdict,
    /// [`AttemptRecord`].
    Record,
    /// [`Delivery`]: what became of one notice.
    Delivery,
}

impl NameKind {
    /// Last part of the key.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::Verdict => "verdict",
            Self::Record => "record",
            Self::Delivery => "delivery",
        }
    }
}

/// The value of a write-once name.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct StoredName {
    /// What it names.
    #[serde(flatten)]
    pub reference: Reference,
    /// Hash of the request that led to it (revision, input, model, parameters); another one under the same name is a
    /// permanent error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_hash: Option<String>,
}

/// Everything a prompt could name, as it was: the stage's input.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StageInput {
    /// Version of this document: 1.
    pub contract: u32,
    /// The batch document.
    pub batch: Reference,
    /// Accepted outputs of the stages before.
    pub stages: BTreeMap<String, Reference>,
    /// The target, in a fan-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<serde_json::Value>,
    /// What the judge said of the attempt before; absent on attempt 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<Feedback>,
    /// What the tenant had answered so far, as prompts saw it in `context`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub context: BTreeMap<String, serde_json::Value>,
    /// The past events that were found for it, as prompts saw them in `retrieved`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retrieved: Vec<RetrievedEvent>,
    /// The system part of the prompt as the model got it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The user part of the prompt as the model got it.
    pub user: String,
}

/// What a prompt sees in `feedback`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Feedback {
    /// Weighted mean of the attempt before.
    pub score: Score,
    /// The judge's words.
    pub text: String,
    /// Each dimension.
    pub dimensions: Vec<DimensionVerdict>,
}

/// A judge's score of one dimension and why.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DimensionVerdict {
    /// Name of the dimension.
    pub name: String,
    /// Its score.
    pub score: Score,
    /// Why.
    pub why: String,
}

/// What a judging model must answer.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct JudgeAnswer {
    /// Every dimension of the request, no other.
    pub dimensions: BTreeMap<String, JudgeAnswerDimension>,
    /// What to do better, in the judge's words.
    pub feedback: String,
}

/// One dimension of a [`JudgeAnswer`].
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct JudgeAnswerDimension {
    /// 0 to 1; checked by us, because not every server enforces a schema.
    pub score: f64,
    /// Why.
    pub why: String,
}

/// A verdict as stored.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StoredVerdict {
    /// Version of this document: 1.
    pub contract: u32,
    /// Weighted mean.
    pub score: Score,
    /// Each dimension, in the Track's order.
    pub dimensions: Vec<DimensionVerdict>,
    /// The judge's words.
    pub feedback: String,
    /// Hash of dimensions, weights, minimums and criteria.
    pub rubric_sha256: String,
    /// SHA-256 of the fixed instruction the judge was given: which version of it was at work.
    pub instruction_sha256: String,
    /// The call that brought it.
    pub call: CallRecord,
}

/// One call of a model, without texts.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CallRecord {
    /// `generate`, `judge` or `repair`.
    pub purpose: String,
    /// Model asked.
    pub model_asked: String,
    /// Model that answered, by its own word.
    pub model_answered: Option<String>,
    /// Id of the response.
    pub response_id: Option<String>,
    /// Why it stopped.
    pub finish_reason: Option<String>,
    /// When it was asked.
    pub at: Timestamp,
    /// How long it took, repeats included.
    pub millis: u64,
    /// Requests repeated after 408, 429, 5xx or a timeout.
    pub repeats: u32,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
}

/// Everything about one attempt, by reference.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AttemptRecord {
    /// Version of this document: 1.
    pub contract: u32,
    /// Stage.
    pub stage: String,
    /// Attempt, from 1.
    pub attempt: u32,
    /// Try that brought the verdict.
    #[serde(rename = "try")]
    pub try_: u32,
    /// Revision.
    pub revision: String,
    /// SHA-256 of the prompt file.
    pub prompt_sha256: String,
    /// [`StageInput`].
    pub input: Reference,
    /// The output.
    pub output: Reference,
    /// [`StoredVerdict`]; absent without a judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Reference>,
    /// Tokens of this try.
    pub tokens: Tokens,
    /// The calls of this try.
    pub calls: Vec<CallRecord>,
}

/// What a context validation answers.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ContextAnswer {
    /// Whether the batch says enough to work with.
    pub complete: bool,
    /// What is missing.
    pub gaps: Vec<ContextGap>,
}

/// One thing that is missing.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ContextGap {
    /// Short id, unique in the list.
    pub id: String,
    /// What to ask.
    pub question: String,
    /// Why it matters.
    pub why: String,
    /// JSON Schema of an answer.
    #[serde(default)]
    pub answer: serde_json::Value,
}
