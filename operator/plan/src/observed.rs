//! What [`plan`](crate::plan()) is told of the world. Observations may be stale; the fenced write is what makes that harmless.

use jiff::Timestamp;
use std::sync::Arc;
use trackway_crds::{
    BatchRunSpec,
    contracts::{Revision, StageResult, WaveAssignment},
};

/// The parts of a BatchRun that are not its status.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.creationTimestamp`.
    pub created_at: Timestamp,
    /// What was asked for.
    pub spec: &'a BatchRunSpec,
}

/// Everything seen of one run.
#[derive(Clone, Debug)]
pub struct Observed {
    /// What the run executes.
    pub revision: RevisionView,
    /// Every Job that names the run as its owner or carries a name the run would use.
    pub jobs: Vec<JobView>,
    /// Results read from the stream for the open try, or for every target that runs.
    pub results: Vec<ArrivedResult>,
    /// Whether the stream could be asked. While it cannot, a missing result proves nothing.
    pub results_known: bool,
    /// Where the questionnaire stands that the status waits for.
    pub questionnaire: QuestionnaireView,
    /// What the last plan wanted to create was refused.
    pub refusal: Option<Refusal>,
}

/// What a run executes: the pinned revision, or for a run that has none yet the one its Track offers.
#[derive(Clone, Debug)]
pub enum RevisionView {
    /// It is here.
    Available {
        /// Name of its ConfigMap.
        name: String,
        /// Its content.
        revision: Arc<Revision>,
    },
    /// It is not here yet: no Track, or a Track that is not ready.
    Waiting {
        /// One CamelCase word.
        reason: String,
        /// What is missing and what to do.
        message: String,
    },
    /// The pinned revision is gone for good.
    Lost {
        /// Name of its ConfigMap.
        name: String,
    },
}

/// Where a questionnaire stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuestionnaireView {
    /// Nobody could be asked, or the status waits for none.
    #[default]
    Unknown,
    /// Not all of it is answered.
    Open,
    /// All of it is answered, since then.
    Answered(Timestamp),
}

/// A Job as seen.
#[derive(Clone, Debug)]
pub struct JobView {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Whether the run, by uid, is its owner.
    pub owned: bool,
    /// Name of the revision its pod mounts.
    pub revision: Option<String>,
    /// The targets its pods were told, in a fan-out.
    pub wave: Option<WaveAssignment>,
    /// `spec.suspend`.
    pub suspended: bool,
    /// Being deleted.
    pub deleting: bool,
    /// Complete, or failed (condition `Failed` or `FailureTarget`) with what it said.
    pub ended: Option<Finished>,
    /// Its pods, also those that were seen and are gone.
    pub pods: Vec<PodView>,
}

/// A pod of a Job as seen.
#[derive(Clone, Debug, Default)]
pub struct PodView {
    /// Its uid.
    pub uid: String,
    /// Its container has run, or runs.
    pub started: bool,
    /// Why its container does not run yet.
    pub waiting: Option<Waiting>,
    /// Its container ended, or the pod was lost.
    pub finished: Option<Finished>,
    /// What its termination message said: one result, or one for each of its targets.
    pub results: Vec<StageResult>,
    /// Its completion index, 0 outside a fan-out.
    pub index: u32,
}

/// Why something does not run yet, in Kubernetes' words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// For example `ImagePullBackOff`, `CreateContainerConfigError`, `Unschedulable`.
    pub reason: String,
    /// The long form.
    pub message: String,
}

/// How something ended, in Kubernetes' words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Ended well: exit code 0, or a complete Job.
    pub ok: bool,
    /// For example `Evicted`, `OOMKilled`, `DeadlineExceeded`, `Error`.
    pub reason: String,
    /// The long form.
    pub message: String,
}

/// A result and when it reached the operator.
#[derive(Clone, Debug)]
pub struct ArrivedResult {
    /// What the worker said.
    pub result: StageResult,
    /// On the operator's clock.
    pub arrived_at: Timestamp,
}

/// The API server said no to a Job, or somebody said no to a questionnaire, and would again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Name of the Job or Questionnaire.
    pub name: String,
    /// What it said.
    pub message: String,
}

impl Observed {
    pub(crate) fn job(&self, uid: &str) -> Option<&JobView> {
        self.jobs.iter().find(|job| job.uid == uid)
    }
}

impl JobView {
    /// Never ran, is ours and would execute `revision`: its uid may be recorded. Another revision is in a Job that somebody made
    /// before the run was seen to have pinned this one.
    pub(crate) fn can_be_adopted(&self, revision: Option<&str>) -> bool {
        self.owned && self.suspended && !self.deleting && self.ended.is_none() && self.revision.as_deref() == revision
    }

    /// Has pods that run or may come to run.
    pub(crate) fn is_active(&self) -> bool {
        self.owned && !self.deleting && self.ended.is_none()
    }
}
