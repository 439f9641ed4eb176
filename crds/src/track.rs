//! Track: what happens to a batch, for one audience.

use crate::{GoDuration, Score, Tolerance, contracts::SecretKeyRef};
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
#[x_kube(validation = Rule::new("!has(self.catch) || self.models.exists(m, m.role == self.catch.debugger.model)").message("spec.catch.debugger.model names no role of spec.models"))]
#[x_kube(validation = Rule::new("self.stages.all(i, s, !has(s.forEach) || self.stages.exists(j, t, j < i && s.forEach.items.startsWith(t.name + '.')))").message("spec.stages[].forEach.items is STAGE.FIELD and must name an earlier stage"))]
#[x_kube(validation = Rule::new("self.stages.filter(s, has(s.forEach)).size() <= 2").message("spec.stages: at most two stages may have forEach, because the state of every target is kept in the run's status"))]
#[x_kube(validation = Rule::new("self.stages.all(i, s, !has(s.broadcast) || self.stages.exists(j, t, j < i && t.name == s.broadcast.items && has(t.forEach)))").message("spec.stages[].broadcast.items must name an earlier stage with forEach"))]
#[x_kube(validation = Rule::new("self.stages.all(i, s, !has(s.broadcast) || !has(s.broadcast.approvedBy) || self.stages.exists(j, t, j < i && t.name == s.broadcast.approvedBy))").message("spec.stages[].broadcast.approvedBy must name an earlier stage"))]
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
    /// What happens when a stage has failed for good. Left out: the run fails at once, with its error alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch: Option<Catch>,
    /// Limits of a whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// How the pods of the stages are placed and what they may use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_template: Option<WorkerTemplate>,
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
#[x_kube(validation = Rule::new("[has(self.validateContext), has(self.generate), has(self.container), has(self.broadcast)].filter(x, x).size() == 1").message("a stage does exactly one kind of work: give it one of validateContext, generate, container and broadcast"))]
#[x_kube(validation = Rule::new("!has(self.forEach) || has(self.generate)").message("forEach: only a stage that generates can be done for each target"))]
#[x_kube(validation = Rule::new("!has(self.broadcast) || !has(self.judge) || (has(self.judge.enabled) && !self.judge.enabled)").message("judge: a broadcast is not judged, it sends what was: leave judge out"))]
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
    /// Runs a program of your own instead of asking a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<ContainerWork>,
    /// Sends what an earlier `forEach` stage wrote to webhooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broadcast: Option<Broadcast>,
    /// Does the stage's work once for each entry of a list that an earlier stage wrote; each has its own attempts and judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ForEach>,
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
    /// Key of the prompt in `promptsFrom`: a minijinja template that may name `track`, `batch`, `events`, `context`, `stages`,
    /// `feedback` and, with `forEach`, `target`. An undefined name makes the Track not ready.
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

/// Once for each target: the entries of a list are shared out to pods that work on several at a time, because the work is
/// waiting for a model. The stage's output is `{"items": [{key, phase, output, score, error}], "counts"}`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.targetsPerPod) || self.targetsPerPod <= (has(self.maxConcurrency) ? self.maxConcurrency : 40)").message("targetsPerPod must not be more than maxConcurrency (default 40)"))]
pub struct ForEach {
    /// `STAGE.FIELD`: the field of an earlier stage's output that holds the list, for example `solutions.targets`. At most 1,000
    /// objects; the prompt sees one of them as `{{ target }}`.
    #[schemars(length(min = 3, max = 89), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?\.[A-Za-z_][A-Za-z0-9_]*$"))]
    pub items: String,
    /// Field of each entry that tells it from all others, a text or a number. Default `id`; entries without it go by their index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub key: Option<String>,
    /// Most targets in work at the same time, over all pods. Default 40.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub max_concurrency: Option<u32>,
    /// Targets one pod works on at the same time, at most `maxConcurrency`. Default 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32))]
    pub targets_per_pod: Option<u32>,
    /// How many targets may fail for good without failing the stage: a number, or a share such as `25%` (rounded down). Default 0.
    /// A stage of which no target succeeds fails in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerated_failures: Option<Tolerance>,
}

/// Runs a program of your own: it finds `/trackway/input.json` (what a prompt could name, as JSON) and leaves
/// `/trackway/output.json`, an object. It gets no credentials, no token and no network name of ours; fetching and reporting is
/// done by containers beside it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ContainerWork {
    /// The image. It runs as user 65532 with a read-only root file system; `/trackway` and `/tmp` can be written.
    #[schemars(length(min = 1, max = 512))]
    pub image: String,
    /// Replaces the image's entry point.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 512)))]
    pub command: Vec<String>,
    /// Arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(max = 512)))]
    pub args: Vec<String>,
    /// Environment variables, by name. Not for secrets: whoever may read the Track reads them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32), inner(length(max = 1024)))]
    pub env: BTreeMap<String, String>,
    /// Key of a JSON Schema in `promptsFrom` the output must be valid for. Left out: any object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub output_schema: Option<String>,
    /// CPU and memory of the program. Default: those of `workerTemplate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Your own values; the program finds them in the input's `track.vars`, the judge in its question.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "crate::manifests::free_form")]
    pub vars: BTreeMap<String, serde_json::Value>,
}

/// Sends notices: each a CloudEvent, signed as Standard Webhooks says, with a key that a receiver can tell repeats by.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Broadcast {
    /// The `forEach` stage whose succeeded items are sent.
    #[schemars(length(min = 1, max = 24))]
    pub items: String,
    /// A stage that answers `{"items": [{"key", "approve", "reason"}]}`: only items whose key it approved are sent. Left out: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 24))]
    pub approved_by: Option<String>,
    /// Where they are sent; every item goes to every channel.
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub channels: Vec<Channel>,
    /// `true`: everything but the sending; the stage's output says what would have been sent. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// One way out.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Channel {
    /// Name, part of the key that a receiver tells repeats by.
    #[schemars(length(min = 1, max = 24), regex(pattern = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// An HTTP receiver.
    pub webhook: Webhook,
}

/// An HTTP receiver of signed notices.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Webhook {
    /// Where notices are posted: `https://…`, or `http://…` within the cluster. No user name or password.
    #[schemars(length(min = 8, max = 512), regex(pattern = r"^https?://[^\s]+$"))]
    pub url: String,
    /// The signing secret as Standard Webhooks writes it, `whsec_…`, in a Secret of this namespace.
    pub signing_secret_ref: SecretKeyRef,
    /// Limit of one request. Default 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<GoDuration>,
}

/// What happens when a stage has failed for good.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Catch {
    /// A model reads what happened and writes root cause, suggested fix and a prompt to go on with, into `status.diagnosis`.
    pub debugger: Debugger,
}

/// The model that explains failures.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Debugger {
    /// Role of the model.
    #[schemars(length(min = 1, max = 24))]
    pub model: String,
    /// The run is Failed at the latest this long after its stage failed, with or without a diagnosis. Default 2m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<GoDuration>,
}

/// How the pods of a track's stages are placed and what they may use.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorkerTemplate {
    /// CPU and memory of the worker. Default: requests of 10m and 32Mi, a limit of 512Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Labels a node must have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16), inner(length(max = 63)))]
    pub node_selector: BTreeMap<String, String>,
    /// Taints the pods put up with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub tolerations: Vec<Toleration>,
    /// Secrets with which images are pulled.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub image_pull_secrets: Vec<SecretRef>,
    /// Labels of the pods and their Jobs; those of Trackway and Kubernetes are not to be set here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16), inner(length(max = 63)))]
    pub labels: BTreeMap<String, String>,
    /// How important the pods are, by the name of a PriorityClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub priority_class_name: Option<String>,
}

/// CPU and memory, as Kubernetes writes them: `{requests: {cpu: 100m}, limits: {memory: 256Mi}}`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What is set aside.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8), inner(length(max = 32)))]
    pub requests: BTreeMap<String, String>,
    /// What may not be exceeded.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8), inner(length(max = 32)))]
    pub limits: BTreeMap<String, String>,
}

/// As in a pod.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Toleration {
    /// Key of the taint; left out: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 316))]
    pub key: Option<String>,
    /// `Exists` or `Equal`. Default `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub operator: Option<String>,
    /// Value of the taint, for `Equal`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub value: Option<String>,
    /// Effect of the taint; left out: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub effect: Option<String>,
}

/// A Secret of the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
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
    /// Tokens a run may use, read and written, judges included; checked before each call. The calls that are then under way may
    /// exceed it by what they write. Left out: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub tokens: Option<u64>,
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
