//! What a BatchRun tells: phase for people, conditions for machines, every stage with its attempts, scores and timings.
//! Bounded (invariant 4): every list and text has a limit, and every list but the conditions is atomic.

mod asked;
mod phase;

pub use asked::AskedStatus;
pub use phase::Phase;

use crate::{
    Score,
    contracts::{Diagnosis, ErrorClass, ListInfo, Reference, Tokens},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most bytes of status as stored JSON (invariant 4).
pub const MAX_STATUS_BYTES: usize = 52 * 1024;
/// Most bytes of one feedback text, JSON-escaped.
pub const MAX_FEEDBACK_BYTES: usize = 192;
/// Most bytes of a message in `failure` and in conditions, JSON-escaped.
pub const MAX_MESSAGE_BYTES: usize = 256;
/// Attempts of a stage that are kept: best, previous, last.
pub const MAX_ATTEMPTS_KEPT: usize = 3;

/// What happened to a run so far.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BatchRunStatus {
    /// The generation of the spec this status speaks of; -1 until the operator has seen the run.
    #[serde(default = "unobserved")]
    pub observed_generation: i64,
    /// The immutable ConfigMap that holds the track, prompts and schemas this run executes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub revision: Option<String>,
    /// Where the run stands, for people; machines read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// What `kubectl get batchruns` prints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
    /// `Complete`, `Failed`, `Suspended`, `Diagnosed`; for tools that know kstatus also `Reconciling`, `Stalled`, `Ready`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// When the first stage began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<MicroTime>,
    /// When the run ended; from then on nothing changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<MicroTime>,
    /// When the run fails unless it has ended, as long as it stays active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_at: Option<MicroTime>,
    /// Time the run was active up to its last pause, in milliseconds.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub active_millis: u64,
    /// The stages that have begun, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 12))]
    pub stages: Vec<StageStatus>,
    /// Why the run failed; written at once, before anything else is done about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What was done about the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch: Option<CatchStatus>,
    /// What the debugger found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Diagnosis>,
}

fn unobserved() -> i64 {
    -1
}

impl Default for BatchRunStatus {
    fn default() -> Self {
        Self {
            observed_generation: unobserved(),
            revision: None,
            phase: None,
            summary: None,
            conditions: Vec::new(),
            started_at: None,
            completed_at: None,
            deadline_at: None,
            active_millis: 0,
            stages: Vec::new(),
            failure: None,
            catch: None,
            diagnosis: None,
        }
    }
}

/// What `kubectl get batchruns` prints. All of it follows from `stages`.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The stage that runs, or the last one that ran.
    #[schemars(length(max = 24))]
    pub stage: String,
    /// Stages done of all, and within a fan-out targets done of all: `4/7 20/24`.
    #[schemars(length(max = 16))]
    pub progress: String,
    /// Lowest score with which a stage advanced so far; of a failed run: the best score of the failed stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// Quality attempts beyond the first, of all stages and targets.
    #[schemars(range(min = 0))]
    pub retries: u32,
    /// From the first stage's begin to the end, once the run has ended: `27.3s`, `1m32s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub duration: Option<String>,
}

/// One stage of a run.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// Name of the stage in the Track.
    #[schemars(length(max = 24))]
    pub name: String,
    /// Where it stands.
    pub phase: StagePhase,
    /// When it began.
    pub started_at: MicroTime,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<MicroTime>,
    /// Where its time went.
    pub millis: StageMillis,
    /// What the accepted (of a failed stage: the last) attempt was given, in the payload store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Reference>,
    /// The accepted output, in the payload store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Reference>,
    /// What of each budget is used up.
    pub used: Used,
    /// The next try is not started before this moment: a pause after failures of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<MicroTime>,
    /// Best, previous and last attempt, in order; records of all of them are in the payload store. Empty in a fan-out, where each
    /// target has its own.
    #[schemars(length(max = 3))]
    pub attempts: Vec<AttemptStatus>,
    /// The lists of the accepted output that later stages fan out over, by field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 2))]
    pub lists: BTreeMap<String, ListInfo>,
    /// The targets, in a fan-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub targets: Option<TargetsStatus>,
    /// What the tenant was asked last, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub questionnaire: Option<AskedStatus>,
}

/// The targets of a fan-out. Which they are is frozen by the accepted output of the stage that wrote the list.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TargetsStatus {
    /// All.
    #[schemars(range(min = 0, max = 1000))]
    pub total: u32,
    /// With a pod.
    #[schemars(range(min = 0))]
    pub running: u32,
    /// Accepted.
    #[schemars(range(min = 0))]
    pub succeeded: u32,
    /// Failed for good.
    #[schemars(range(min = 0))]
    pub failed: u32,
    /// Quality attempts beyond the first, of all targets.
    #[schemars(range(min = 0))]
    pub retries: u32,
    /// Lowest score with which a target was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowest: Option<Score>,
    /// Three bytes for each target, base64: its state, attempt, failures by class and best score.
    #[schemars(length(max = 4000))]
    pub ledger: String,
    /// Waves cut so far.
    #[schemars(range(min = 0))]
    pub cut: u32,
    /// Since when a target has waited for the next wave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_since: Option<MicroTime>,
    /// When this was last written: progress alone is written at most once a second.
    pub updated_at: MicroTime,
    /// Until when the stage's time is accounted for.
    pub accounted_until: MicroTime,
    /// Waves in work, at most 8. Nothing runs that is not named here.
    #[schemars(length(max = 8))]
    pub waves: Vec<WaveStatus>,
    /// The targets that failed, and those accepted with the lowest scores, worst first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub worst: Vec<WorstTarget>,
}

/// One wave of a fan-out: an Indexed Job over targets that were due.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WaveStatus {
    /// From 1.
    #[schemars(range(min = 1))]
    pub wave: u32,
    /// From 1; grows when somebody else has used the Job's name.
    #[serde(rename = "try")]
    #[schemars(range(min = 1))]
    pub try_: u32,
    /// Its Job.
    #[serde(rename = "jobUID")]
    #[schemars(length(max = 36))]
    pub job_uid: String,
    /// Its targets by index, in order: `0-9,17,23`.
    #[schemars(length(max = 1024))]
    pub targets: String,
    /// Targets of one pod.
    #[schemars(range(min = 1, max = 32))]
    pub targets_per_pod: u32,
    /// When its Job was recorded.
    pub started_at: MicroTime,
}

/// A target worth looking at.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct WorstTarget {
    /// Its index.
    #[schemars(range(min = 0))]
    pub index: u32,
    /// Its key.
    #[schemars(length(max = 64))]
    pub key: String,
    /// The attempt it ended with.
    #[schemars(range(min = 1))]
    pub attempt: u32,
    /// The score it was accepted with, or its best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TargetError>,
}

/// Why a target failed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TargetError {
    /// Whose failure it was.
    pub class: ErrorClass,
    /// One CamelCase word for machines.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// What happened, for people.
    #[schemars(length(max = 96))]
    pub message: String,
}

/// What was done about a failure.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CatchStatus {
    /// When the stage had failed.
    pub started_at: MicroTime,
    /// The run is Failed by then, with or without a diagnosis.
    pub deadline_at: MicroTime,
    /// Try of the debugger, from 1.
    #[serde(rename = "try")]
    #[schemars(range(min = 1))]
    pub try_: u32,
    /// The Job of this try. Nothing runs that is not named here.
    #[serde(rename = "jobUID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub job_uid: Option<String>,
    /// When this try's Job was recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub try_started_at: Option<MicroTime>,
    /// The next try is not started before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<MicroTime>,
    /// Why the last try brought no diagnosis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TryError>,
    /// Tokens of all tries.
    #[schemars(range(min = 0))]
    pub tokens: u64,
}

/// Where a stage stands.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum StagePhase {
    /// An attempt runs, or is about to.
    Running,
    /// An attempt was accepted.
    Succeeded,
    /// A budget is used up, or an error is permanent.
    Failed,
    /// The run was cancelled or ended by a deadline meanwhile.
    Stopped,
}

/// Where time went, in milliseconds, each measured on one clock; `podStart` is the rest.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct StageMillis {
    /// Waiting for its turn: before the first Job was recorded, and pauses after failures of the model. Operator's clock.
    #[schemars(range(min = 0))]
    pub queued: u64,
    /// From the Job's release to the worker's first instruction, and whatever no other part accounts for.
    #[schemars(range(min = 0))]
    pub pod_start: u64,
    /// The stage's own work: a model writing, a program running, notices being sent. Worker's clock.
    #[schemars(range(min = 0))]
    pub generate: u64,
    /// The judge reading. Worker's clock.
    #[schemars(range(min = 0))]
    pub judge: u64,
    /// From a result's arrival to the record of what follows from it. Operator's clock.
    #[schemars(range(min = 0))]
    pub operator: u64,
    /// Suspended. Operator's clock.
    #[schemars(range(min = 0))]
    pub paused: u64,
    /// Waiting for answers. Operator's clock.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub waiting: u64,
}

/// How much of each budget a stage has used.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Used {
    /// Attempts that were judged.
    #[schemars(range(min = 0))]
    pub quality: u32,
    /// Failures of pods, nodes or the store.
    #[schemars(range(min = 0))]
    pub infrastructure: u32,
    /// Failures of the model's server.
    #[schemars(range(min = 0))]
    pub model: u32,
    /// Failures of the judge to give a verdict.
    #[schemars(range(min = 0))]
    pub judge: u32,
    /// Tokens of all attempts, read and written, judge included.
    #[schemars(range(min = 0))]
    pub tokens: u64,
}

/// One generation of a stage and what was thought of it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AttemptStatus {
    /// From 1; a new one only after a verdict below the threshold, or after questions.
    #[schemars(range(min = 1))]
    pub attempt: u32,
    /// From 1; a new one when the last brought no verdict.
    #[serde(rename = "try")]
    #[schemars(range(min = 1))]
    pub try_: u32,
    /// The Job that runs this try. Nothing runs that is not named here.
    #[serde(rename = "jobUID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub job_uid: Option<String>,
    /// When this try's Job was recorded.
    pub started_at: MicroTime,
    /// From then to its result, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub millis: Option<u64>,
    /// Weighted mean of the dimensions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// Score of each dimension.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 8))]
    pub dimensions: BTreeMap<String, Score>,
    /// The judge's words, cut; all of them are in the verdict in the payload store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 192))]
    pub feedback: Option<String>,
    /// What the operator decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The error of the last try that ended without a verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<TryError>,
    /// Tokens of this attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
    /// What it wrote, in the payload store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<Reference>,
    /// Its full record (input, output, verdict, calls), in the payload store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<Reference>,
}

/// What the operator decided on an attempt.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Accepted: the stage is done.
    Advance,
    /// Below the threshold or a dimension's minimum: another attempt follows, or the budget is used up.
    Retry,
    /// Something is missing: the tenant is asked, and another attempt follows the answers.
    Ask,
}

/// Why a try ended without a verdict.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TryError {
    /// Whose failure it was; each class has its own budget.
    pub class: ErrorClass,
    /// One CamelCase word for machines.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// What happened, for people.
    #[schemars(length(max = 256))]
    pub message: String,
}

/// Why a run failed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The stage that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 24))]
    pub stage: Option<String>,
    /// Key of the target that decided it, in a fan-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub target: Option<String>,
    /// Whose failure it was.
    pub class: ErrorClass,
    /// One CamelCase word for machines, the same as the Failed condition's.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// What happened and what to do, for people.
    #[schemars(length(max = 256))]
    pub message: String,
    /// When.
    pub at: MicroTime,
}
