//! BatchRun: one batch through one track.

use crate::{
    contracts::Reference,
    status::BatchRunStatus,
    track::{Level, Priority},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// One batch through one track. The collector creates it; its status tells everything that happened: stages, attempts, scores,
/// timings, and where inputs and outputs are. `kubectl trackway tree NAME` shows it as a picture.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "trackway.dev",
    version = "v1alpha1",
    kind = "BatchRun",
    plural = "batchruns",
    shortname = "br",
    category = "trackway",
    namespaced,
    status = "BatchRunStatus",
    derive = "PartialEq",
    validation = Rule::new("self.metadata.name.size() <= 43").message("metadata.name: a BatchRun's name has at most 43 characters, because the names of its Jobs begin with it"),
    validation = Rule::new("!has(oldSelf.status) || !has(oldSelf.status.completedAt) || (has(self.status) && self.status == oldSelf.status && self.spec == oldSelf.spec)").message("the run is finished: its spec and status no longer change"),
    printcolumn(name = "Track", type_ = "string", json_path = ".spec.trackRef.name"),
    printcolumn(name = "Tenant", type_ = "string", json_path = ".spec.batch.tenant"),
    printcolumn(name = "Priority", type_ = "string", json_path = ".spec.batch.priority"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Stage", type_ = "string", json_path = ".status.summary.stage"),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.summary.progress"),
    printcolumn(name = "Score", type_ = "number", json_path = ".status.summary.score"),
    printcolumn(name = "Retries", type_ = "integer", json_path = ".status.summary.retries"),
    printcolumn(name = "Duration", type_ = "string", json_path = ".status.summary.duration"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.trackRef == oldSelf.trackRef && self.batch == oldSelf.batch").message("spec cannot be changed but for suspend and cancel: a run is one batch through one track"))]
#[x_kube(validation = Rule::new("!(has(oldSelf.cancel) && oldSelf.cancel) || (has(self.cancel) && self.cancel)").message("spec.cancel cannot be taken back"))]
pub struct BatchRunSpec {
    /// The track the batch goes through.
    pub track_ref: TrackRef,
    /// The batch.
    pub batch: BatchSpec,
    /// `true`: no new attempt is opened until it is `false` again; an open one finishes and is recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// `true`: running work is stopped and the run ends as Cancelled. Cannot be taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel: bool,
}

/// A Track of the same namespace.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct TrackRef {
    /// Its name.
    #[schemars(length(min = 1, max = 28), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
}

/// The sealed batch a run works on.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BatchSpec {
    /// Id of the batch, unique for ever.
    #[schemars(length(min = 1, max = 64))]
    pub id: String,
    /// Whose events these are.
    #[schemars(length(min = 1, max = 128))]
    pub tenant: String,
    /// `Tenant`: all events of the tenant. `User`: those of one user.
    pub level: Level,
    /// The tenant's or the user's id.
    #[schemars(length(min = 1, max = 128))]
    pub subject: String,
    /// Why the batch was sealed when it was.
    pub priority: Priority,
    /// Number of events.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub events: u32,
    /// When the batch was sealed.
    pub ready_at: MicroTime,
    /// The batch document in the payload store.
    pub input: Reference,
}
