//! What a worker pod is told to do: one try of one attempt of one stage, or of several targets of a fan-out, or to explain a
//! failure.

use super::{ErrorClass, Reference};
use crate::batch_run::BatchSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Given to the worker in the environment variable `TRACKWAY_ASSIGNMENT`. What to do (prompts, models, judge) is in the
/// mounted [`Revision`](super::Revision); this says for whom.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Assignment {
    /// Version of this document: 1.
    pub contract: u32,
    /// The run.
    pub run: RunRef,
    /// Name of the revision the run pinned; part of what makes two attempts the same request.
    pub revision: String,
    /// The batch. Its `input` names the batch document.
    pub batch: BatchSpec,
    /// Name of the stage; [`DEBUGGER`](crate::names::DEBUGGER) for the debugger.
    pub stage: String,
    /// Attempt, from 1. Above 1, the feedback is the verdict stored for the attempt before. In a fan-out each target has its
    /// own, and this is 1.
    pub attempt: u32,
    /// Try, from 1. In a fan-out each target has its own, and this is the wave's.
    #[serde(rename = "try")]
    pub try_: u32,
    /// Accepted outputs of the stages before, by stage name; fan-outs are in `fan_outs`.
    #[serde(default)]
    pub stages: BTreeMap<String, Reference>,
    /// Ended fan-outs before this stage, by stage name. Their output is put together from the payloads of their targets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fan_outs: BTreeMap<String, FanOutState>,
    /// The targets, in a fan-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<WaveAssignment>,
    /// What to explain, for the debugger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureAssignment>,
    /// Tokens each target (outside a fan-out: the pod) may still use; no call is begun with none left. `None`: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_left: Option<u64>,
}

/// An ended fan-out.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FanOutState {
    /// The state of each target: [`Ledger`](crate::ledger::Ledger) as it encodes itself. The accepted output of target `i` is
    /// what (stage, its attempt, `i`) names.
    pub ledger: String,
}

/// One wave of a fan-out. The pod with completion index `i` works on `targets[i * targets_per_pod ..][.. targets_per_pod]`, all
/// of them at the same time, and reports each as it comes.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct WaveAssignment {
    /// Number of the wave, from 1.
    pub wave: u32,
    /// Targets of one pod, at least 1.
    pub targets_per_pod: u32,
    /// The targets, in order.
    pub targets: Vec<TargetAssignment>,
}

impl WaveAssignment {
    /// Number of pods.
    #[must_use]
    pub fn pods(&self) -> usize {
        self.targets.len().div_ceil(self.per_pod())
    }

    /// The targets of the pod with completion index `pod`.
    #[must_use]
    pub fn of_pod(&self, pod: usize) -> &[TargetAssignment] {
        self.targets.chunks(self.per_pod()).nth(pod).unwrap_or_default()
    }

    fn per_pod(&self) -> usize {
        usize::try_from(self.targets_per_pod).unwrap_or(1).max(1)
    }
}

/// One try of one attempt of one target.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[serde(rename_all = "camelCase")]
pub struct TargetAssignment {
    /// Its index in the list.
    pub index: u32,
    /// Attempt, from 1.
    pub attempt: u32,
    /// Try, from 1.
    #[serde(rename = "try")]
    pub try_: u32,
}

/// A failure to explain.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FailureAssignment {
    /// The stage that failed.
    pub stage: String,
    /// The target that decided it, in a fan-out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<FailedTarget>,
    /// Whose failure it was.
    pub class: ErrorClass,
    /// One CamelCase word.
    pub reason: String,
    /// What happened.
    pub message: String,
    /// The last attempt of the stage (of the target). Inputs, outputs and verdicts of attempts 1 to this are in the store by name.
    pub attempts: u32,
    /// Records of the stage's attempts and failures that the status keeps, the last one last.
    #[serde(default)]
    pub records: Vec<Reference>,
}

/// A target that failed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FailedTarget {
    /// Its index in the list.
    pub index: u32,
    /// Its key.
    pub key: String,
}

/// Which run.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RunRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}
