//! Track: what happens to a batch, for one audience.

use crate::{GoDuration, Score};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What happens to a batch, for one audience: which batches it takes, which stages they go through, how each output is judged
/// and how often what is tried again. The operator turns it into an immutable revision; a run keeps the revision it started with.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "trackway.dev",
    version = "v1alpha1",
    kind = "Track",
    plural = "tracks",
    category = "trackway",
    namespaced,
    status = "TrackStatus",
    derive = "PartialEq",
    validation = Rule::new("self.metadata.name.size() <= 28").message("metadata.name: a Track's name has at most 28 characters, because the names of its runs and Jobs begin with it"),
    printcolumn(name = "Audience", type_ = "string", json_path = ".spec.audience"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Revision", type_ = "string", json_path = ".status.revision"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.judge.model) || self.models.exists(m, m.role == self.judge.model)").message("spec.judge.model names no role of spec.models"))]
#[x_kube(validation = Rule::new("self.stages.all(s, !has(s.generate) || !has(s.generate.model) || self.models.exists(m, m.role == s.generate.model))").message("spec.stages[].generate.model names no role of spec.models"))]
#[x_kube(validation = Rule::new("self.stages.all(s, !has(s.validateContext) || !has(s.validateContext.model) || self.models.exists(m, m.role == s.validateContext.model))").message("spec.stages[].validateContext.model names no role of spec.models"))]
#[x_kube(validation = Rule::new("self.stages.all(s, !has(s.judge) || !has(s.judge.model) || self.models.exists(m, m.role == s.judge.model))").message("spec.stages[].judge.model names no role of spec.models"))]
pub struct TrackSpec {
    /// Who reads what this track writes, in your own words; prompts see it as `{{ track.audience }}`.
    #[schemars(length(min = 1, max = 128))]
    pub audience: String,
    /// Which batches start a run of this track.
    pub selector: TrackSelector,
    /// The models this track uses, each under a role that stages and judges name. The first is the one that writes, unless a
    /// stage says otherwise.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["role".into()]))]
    pub models: Vec<ModelRole>,
    /// How outputs are scored. It holds for every stage; a stage's own `judge` replaces it field by field.
    pub judge: Judge,
    /// How often what is tried again. A stage's own `retry` replaces it field by field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// The work, in order: each stage sees the accepted outputs of all stages before it. At most 12.
    #[schemars(length(min = 1, max = 12))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub stages: Vec<Stage>,
    /// Where the prompts and schemas named in the stages are kept.
    pub prompts_from: PromptsFrom,
    /// Limits of a whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// Which batches start a run: every field that is given must match.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TrackSelector {
    /// Batches of a tenant, of a user, or both. Empty or left out: both.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    pub levels: Vec<Level>,
    /// Priorities taken. Empty or left out: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub priorities: Vec<Priority>,
    /// Labels the batch must carry. Left out: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<LabelSelector>,
}

/// As everywhere in Kubernetes: all of `matchLabels` and all of `matchExpressions` must hold.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels with exactly these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16), inner(length(max = 128)))]
    pub match_labels: BTreeMap<String, String>,
    /// Conditions on single labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub match_expressions: Vec<LabelExpression>,
}

/// A condition on one label.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(self.operator in ['In', 'NotIn']) == (has(self.values) && self.values.size() > 0)").message("values: In and NotIn need at least one value, Exists and DoesNotExist take none"))]
pub struct LabelExpression {
    /// The label.
    #[schemars(length(min = 1, max = 128))]
    pub key: String,
    /// What must hold for it.
    pub operator: LabelOperator,
    /// The values of `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 128)))]
    pub values: Vec<String>,
}

/// What must hold for a label.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LabelOperator {
    /// Present, with one of the values.
    In,
    /// Absent, or with none of the values.
    NotIn,
    /// Present.
    Exists,
    /// Absent.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether `labels` satisfy this selector.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|expression| expression.matches(labels.get(&expression.key)))
    }
}

impl LabelExpression {
    fn matches(&self, value: Option<&String>) -> bool {
        match self.operator {
            LabelOperator::In => value.is_some_and(|value| self.values.contains(value)),
            LabelOperator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
        }
    }
}

/// Whose events a batch gathers.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// All events of a tenant.
    Tenant,
    /// The events of one user of a tenant.
    User,
}

/// How urgent a batch is.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Routed first.
    High,
    /// Routed after High.
    Medium,
    /// Routed last.
    Low,
}

impl Level {
    /// As written in resources and labels.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "Tenant",
            Self::User => "User",
        }
    }
}

impl Priority {
    /// As written in resources, labels and subjects.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::High => "High",
            Self::Medium => "Medium",
            Self::Low => "Low",
        }
    }
}

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

/// One step of a track: exactly one kind of work.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.validateContext), has(self.generate)].filter(x, x).size() == 1").message("a stage does exactly one kind of work: give it either validateContext or generate"))]
pub struct Stage {
    /// Name, unique in the track; later prompts see its output as `{{ stages.NAME }}` (or `stages["NAME"]` with a dash).
    #[schemars(length(min = 1, max = 24), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Asks a model whether the batch says enough to work with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validate_context: Option<ValidateContext>,
    /// Asks a model to write something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<Generate>,
    /// Replaces the track's `judge` field by field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<Judge>,
    /// Replaces the track's `retry` field by field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Limit of one try, from its pod's start. Default 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<GoDuration>,
}

/// Checks whether a batch says enough to work with. The model answers `{complete, gaps}`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ValidateContext {
    /// Key of the prompt in `promptsFrom`.
    #[schemars(length(min = 1, max = 128))]
    pub prompt: String,
    /// Role of the model. Default: the first of `models`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub model: Option<String>,
    /// Your own values; the prompt sees them as `{{ track.vars }}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::manifests::free_form")]
    pub vars: BTreeMap<String, serde_json::Value>,
    /// What to do when something is missing: `Proceed` with the gaps on record, or `Fail` the run.
    pub on_missing: OnMissing,
}

/// What to do when context is missing.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMissing {
    /// Go on; later prompts see the gaps in this stage's output.
    Proceed,
    /// Fail the run with reason `ContextIncomplete`.
    Fail,
}

/// Asks a model to write something.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Generate {
    /// Key of the prompt in `promptsFrom`: a minijinja template that may name `track`, `batch`, `events`, `context`, `stages`
    /// and `feedback`. An undefined name makes the Track not ready.
    #[schemars(length(min = 1, max = 128))]
    pub prompt: String,
    /// Key of a JSON Schema in `promptsFrom` the output must be valid for. Left out: the output is `{"text": string}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub output_schema: Option<String>,
    /// Role of the model. Default: the first of `models`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub model: Option<String>,
    /// Your own values; the prompt sees them as `{{ track.vars }}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::manifests::free_form")]
    pub vars: BTreeMap<String, serde_json::Value>,
}

/// Where prompts and schemas are kept.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PromptsFrom {
    /// A ConfigMap of the same namespace; the names in the stages are its keys.
    pub config_map_ref: ConfigMapRef,
}

/// A ConfigMap of the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Limits of a run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// A pod that has not started by then (image, quota, no room, missing Secret) ends its try. Default 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timeout: Option<GoDuration>,
    /// Time a run may be active: neither suspended nor waiting. Default 2h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_deadline: Option<GoDuration>,
    /// Time from a run's creation after which it fails, whatever it waited for. Default 168h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<GoDuration>,
}

/// What the operator found out about a Track.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TrackStatus {
    /// The generation of the spec this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Name of the immutable ConfigMap that new runs will use: spec, prompts and schemas as they are now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub revision: Option<String>,
    /// `Ready`: True when new runs can start; else its reason and message say what to mend.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}
