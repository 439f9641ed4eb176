//! What a worker reports: one result per try, published once, and again as the container's termination message for when the
//! stream is away.

use super::{Diagnosis, ErrorClass, Question, Reference, Tokens};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most bytes of a container's termination message; a [`StageResult`] as JSON always fits, because its texts are bounded and its
/// questions are left out.
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
    /// Index of the target, 0 outside a fan-out.
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
    /// What the tenant is to be asked about them, when the stage asks: as many as there are gaps. Only on the stream; a termination
    /// message has no room for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub questions: Vec<Question>,
    /// The target's key, cut to 64 bytes; only in a fan-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The lists of the output that later stages fan out over, by field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lists: BTreeMap<String, ListInfo>,
    /// What the debugger found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Diagnosis>,
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

/// A list that a later stage fans out over.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ListInfo {
    /// Entries.
    #[schemars(range(min = 0, max = 1000))]
    pub count: u32,
    /// SHA-256 of the keys as a JSON list, in order.
    #[schemars(length(min = 64, max = 64))]
    pub keys_sha256: String,
}

/// The termination message of a pod that worked on several targets: what the stream has too, less the texts.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodDigest {
    /// Version of this document: 1.
    pub contract: u32,
    /// Uid of the run.
    pub run: String,
    /// Name of the stage.
    pub stage: String,
    /// Uid of the pod that reports.
    pub pod: String,
    /// The targets that came to an end, at most 32.
    pub targets: Vec<TargetDigest>,
}

/// One target of a [`PodDigest`], in at most 120 bytes.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
pub struct TargetDigest {
    /// Index of the target.
    pub i: u32,
    /// Attempt.
    pub a: u32,
    /// Try.
    pub t: u32,
    /// Scores in integer thousandths, in the order of the Track's dimensions; present when judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub d: Option<Vec<u16>>,
    /// Class of the error, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e: Option<ErrorClass>,
    /// Reason of the error, cut to 24 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r: Option<String>,
    /// Tokens of the try.
    #[serde(default)]
    pub n: u64,
}

impl StageResult {
    /// Whether there are gaps and the questions about them are elsewhere: this is a termination message, and the stream has the whole.
    #[must_use]
    pub fn lacks_questions(&self) -> bool {
        self.gaps.is_some_and(|gaps| gaps > 0) && self.questions.is_empty()
    }
}

impl PodDigest {
    /// The results it stands for. `dimensions` are the names of the stage's dimensions, in the Track's order.
    #[must_use]
    pub fn results(&self, dimensions: &[String]) -> Vec<StageResult> {
        self.targets.iter().map(|target| self.result(target, dimensions)).collect()
    }

    fn result(&self, target: &TargetDigest, dimensions: &[String]) -> StageResult {
        let error = target.e.map(|class| ResultError {
            class,
            reason: target.r.clone().unwrap_or_else(|| "Unknown".into()),
            message: "told by the pod's last words; the stream was away".into(),
            retry_after_millis: None,
        });
        let phase = match (&error, &target.d) {
            (Some(_), _) => ResultPhase::Error,
            (None, Some(_)) => ResultPhase::Judged,
            (None, None) => ResultPhase::Done,
        };
        StageResult {
            contract: self.contract,
            run: self.run.clone(),
            stage: self.stage.clone(),
            index: target.i,
            attempt: target.a,
            try_: target.t,
            pod: self.pod.clone(),
            phase,
            score: None,
            dimensions: dimensions.iter().cloned().zip(target.d.iter().flatten().copied()).collect(),
            feedback: None,
            input: None,
            output: None,
            record: None,
            gaps: None,
            questions: Vec::new(),
            key: None,
            lists: BTreeMap::new(),
            diagnosis: None,
            tokens: Tokens { input: target.n, ..Tokens::default() },
            millis: ResultMillis::default(),
            error,
        }
    }
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
    /// The stage's own work: a model writing (repair turn and repeated requests included), a program running, notices being sent.
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
            questions: Vec::new(),
            key: None,
            lists: (0..2)
                .map(|n| (format!("{n}{}", "l".repeat(63)), ListInfo { count: 1000, keys_sha256: "f".repeat(64) }))
                .collect(),
            diagnosis: None,
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

    #[test]
    fn the_longest_diagnosis_fits_a_termination_message() {
        let reference = Reference { sha256: "f".repeat(64), bytes: 16 << 20 };
        let evidence = super::super::Evidence { piece: "p".repeat(64), sha256: "f".repeat(64), bytes: 4 << 20 };
        let diagnosis = Diagnosis {
            root_cause: "r".repeat(super::super::MAX_CAUSE_BYTES),
            suggested_fix: "s".repeat(super::super::MAX_CAUSE_BYTES),
            continuation_prompt: "c".repeat(super::super::MAX_CONTINUATION_BYTES),
            evidence: vec![evidence; super::super::MAX_EVIDENCE],
            dropped_evidence: 100,
            confidence: crate::Score::from_thousandths(1000),
            model: "m".repeat(128),
            full: reference.clone(),
        };
        let result = StageResult {
            contract: 1,
            run: "u".repeat(36),
            stage: crate::names::DEBUGGER.into(),
            index: 0,
            attempt: 1,
            try_: 9,
            pod: "u".repeat(36),
            phase: ResultPhase::Done,
            score: None,
            dimensions: BTreeMap::new(),
            feedback: None,
            input: Some(reference.clone()),
            output: None,
            record: None,
            gaps: None,
            questions: Vec::new(),
            key: None,
            lists: BTreeMap::new(),
            diagnosis: Some(diagnosis),
            tokens: Tokens { input: 9_999_999, output: 9_999_999, judge_input: 0, judge_output: 0 },
            millis: ResultMillis { generate: 999_999, judge: 0 },
            error: None,
        };
        let bytes = serde_json::to_string(&result).unwrap().len();
        assert!(bytes <= MAX_TERMINATION_BYTES, "{bytes}");
    }

    #[test]
    fn the_longest_digest_fits_a_termination_message() {
        let judged = TargetDigest { i: 999, a: 10, t: 19, d: Some(vec![1000; 8]), e: None, r: None, n: 9_999_999 };
        let failed = TargetDigest { d: None, e: Some(ErrorClass::Infrastructure), r: Some("R".repeat(24)), ..judged.clone() };
        for target in [judged, failed] {
            assert!(serde_json::to_string(&target).unwrap().len() <= 120);
            let digest = PodDigest {
                contract: 1,
                run: "u".repeat(36),
                stage: "s".repeat(24),
                pod: "u".repeat(36),
                targets: vec![target; 32],
            };
            assert!(serde_json::to_string(&digest).unwrap().len() <= MAX_TERMINATION_BYTES);
        }
    }
}
