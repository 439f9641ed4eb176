//! Models and how what they write is scored.

use crate::{GoDuration, Score};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A model under a role.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ModelRole {
    /// The name stages and judges use, for example `writer` or `critic`.
    #[schemars(length(min = 1, max = 24), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub role: String,
    /// Name of a ModelEndpoint of the same namespace.
    #[schemars(length(min = 1, max = 63))]
    pub endpoint: String,
    /// The model's name as the server knows it.
    #[schemars(length(min = 1, max = 128))]
    pub model: String,
    /// Limit of one HTTP request. Default 90s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<GoDuration>,
    /// Sent with every request. Left out: the server's defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<ModelParameters>,
}

/// Parameters of a chat completion.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ModelParameters {
    /// Sampling temperature, 0 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: Option<f64>,
    /// Most tokens of one answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_output_tokens: Option<u32>,
}

/// How an output is scored: a model answers each dimension with a score and a reason; the weighted mean decides.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Judge {
    /// `false` in a stage: its output is accepted as it comes. Default true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Role of the judging model. Better another one than the one that writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub model: Option<String>,
    /// The weighted mean an output must reach, 0 to 1. Default 0.7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<Score>,
    /// What is scored. A stage that gives dimensions replaces the whole list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub dimensions: Vec<Dimension>,
}

/// One thing a judge scores.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Dimension {
    /// Short name, as it appears in scores: `relevance`, `brandAlignment`.
    #[schemars(length(min = 1, max = 24), regex(pattern = r"^[A-Za-z][A-Za-z0-9]*$"))]
    pub name: String,
    /// How much it counts in the mean, 1 to 100. Default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub weight: Option<u32>,
    /// A score below this fails the attempt whatever the mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Score>,
    /// What the judge must check, as a statement that is true of a good output.
    #[schemars(length(min = 1, max = 512))]
    pub criterion: String,
}
