//! What a stage has asked the tenant.

use super::{StagePhase, StageStatus, Verdict};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

impl StageStatus {
    /// The questionnaire whose answers are waited for: the last attempt asked, and none has been opened since.
    #[must_use]
    pub fn waits_for(&self) -> Option<&AskedStatus> {
        let asked = self.phase == StagePhase::Running && self.attempts.last()?.verdict == Some(Verdict::Ask);
        self.questionnaire.as_ref().filter(|_| asked)
    }

    /// Attempts beyond the first that came of a low score, not of answers.
    #[must_use]
    pub fn retries(&self) -> u32 {
        let Some(last) = self.attempts.last() else { return 0 };
        // A round that nobody answered, and one whose attempt has not begun yet, has made no attempt.
        let made = self.questionnaire.as_ref().map_or(0, |asked| {
            let none = asked.answered_at.is_none() || last.verdict == Some(Verdict::Ask);
            asked.round.saturating_sub(u32::from(none))
        });
        last.attempt.saturating_sub(1).saturating_sub(made)
    }
}

/// A round of questions.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AskedStatus {
    /// The Questionnaire, which runs that ask the same share.
    #[schemars(length(max = 63))]
    pub name: String,
    /// How many questions it has.
    #[schemars(range(min = 1))]
    pub asked: u32,
    /// From 1, at most 3.
    #[schemars(range(min = 1))]
    pub round: u32,
    /// Until when this run waits.
    pub expires_at: MicroTime,
    /// When it was answered, if this run went on because of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<MicroTime>,
}
