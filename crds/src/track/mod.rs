//! Track: what happens to a batch, for one audience.

mod judge;
mod pods;
mod retry;
mod selector;
mod stage;

pub use judge::{Dimension, Judge, ModelParameters, ModelRole};
pub use pods::{Resources, SecretRef, Toleration, WorkerTemplate};
pub use retry::{Backoff, ModelRetry, QualityRetry, Retry, TryBudget};
pub use selector::{LabelExpression, LabelOperator, LabelSelector, Level, Priority, TrackSelector};
pub use stage::{
    Broadcast, Channel, ContainerWork, ForEach, Generate, OnMissing, OnTimeout, Retrieve, Stage, ValidateContext, Webhook,
};

use crate::GoDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

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
