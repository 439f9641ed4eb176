//! The status stays under its bound (invariant 4). With the caps of the schema it nearly always does; should it not, texts go first,
//! in a fixed order, and never counters, conditions or the failure.

use trackway_crds::{
    status::{BatchRunStatus, MAX_STATUS_BYTES},
    text,
};

/// Kept free for the last write, which adds a failure and conditions.
const RESERVED_BYTES: usize = 2 * 1024;
/// What is left of a text of the diagnosis when there is no room for it.
const SHED_TEXT_BYTES: usize = 192;

/// Size of `status` as stored JSON, in bytes.
#[must_use]
pub fn stored_bytes(status: &BatchRunStatus) -> usize {
    serde_json::to_vec(status).map_or(usize::MAX, |json| json.len())
}

/// Drops what can be read elsewhere until the status fits.
pub(crate) fn shed(status: &mut BatchRunStatus) {
    let bound = if status.completed_at.is_some() { MAX_STATUS_BYTES } else { MAX_STATUS_BYTES - RESERVED_BYTES };
    let steps: [fn(&mut BatchRunStatus); 6] =
        [errors_before_a_verdict, dimensions_of_older_attempts, feedback_of_older_attempts, worst_targets, diagnosis, feedback];
    for step in steps {
        if stored_bytes(status) <= bound {
            return;
        }
        step(status);
    }
}

fn errors_before_a_verdict(status: &mut BatchRunStatus) {
    let attempts = status.stages.iter_mut().flat_map(|stage| &mut stage.attempts);
    attempts.filter(|attempt| attempt.verdict.is_some()).for_each(|attempt| attempt.error = None);
}

fn dimensions_of_older_attempts(status: &mut BatchRunStatus) {
    for stage in &mut status.stages {
        let older = stage.attempts.len().saturating_sub(1);
        stage.attempts.iter_mut().take(older).for_each(|attempt| attempt.dimensions.clear());
    }
}

fn feedback_of_older_attempts(status: &mut BatchRunStatus) {
    for stage in &mut status.stages {
        let older = stage.attempts.len().saturating_sub(1);
        stage.attempts.iter_mut().take(older).for_each(|attempt| attempt.feedback = None);
    }
}

/// All but the first, which is the one that decided a failed stage. The ledger has all of them.
fn worst_targets(status: &mut BatchRunStatus) {
    for targets in status.stages.iter_mut().filter_map(|stage| stage.targets.as_mut()) {
        targets.worst.truncate(1);
    }
}

/// All of it is in the payload store.
fn diagnosis(status: &mut BatchRunStatus) {
    let Some(diagnosis) = status.diagnosis.as_mut() else { return };
    for part in [&mut diagnosis.root_cause, &mut diagnosis.suggested_fix, &mut diagnosis.continuation_prompt] {
        *part = text::cut(part, SHED_TEXT_BYTES);
    }
}

fn feedback(status: &mut BatchRunStatus) {
    for attempt in status.stages.iter_mut().flat_map(|stage| &mut stage.attempts) {
        attempt.feedback = None;
    }
}
