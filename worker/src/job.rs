//! What one pod is given.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;
use trackway_crds::contracts::{Assignment, Revision, TargetAssignment};
use trackway_store::PayloadStore;

use crate::{Answers, Models, Retriever, Webhooks, fan_out::Target};

/// Largest output of a stage in bytes, as JSON. What is put together of a whole fan-out may be as large as the store takes.
pub const MAX_OUTPUT_BYTES: usize = 4 << 20;
/// Largest rendered prompt in bytes, both parts together. Far above what models read; it keeps a runaway template from being
/// stored and sent.
pub const MAX_PROMPT_BYTES: usize = 2_000_000;

/// Longest time kept back at the end of an attempt for reporting it.
const MARGIN: Duration = Duration::from_secs(10);

/// One pod: one try of one attempt of a stage, or of each of its targets.
#[derive(Clone, Debug)]
pub struct AttemptJob {
    /// For whom.
    pub assignment: Assignment,
    /// What to do.
    pub revision: Revision,
    /// Prompts and schemas by the names the revision gives them.
    pub files: BTreeMap<String, String>,
    /// Uid of the pod that works; goes into the result.
    pub pod_uid: String,
    /// Completion index of the pod: which targets of its wave are its own. 0 outside a fan-out.
    pub pod_index: u32,
    /// When to give up; see [`attempt_deadline`].
    pub deadline: Instant,
}

/// What a pod reaches besides its payload store.
#[derive(Clone, Copy, Debug)]
pub struct Outside<'a> {
    /// The models.
    pub models: &'a Models,
    /// Where notices go.
    pub webhooks: &'a Webhooks,
    /// Where past events are asked for.
    pub retriever: &'a Retriever,
    /// Where the tenant's answers are.
    pub answers: &'a Answers,
}

impl Outside<'_> {
    /// `text` without any secret that was used.
    pub(crate) fn scrubbed(&self, text: &str) -> String {
        self.webhooks.scrubbed(&self.models.scrubbed(text))
    }
}

/// What every try of a pod works with.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    pub(crate) store: &'a PayloadStore,
    pub(crate) outside: &'a Outside<'a>,
    pub(crate) clock: fn() -> Timestamp,
}

/// One try of one attempt of a stage or of one of its targets: what one result is about.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) job: &'a AttemptJob,
    /// Index 0 outside a fan-out.
    pub(crate) part: TargetAssignment,
    /// The entry of the list, in a fan-out.
    pub(crate) target: Option<&'a Target>,
}

impl<'a> Task<'a> {
    /// The whole stage.
    pub(crate) fn of(job: &'a AttemptJob) -> Self {
        let Assignment { attempt, try_, .. } = job.assignment;
        Self { job, part: TargetAssignment { index: 0, attempt, try_ }, target: None }
    }
}

/// What the pod with completion index `pod_index` has to report: each of its targets, outside a fan-out the stage.
pub(crate) fn parts(assignment: &Assignment, pod_index: u32) -> Vec<TargetAssignment> {
    match &assignment.wave {
        Some(wave) => wave.of_pod(usize::try_from(pod_index).unwrap_or(usize::MAX)).to_vec(),
        None => vec![TargetAssignment { index: 0, attempt: assignment.attempt, try_: assignment.try_ }],
    }
}

/// When an attempt that began at `started` gives up: a tenth of the stage's timeout (at most 10 s) before Kubernetes would end
/// the pod without a result.
#[must_use]
pub fn attempt_deadline(started: Instant, timeout_millis: u64) -> Instant {
    let timeout = Duration::from_millis(timeout_millis);
    started + timeout.saturating_sub(MARGIN.min(timeout / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_gives_up_before_its_pod_is_ended() {
        let start = Instant::now();
        assert_eq!(attempt_deadline(start, 600_000) - start, Duration::from_secs(590));
        assert_eq!(attempt_deadline(start, 10_000) - start, Duration::from_secs(9));
    }
}
