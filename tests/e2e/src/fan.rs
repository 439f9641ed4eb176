//! Fan-outs: a Track with one, and a look at its targets.

use crate::{Place, cluster::file, json::merge, story::say};
use anyhow::Context;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write};
use trackway_crds::{
    BatchRun, Track,
    contracts::{Assignment, FanOutOutput, NameKind},
    ledger::Ledger,
    status::{StageStatus, TargetsStatus},
};
use trackway_scripted_llm::{CallRecord, CallState, Kind};
use trackway_store::{Name, Scope};

/// The stage that fans out.
pub const NOTICES: &str = "notices";
/// Set by Kubernetes on the pods of an Indexed Job.
const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// The variable that holds a worker's assignment.
const ASSIGNMENT: &str = "TRACKWAY_ASSIGNMENT";

/// How often a target was asked for in each attempt, and answered with 200.
pub type Asked = BTreeMap<(u32, u32), (u64, u64)>;

impl Place {
    /// Applies the Track of `fan_out.yaml` under `name`, with `stage` merged into its stage `notices` and `spec` into its spec,
    /// and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn fan_out_track(&self, name: &str, stage: &Value, spec: &Value) -> anyhow::Result<Track> {
        let (patch, prompts) = fan_out_patch(stage, spec)?;
        self.track_with(name, &patch, &prompts).await
    }

    /// What the fan-out left for later stages.
    ///
    /// # Errors
    /// When nobody has put it together, or as the store answers.
    pub async fn fan_out_output(&self, run: &BatchRun) -> anyhow::Result<FanOutOutput> {
        let scope = Scope::run(&self.namespace, run.metadata.uid.as_deref().context("a run without uid")?)?;
        let name = Name { stage: NOTICES.into(), attempt: 0, index: 0, kind: NameKind::Output };
        let stored = self.store.get_name(&scope, &name).await?.context("nobody has put the fan-out's output together")?;
        Ok(serde_json::from_slice(&self.store.get_blob(&scope, &stored.reference).await?)?)
    }

    /// The pods of `run` that were told to work on target `index`, the newest last.
    ///
    /// # Errors
    /// As the API server answers.
    pub async fn pods_of_target(&self, run: &str, index: u32) -> anyhow::Result<Vec<Pod>> {
        let of_run = ListParams::default().labels(&format!("trackway.dev/run={run}"));
        let mut pods = self.api::<Pod>().list(&of_run).await?.items;
        pods.retain(|pod| targets_of(pod).is_some_and(|targets| targets.contains(&index)));
        pods.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|at| at.0));
        Ok(pods)
    }

    /// Deletes a pod as a lost node would: at once.
    ///
    /// # Errors
    /// As the API server answers.
    pub async fn lose(&self, pod: &Pod) -> anyhow::Result<()> {
        self.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await?;
        Ok(())
    }

    /// How often the scripted LLM was asked to write for each (target, attempt) of `run`.
    #[must_use]
    pub fn asked(&self, run: &BatchRun) -> Asked {
        let uid = run.metadata.uid.clone().unwrap_or_default();
        let of_notices = self
            .llm
            .counts()
            .into_iter()
            .filter(|count| count.run == uid && count.stage == NOTICES && count.kind == Kind::Generate);
        let entry = |count: trackway_scripted_llm::Count| {
            let (index, attempt) = (count.index.parse().ok()?, count.attempt.parse().ok()?);
            Some(((index, attempt), (count.calls, count.ok)))
        };
        of_notices.filter_map(entry).collect()
    }

    /// Prints when which attempts at targets of `run` were in work.
    pub fn say_timeline(&self, run: &BatchRun) {
        let calls: Vec<CallRecord> = self.llm.calls().into_iter().filter(|call| is_of(call, run)).collect();
        let Some(start) = calls.iter().map(|call| call.at_millis).min() else { return };
        let mut text = "target/attempt: first asked to last answered, in milliseconds\n".to_owned();
        let mut spans: BTreeMap<(u64, u64), (u64, u64)> = BTreeMap::new();
        for call in &calls {
            let key = (call.trackway.attempt.parse().unwrap_or(0), call.trackway.index.parse().unwrap_or(0));
            let (from, to) = (call.at_millis - start, call.at_millis - start + call.millis.unwrap_or(0));
            spans.entry(key).and_modify(|span| *span = (span.0.min(from), span.1.max(to))).or_insert((from, to));
        }
        for ((attempt, index), (from, to)) in spans {
            let _ = write!(text, "{index}/{attempt}: {from}–{to}  ");
        }
        say(&text);
    }

    /// Waits until the scripted LLM holds a call for which `which` holds.
    ///
    /// # Errors
    /// When none came in time; `what` names it.
    pub async fn until_call_held(&self, what: &str, which: impl Fn(&CallRecord) -> bool) -> anyhow::Result<()> {
        let held = |calls: &[CallRecord]| calls.iter().any(|call| call.state == CallState::Held && which(call));
        tokio::time::timeout(crate::place::CALL_LIMIT, self.llm.until_calls(held))
            .await
            .with_context(|| format!("nothing is held that is {what}"))
    }
}

/// What makes the small Track one with a fan-out, and its prompts.
///
/// # Errors
/// A file that cannot be read.
pub fn fan_out_patch(stage: &Value, spec: &Value) -> anyhow::Result<(Value, Value)> {
    let mut parts: BTreeMap<String, Value> = file("fan_out.yaml")?;
    let mut part = |key: &str| parts.remove(key).with_context(|| format!("fan_out.yaml has no {key}"));
    let (mut patch, prompts) = (part("spec")?, part("prompts")?);
    let notices = patch.pointer_mut("/spec/stages/1").context("fan_out.yaml has no second stage")?;
    merge(notices, stage);
    merge(&mut patch, &json!({"spec": spec}));
    Ok((patch, prompts))
}

/// Adds a stage at the end.
///
/// # Errors
/// A patch without stages.
pub fn append_stage(patch: &mut Value, stage: Value) -> anyhow::Result<()> {
    patch.pointer_mut("/spec/stages").and_then(Value::as_array_mut).context("a Track without stages")?.push(stage);
    Ok(())
}

/// Whether a call is of the fan-out of `run`.
#[must_use]
pub fn is_of(call: &CallRecord, run: &BatchRun) -> bool {
    call.trackway.stage == NOTICES && Some(&call.trackway.run) == run.metadata.uid.as_ref()
}

/// The fan-out of `run`.
///
/// # Errors
/// When it has not begun.
pub fn notices(run: &BatchRun) -> anyhow::Result<&StageStatus> {
    let mut stages = run.status.iter().flat_map(|status| &status.stages);
    stages.find(|stage| stage.name == NOTICES).context("the fan-out has not begun")
}

/// Its targets.
///
/// # Errors
/// When it has not begun.
pub fn targets(run: &BatchRun) -> anyhow::Result<&TargetsStatus> {
    notices(run)?.targets.as_ref().context("the stage has no targets")
}

/// The state of each.
///
/// # Errors
/// When it has not begun, or cannot be read.
pub fn ledger(run: &BatchRun) -> anyhow::Result<Ledger> {
    Ok(Ledger::decode(&targets(run)?.ledger)?)
}

/// Targets done, for waiting.
#[must_use]
pub fn done(run: &BatchRun) -> u32 {
    targets(run).map_or(0, |targets| targets.succeeded + targets.failed)
}

/// The targets a pod was told to work on.
#[must_use]
pub fn targets_of(pod: &Pod) -> Option<Vec<u32>> {
    let containers = pod.spec.as_ref()?.containers.iter();
    let value = containers.flat_map(|one| one.env.iter().flatten()).find(|one| one.name == ASSIGNMENT)?.value.clone()?;
    let assignment: Assignment = serde_json::from_str(&value).ok()?;
    let index = pod.annotations().get(COMPLETION_INDEX).or_else(|| pod.labels().get(COMPLETION_INDEX))?.parse().ok()?;
    Some(assignment.wave?.of_pod(index).iter().map(|target| target.index).collect())
}

/// When a stage ended.
#[must_use]
pub fn ended_at(stage: &StageStatus) -> Option<Timestamp> {
    stage.completed_at.as_ref().map(|at| at.0)
}
