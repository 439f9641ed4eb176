//! An independent look at a plan before it is applied: it knows the invariants of design.md §6, not how the plan came about. One
//! function for each invariant; simulations and tests on a cluster use the same.

mod alive;
mod jobs;
mod numbers;
mod targets;
mod verdicts;

pub use alive::{inv07_never_running_with_nothing, inv11_diagnosing_ends};
pub use jobs::inv01_only_recorded_jobs_run;
pub use numbers::inv03_numbers_only_grow;
pub use targets::inv03_targets_keep_their_account;
pub use verdicts::inv02_advanced_on_a_verdict;

use crate::{
    observed::{Observed, RevisionView, Run},
    plan::Plan,
    shed::stored_bytes,
};
use trackway_crds::status::{BatchRunStatus, MAX_STATUS_BYTES, Phase};

/// A plan that breaks an invariant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invariant {invariant}: {message}")]
pub struct Fault {
    /// Number in design.md §6.
    pub invariant: u8,
    /// What is broken.
    pub message: String,
}

/// Everything wrong with `plan`, computed from `status`; empty when it may be applied.
#[must_use]
pub fn check(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, plan: &Plan) -> Vec<Fault> {
    let after = plan.status.as_ref().unwrap_or(status);
    let mut faults = Faults::default();
    faults.0.extend(inv01_only_recorded_jobs_run(run, status, plan));
    // A refusal ends a try that never started, in the same write as whatever made it the next one.
    faults.0.extend(inv03_numbers_only_grow(status, after, 1 + u32::from(observed.refusal.is_some())));
    faults.0.extend(inv03_targets_keep_their_account(status, after));
    faults.unless(4, stored_bytes(after) <= MAX_STATUS_BYTES, || format!("status has {} bytes", stored_bytes(after)));
    if status.phase.is_some_and(Phase::is_finished) {
        faults.unless(5, plan.status.is_none() && plan.create.is_none(), || "a finished run is changed".into());
    }
    if let RevisionView::Available { name, revision } = &observed.revision {
        faults.unless(6, after.revision.is_none() || after.revision.as_deref() == Some(name), || {
            format!("executes {name}, started with {:?}", after.revision)
        });
        faults.0.extend(inv02_advanced_on_a_verdict(after, revision));
        faults.0.extend(targets::inv04_fan_outs_keep_their_bounds(after, revision));
    }
    faults.0.extend(inv07_never_running_with_nothing(after, plan));
    faults.0.extend(alive::inv11_diagnosing_has_a_deadline(status, after, plan));
    faults.0
}

/// Faults in the making.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn unless(&mut self, invariant: u8, holds: bool, message: impl FnOnce() -> String) {
        if !holds {
            self.0.push(Fault { invariant, message: message() });
        }
    }
}
