//! What the debugger is asked, answers, and leaves behind.

use super::{CallRecord, ErrorClass, Reference};
use crate::Score;
use jiff::Timestamp;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Most bytes of a root cause and of a suggested fix, JSON-escaped.
pub const MAX_CAUSE_BYTES: usize = 640;
/// Most bytes of a continuation prompt in the status, JSON-escaped; the full one is in the payload store.
pub const MAX_CONTINUATION_BYTES: usize = 1024;
/// Most entries of evidence in the status.
pub const MAX_EVIDENCE: usize = 4;

/// What a model found out about a failure, bounded; `full` names all of it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// Why it failed.
    #[schemars(length(max = 640))]
    pub root_cause: String,
    /// What to change.
    #[schemars(length(max = 640))]
    pub suggested_fix: String,
    /// A prompt to give to any assistant, cut; `kubectl trackway diagnosis RUN --prompt` prints all of it.
    #[schemars(length(max = 1024))]
    pub continuation_prompt: String,
    /// Payloads that were quoted, and in which the quote was found.
    #[schemars(length(max = 4))]
    pub evidence: Vec<Evidence>,
    /// Quotes that were not in the piece they were said to be from; they are not shown.
    #[schemars(range(min = 0))]
    pub dropped_evidence: u32,
    /// How sure the model says it is, 0 to 1.
    pub confidence: Score,
    /// The model that answered.
    #[schemars(length(max = 128))]
    pub model: String,
    /// All of it, in the payload store.
    pub full: Reference,
}

/// A payload that was quoted.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// What it is, for example `verdict of attempt 3`.
    #[schemars(length(max = 64))]
    pub piece: String,
    /// SHA-256 of the piece, 64 lower-case hexadecimal digits.
    #[schemars(length(min = 64, max = 64), regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: String,
    /// Size of the piece in bytes.
    #[schemars(range(min = 0))]
    pub bytes: u64,
}

/// What a debugging model must answer.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DebuggerAnswer {
    /// Why it failed.
    pub root_cause: String,
    /// What to change, and where.
    pub suggested_fix: String,
    /// Complete by itself: somebody pastes it into an assistant that knows nothing else.
    pub continuation_prompt: String,
    /// Words of the pieces that show it.
    pub evidence: Vec<Quote>,
    /// How sure it is, 0 to 1.
    pub confidence: f64,
}

/// Words of a piece.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Quote {
    /// Name of the piece as the request gave it.
    pub piece: String,
    /// The words, exactly.
    pub quote: String,
}

/// A diagnosis as stored: the output of (`Debugger`, attempt 1, index 0).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StoredDiagnosis {
    /// Version of this document: 1.
    pub contract: u32,
    /// Why it failed.
    pub root_cause: String,
    /// What to change, and where.
    pub suggested_fix: String,
    /// Complete by itself, with the pieces it needs.
    pub continuation_prompt: String,
    /// Quotes that were found in their pieces.
    pub evidence: Vec<Quote>,
    /// Quotes that were not.
    pub dropped_evidence: Vec<Quote>,
    /// How sure the model says it is.
    pub confidence: Score,
    /// Everything the model was shown, by name.
    pub pieces: Vec<Piece>,
    /// The call that brought it.
    pub call: CallRecord,
}

/// Something the debugger was shown.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Piece {
    /// Its name in the request.
    pub name: String,
    /// Its content as shown, in the payload store.
    #[serde(flatten)]
    pub reference: Reference,
}

/// How a try went wrong, as the worker saw it: the `record` of a result with phase `Error`.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FailureRecord {
    /// Version of this document: 1.
    pub contract: u32,
    /// Stage.
    pub stage: String,
    /// Index of the target, 0 outside a fan-out.
    pub index: u32,
    /// Attempt, from 1.
    pub attempt: u32,
    /// Try, from 1.
    #[serde(rename = "try")]
    pub try_: u32,
    /// Whose failure it was.
    pub class: ErrorClass,
    /// One CamelCase word.
    pub reason: String,
    /// The error and what led to it, outermost first.
    pub chain: Vec<String>,
    /// Where in the worker's source it was found: `file:line`.
    pub location: String,
    /// When.
    pub at: Timestamp,
    /// The calls of this try.
    pub calls: Vec<CallRecord>,
}
