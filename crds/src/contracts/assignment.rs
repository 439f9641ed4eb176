//! What a worker pod is told to do: one try of one attempt of one stage.

use super::Reference;
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
    /// Name of the stage.
    pub stage: String,
    /// Attempt, from 1. Above 1, the feedback is the verdict stored for the attempt before.
    pub attempt: u32,
    /// Try, from 1.
    #[serde(rename = "try")]
    pub try_: u32,
    /// Accepted outputs of the stages before, by stage name.
    #[serde(default)]
    pub stages: BTreeMap<String, Reference>,
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
