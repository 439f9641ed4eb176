//! One step of a track.

use super::{Judge, Resources, Retry};
use crate::{GoDuration, Tolerance, contracts::SecretKeyRef};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
#[x_kube(validation = Rule::new("self.onMissing == 'Ask' || (!has(self.answerWithin) && !has(self.onTimeout))").message("answerWithin and onTimeout are about questions: leave them out, or set onMissing: Ask"))]
pub struct ValidateContext {
    /// Key of the prompt in `promptsFrom`. What the tenant has answered before is its `context`, by question id.
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
    /// What to do when something is missing: `Ask` the tenant and wait without a pod, `Proceed` with the gaps on record, or `Fail` the
    /// run.
    pub on_missing: OnMissing,
    /// With `onMissing: Ask`: how long answers are waited for, in each of at most three rounds of questions. It is no active time, but
    /// counts for `limits.deadline`. Default 72h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_within: Option<GoDuration>,
    /// With `onMissing: Ask`: what to do when nobody has answered by then, or when something is still missing after three rounds of
    /// questions. Default `Proceed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<OnTimeout>,
}

/// What to do when nobody answers.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTimeout {
    /// Go on; later prompts see the gaps in this stage's output.
    #[default]
    Proceed,
    /// Fail the run with reason `ContextTimeout`.
    Fail,
}

/// What to do when context is missing.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMissing {
    /// Ask the tenant: a Questionnaire is made, and the run waits until it is answered.
    Ask,
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
    /// `feedback`, with `forEach` `target` and with `retrieve` `retrieved`. An undefined name makes the Track not ready.
    #[schemars(length(min = 1, max = 128))]
    pub prompt: String,
    /// Looks for past events of the same tenant that resemble the batch's (and the target, with `forEach`); the prompt sees them in
    /// `retrieved`. It takes the ingest's vectorizer, which has the embedding model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrieve: Option<Retrieve>,
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

/// Which past events a prompt sees.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Retrieve {
    /// How many events at most, the nearest first. Only those count that came before the batch's first one.
    #[schemars(range(min = 1, max = 100))]
    pub top_k: u32,
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
