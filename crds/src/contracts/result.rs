//! What a worker reports: one result per try, published once, and again as the container's termination message for when the
//! stream is away.

use super::{ErrorClass, Reference, Tokens};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most bytes of a container's termination message; a [`StageResult`] as JSON always fits, because its texts are bounded.
pub const MAX_TERMINATION_BYTES: usize = 4096;

/// `RESULTS.<namespace>.<run uid>.<stage>.<attempt>.<try>.<index>`, written once.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StageResult {
    /// Version of this document: 1.
    pub contract: u32,
    /// Uid of the run.
    pub run: String,
    /// Name of the stage.
    pub stage: String,
    /// Index of the pod in its Job, 0 but for fan-out.
    pub index: u32,
    /// Attempt, from 1.
    pub attempt: u32,
    /// Try of the attempt, from 1.
    #[serde(rename = "try")]
    pub try_: u32,
    /// Uid of the pod that reports: only the operator and the pod know it.
    pub pod: String,
    /// What came of the try.
    pub phase: ResultPhase,
    /// Weighted mean of the dimensions in integer thousandths; present when judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<u16>,
    /// Score of each dimension in integer thousandths.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, u16>,
    /// The judge's words, at most 192 bytes; the verdict in the store has all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<String>,
    /// What the model was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Reference>,
    /// What the model wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Reference>,
    /// The full record of the attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Reference>,
    /// Gaps that a context validation found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gaps: Option<u32>,
    /// Tokens of this try.
    #[serde(default)]
    pub tokens: Tokens,
    /// Time of this try, on the worker's clock.
    #[serde(default)]
    pub millis: ResultMillis,
    /// Why there is no verdict; present exactly when `phase` is `Error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ResultError>,
}

/// What came of a try.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultPhase {
    /// Output stored and judged.
    Judged,
    /// Output stored; the stage has no judge.
    Done,
    /// No verdict: see `error`.
    Error,
}

/// Time of a try in milliseconds, on the worker's clock.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ResultMillis {
    /// The model writing, repair turn and repeated requests included.
    pub generate: u64,
    /// The judge reading, likewise.
    pub judge: u64,
}

/// Why a try brought no verdict.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ResultError {
    /// Whose failure it was.
    pub class: ErrorClass,
    /// One CamelCase word for machines, at most 64 characters.
    pub reason: String,
    /// What happened and what to do, for people; cut to 256 bytes.
    pub message: String,
    /// The server asked to be left alone for this long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_millis: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_result_fits_a_termination_message() {
        let reference = Reference { sha256: "f".repeat(64), bytes: 16 << 20 };
        let result = StageResult {
            contract: 1,
            run: "u".repeat(36),
            stage: "s".repeat(24),
            index: 999,
            attempt: 10,
            try_: 30,
            pod: "u".repeat(36),
            phase: ResultPhase::Judged,
            score: Some(1000),
            dimensions: (0..8).map(|n| (format!("{n}{}", "d".repeat(23)), 1000)).collect(),
            feedback: Some("f".repeat(192)),
            input: Some(reference.clone()),
            output: Some(reference.clone()),
            record: Some(reference),
            gaps: Some(99),
            tokens: Tokens { input: u64::MAX, output: u64::MAX, judge_input: u64::MAX, judge_output: u64::MAX },
            millis: ResultMillis { generate: u64::MAX, judge: u64::MAX },
            error: Some(ResultError {
                class: ErrorClass::Infrastructure,
                reason: "R".repeat(64),
                message: "m".repeat(256),
                retry_after_millis: Some(u64::MAX),
            }),
        };
        assert!(serde_json::to_string(&result).unwrap().len() <= MAX_TERMINATION_BYTES);
    }
}
