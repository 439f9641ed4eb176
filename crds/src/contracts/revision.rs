//! A Track resolved: every default filled in, every name followed, every number read. Kept with prompts and schemas in an
//! immutable ConfigMap; what a run starts with is what it executes (invariant 6).

use super::SecretKeyRef;
use crate::{
    Score, Tolerance,
    model_endpoint::ConfigMapKeyRef,
    track::{ModelParameters, OnMissing, OnTimeout, Resources, WorkerTemplate},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Key of the revision's ConfigMap that holds the [`Revision`] as JSON; the other keys are the prompts and schemas.
pub const REVISION_KEY: &str = "trackway.dev.revision.json";

/// A resolved Track.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Version of this document: 1.
    pub contract: u32,
    /// Name of the Track.
    pub track: String,
    /// Who reads what it writes.
    pub audience: String,
    /// The work, in order.
    pub stages: Vec<ResolvedStage>,
    /// The model that explains failures; `None`: a failed stage ends the run at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debugger: Option<ResolvedDebugger>,
    /// Limits of the run.
    pub limits: ResolvedLimits,
    /// How the pods of the stages are placed and what they may use.
    #[serde(default)]
    pub worker_template: WorkerTemplate,
}

impl Revision {
    /// The stage called `name`.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<&ResolvedStage> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    /// The fan-outs over lists of stage `name`'s output.
    pub fn fan_outs_over<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a ResolvedForEach> + 'a {
        self.stages.iter().filter_map(|stage| stage.for_each.as_ref()).filter(move |for_each| for_each.stage == name)
    }
}

/// One resolved stage.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedStage {
    /// Name, unique in the track.
    pub name: String,
    /// What it does.
    pub work: ResolvedWork,
    /// The prompt's `track.vars`.
    #[serde(default)]
    pub vars: BTreeMap<String, serde_json::Value>,
    /// The list it is done over; `None`: once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<ResolvedForEach>,
    /// How its output is scored; `None`: accepted as it comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge: Option<ResolvedJudge>,
    /// Budgets.
    pub retry: ResolvedRetry,
    /// Limit of one try from its pod's start, in milliseconds.
    pub timeout_millis: u64,
}

/// What a stage does.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(tag = "kind")]
pub enum ResolvedWork {
    /// Asks a model to write something.
    #[serde(rename_all = "camelCase")]
    Generate {
        /// The model that writes.
        model: Box<ResolvedModel>,
        /// Key of the prompt.
        prompt: String,
        /// Key of the schema of its output; `None`: `{"text": string}`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output_schema: Option<String>,
        /// Which past events its prompt sees; `None`: none, and it cannot name them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retrieve: Option<ResolvedRetrieve>,
    },
    /// Asks a model whether the batch says enough.
    #[serde(rename_all = "camelCase")]
    ValidateContext {
        /// The model that answers.
        model: Box<ResolvedModel>,
        /// Key of the prompt.
        prompt: String,
        /// What to do when something is missing.
        on_missing: OnMissing,
        /// How to ask; present exactly when that is what to do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ask: Option<ResolvedAsk>,
    },
    /// Runs a program of the user's.
    #[serde(rename_all = "camelCase")]
    Container {
        /// Its image.
        image: String,
        /// Replaces the image's entry point, if not empty.
        #[serde(default)]
        command: Vec<String>,
        /// Arguments.
        #[serde(default)]
        args: Vec<String>,
        /// Environment variables.
        #[serde(default)]
        env: BTreeMap<String, String>,
        /// CPU and memory; `None`: those of the worker.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resources: Option<Resources>,
        /// Key of the schema of its output; `None`: any object.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output_schema: Option<String>,
    },
    /// Sends notices.
    #[serde(rename_all = "camelCase")]
    Broadcast {
        /// The fan-out whose succeeded items are sent.
        items: String,
        /// The stage whose `{"items": [{"key", "approve"}]}` decides which; `None`: all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approved_by: Option<String>,
        /// Where to.
        channels: Vec<ResolvedChannel>,
        /// Everything but the sending.
        dry_run: bool,
    },
}

impl ResolvedStage {
    /// The model that writes, if one does.
    #[must_use]
    pub fn model(&self) -> Option<&ResolvedModel> {
        match &self.work {
            ResolvedWork::Generate { model, .. } | ResolvedWork::ValidateContext { model, .. } => Some(model),
            ResolvedWork::Container { .. } | ResolvedWork::Broadcast { .. } => None,
        }
    }

    /// How the tenant is asked for what is missing, if that is what to do.
    #[must_use]
    pub fn asks(&self) -> Option<ResolvedAsk> {
        match &self.work {
            ResolvedWork::ValidateContext { ask, .. } => *ask,
            _ => None,
        }
    }

    /// Which past events its prompt sees, if any.
    #[must_use]
    pub fn retrieves(&self) -> Option<ResolvedRetrieve> {
        match &self.work {
            ResolvedWork::Generate { retrieve, .. } => *retrieve,
            _ => None,
        }
    }

    /// Key of the prompt, if there is one.
    #[must_use]
    pub fn prompt(&self) -> Option<&str> {
        match &self.work {
            ResolvedWork::Generate { prompt, .. } | ResolvedWork::ValidateContext { prompt, .. } => Some(prompt),
            ResolvedWork::Container { .. } | ResolvedWork::Broadcast { .. } => None,
        }
    }
}

/// How a tenant is asked for what is missing.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedAsk {
    /// How long answers are waited for in each round, in milliseconds.
    pub answer_within_millis: u64,
    /// What to do when nobody has answered by then.
    pub on_timeout: OnTimeout,
}

/// Which past events a prompt sees.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedRetrieve {
    /// How many at most.
    pub top_k: u32,
}

/// The list a stage is done over.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedForEach {
    /// The earlier stage that wrote the list.
    pub stage: String,
    /// The field of its output.
    pub field: String,
    /// The field of an entry that tells it from all others; an entry without it goes by its index.
    pub key: String,
    /// Most targets in work at the same time.
    pub max_concurrency: u32,
    /// Targets of one pod.
    pub targets_per_pod: u32,
    /// How many may fail for good.
    pub tolerated_failures: Tolerance,
}

/// One way out.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedChannel {
    /// Its name, part of the idempotency key.
    pub name: String,
    /// Where notices are posted.
    pub url: String,
    /// Where the signing secret is; the secret itself is never part of a revision.
    pub signing_secret_ref: SecretKeyRef,
    /// Limit of one request in milliseconds.
    pub timeout_millis: u64,
}

/// The model that explains failures.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedDebugger {
    /// How it is reached.
    pub model: ResolvedModel,
    /// From the stage's failure until the run is Failed, with or without a diagnosis.
    pub timeout_millis: u64,
}

/// A model and how it is reached.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedModel {
    /// Role in the Track.
    pub role: String,
    /// Name of the ModelEndpoint.
    pub endpoint: String,
    /// Address up to and including the version.
    #[serde(rename = "baseURL")]
    pub base_url: String,
    /// Headers sent with every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The model's name as the server knows it.
    pub model: String,
    /// Limit of one HTTP request in milliseconds.
    pub timeout_millis: u64,
    /// Sent with every request.
    #[serde(default)]
    pub parameters: ModelParameters,
    /// Where the API key is; the key itself is never part of a revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_secret_ref: Option<SecretKeyRef>,
    /// Where the authority's certificates are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle_ref: Option<ConfigMapKeyRef>,
}

/// A judge with nothing left open.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedJudge {
    /// The judging model.
    pub model: ResolvedModel,
    /// The mean an output must reach.
    pub threshold: Score,
    /// What is scored; never empty.
    pub dimensions: Vec<ResolvedDimension>,
}

impl ResolvedJudge {
    /// The weighted mean of `scores`, or `None` when a dimension has none.
    #[must_use]
    pub fn overall(&self, scores: &BTreeMap<String, Score>) -> Option<Score> {
        let weighted: Option<Vec<_>> =
            self.dimensions.iter().map(|dimension| Some((*scores.get(&dimension.name)?, dimension.weight))).collect();
        Score::weighted_mean(weighted?)
    }

    /// Whether `overall` and every dimension are high enough (invariant 2).
    #[must_use]
    pub fn accepts(&self, overall: Score, scores: &BTreeMap<String, Score>) -> bool {
        overall >= self.threshold
            && self
                .dimensions
                .iter()
                .all(|dimension| scores.get(&dimension.name).is_some_and(|score| *score >= dimension.minimum))
    }
}

/// One thing a judge scores.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedDimension {
    /// Short name.
    pub name: String,
    /// How much it counts.
    pub weight: u32,
    /// Lowest score that passes; 0 when the Track gives none.
    pub minimum: Score,
    /// What must be true of a good output.
    pub criterion: String,
}

/// Budgets with every default filled in.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedRetry {
    /// Generations in all.
    pub quality_max_attempts: u32,
    /// Failures of pods, nodes or the store until the stage fails.
    pub infrastructure_max_tries: u32,
    /// Failures of the model's server until the stage fails.
    pub model_max_tries: u32,
    /// Failures of the judge until the stage fails.
    pub judge_max_tries: u32,
    /// Pause after a failure of the model's server.
    pub model_backoff: ResolvedBackoff,
}

/// A growing pause, in milliseconds.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedBackoff {
    /// The first.
    pub initial_millis: u64,
    /// How much each is longer than the last.
    pub factor: u32,
    /// The longest.
    pub max_millis: u64,
}

impl ResolvedBackoff {
    /// The pause after the `failures`-th failure, from 1.
    #[must_use]
    pub fn after(&self, failures: u32) -> u64 {
        let factor = u64::from(self.factor).saturating_pow(failures.saturating_sub(1));
        self.initial_millis.saturating_mul(factor).min(self.max_millis)
    }
}

/// Limits of a run, in milliseconds.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedLimits {
    /// From a Job's release until its pod must have started.
    pub start_timeout_millis: u64,
    /// Time a run may be active.
    pub active_deadline_millis: u64,
    /// Time from a run's creation until it fails whatever it waits for.
    pub deadline_millis: u64,
    /// Tokens a run may use; `None`: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
}
