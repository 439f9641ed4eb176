//! Budgets.

use crate::GoDuration;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Budgets: each kind of failure has its own, and none uses up another's.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// Judged too low: a new attempt that sees the judge's feedback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<QualityRetry>,
    /// Pod lost, evicted or never started, store away: the same attempt again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub infrastructure: Option<TryBudget>,
    /// The model's server answered 408, 429, 5xx, nothing, or something malformed: the same attempt again, after a pause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<ModelRetry>,
    /// The judge gave no usable verdict: the same output is judged again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<TryBudget>,
}

/// Attempts at reaching the threshold.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct QualityRetry {
    /// Generations in all, the first included. Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub max_attempts: Option<u32>,
}

/// Tries of one attempt that one class of failure may use.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TryBudget {
    /// Failures of this class in one stage until it fails. Default 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub max_tries: Option<u32>,
}

/// Tries after failures of the model's server.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ModelRetry {
    /// Failures of this class in one stage until it fails. Default 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub max_tries: Option<u32>,
    /// Pause before each further try; a Retry-After of the server that is longer wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
}

/// A growing pause: `initial`, then `factor` times the last, up to `max`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Backoff {
    /// The first pause. Default 1s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial: Option<GoDuration>,
    /// How much each pause is longer than the last, 1 to 10. Default 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub factor: Option<u32>,
    /// The longest pause. Default 30s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<GoDuration>,
}
