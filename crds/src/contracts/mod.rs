//! Documents and messages between the parts. Version 1: each carries `contract: 1`; readers ignore unknown fields. The JSON
//! Schemas in `crds/contracts/` are made from these types.

mod assignment;
mod batch;
mod diagnosis;
mod event;
mod fan_out;
mod questionnaire;
mod result;
mod retrieve;
mod revision;
mod stored;

pub use assignment::{Assignment, FailedTarget, FailureAssignment, FanOutState, RunRef, TargetAssignment, WaveAssignment};
pub use batch::{BatchCounts, BatchDocument, BatchInfo, BatchReady, Event};
pub use diagnosis::{
    DebuggerAnswer, Diagnosis, Evidence, FailureRecord, MAX_CAUSE_BYTES, MAX_CONTINUATION_BYTES, MAX_EVIDENCE, Piece, Quote,
    StoredDiagnosis,
};
pub use event::StoredEvent;
pub use fan_out::{
    BroadcastCounts, BroadcastOutput, Delivery, DeliveryPhase, FanOutCounts, FanOutError, FanOutItem, FanOutOutput, FanOutPhase,
};
pub use questionnaire::{Answer, MAX_QUESTIONS, MAX_QUESTIONS_BYTES, Question, QuestionnaireRecord, TenantContext};
pub use result::{ListInfo, MAX_TERMINATION_BYTES, PodDigest, ResultError, ResultMillis, ResultPhase, StageResult, TargetDigest};
pub use retrieve::{MAX_QUERY_BYTES, MAX_TOP_K, RetrieveAnswer, RetrieveError, RetrieveRequest, RetrievedEvent};
pub use revision::{
    REVISION_KEY, ResolvedAsk, ResolvedBackoff, ResolvedChannel, ResolvedDebugger, ResolvedDimension, ResolvedForEach,
    ResolvedJudge, ResolvedLimits, ResolvedModel, ResolvedRetrieve, ResolvedRetry, ResolvedStage, ResolvedWork, Revision,
};
pub use stored::{
    AttemptRecord, CallRecord, ContextAnswer, ContextGap, DimensionVerdict, Feedback, JudgeAnswer, JudgeAnswerDimension,
    NameKind, StageInput, StoredName, StoredVerdict,
};

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of every contract here.
pub const CONTRACT: u32 = 1;

/// Names a payload in the configured store by its content. Never a URL: a resource must not make a worker fetch from elsewhere.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// SHA-256 of the content, 64 lower-case hexadecimal digits.
    #[schemars(length(min = 64, max = 64), regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: String,
    /// Size of the content in bytes.
    #[schemars(range(min = 0))]
    pub bytes: u64,
}

impl Reference {
    /// The reference of `content`.
    #[must_use]
    pub fn of(content: &[u8]) -> Self {
        Self { sha256: crate::names::sha256_hex(content), bytes: u64::try_from(content.len()).unwrap_or(u64::MAX) }
    }
}

/// Whose failure an error is. Each class has its own budget, and none uses up another's.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub enum ErrorClass {
    /// Judged below the threshold or a minimum, until no attempt was left.
    Quality,
    /// The model's server: 408, 429, 5xx, a timeout, an answer that stayed malformed after one repair turn.
    Model,
    /// The judge gave no usable verdict after one repair turn.
    Judge,
    /// Pod, node or store.
    Infrastructure,
    /// Trying again cannot help: template, credentials, request, limits, deadlines.
    Permanent,
}

impl ErrorClass {
    /// As written in documents and resources.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quality => "quality",
            Self::Model => "model",
            Self::Judge => "judge",
            Self::Infrastructure => "infrastructure",
            Self::Permanent => "permanent",
        }
    }
}

/// Tokens read and written, as the servers reported them.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// Read by the writing model.
    #[schemars(range(min = 0))]
    pub input: u64,
    /// Written by the writing model.
    #[schemars(range(min = 0))]
    pub output: u64,
    /// Read by the judge.
    #[schemars(range(min = 0))]
    pub judge_input: u64,
    /// Written by the judge.
    #[schemars(range(min = 0))]
    pub judge_output: u64,
}

impl Tokens {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output).saturating_add(self.judge_input).saturating_add(self.judge_output)
    }
}

/// One key of a Secret of the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key within it.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}
