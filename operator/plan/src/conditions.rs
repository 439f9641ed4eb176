//! Conditions: observations for machines, kept in step with the phase.

use jiff::Timestamp;
use trackway_crds::{
    conditions,
    status::{BatchRunStatus, Phase},
};

/// Sets every condition that follows from the phase. `reason` and `message` say why it is in it.
pub(crate) fn follow_phase(status: &mut BatchRunStatus, reason: &str, message: &str, now: Timestamp) {
    let Some(phase) = status.phase else { return };
    let finished = phase.is_finished();
    let failed = matches!(phase, Phase::Failed | Phase::Cancelled);
    let mut set = |type_: &str, holds: bool| set(status, type_, holds, reason, message, now);
    set("Reconciling", !finished);
    set("Ready", phase == Phase::Succeeded);
    set("Suspended", phase == Phase::Suspended);
    if finished {
        set("Complete", phase == Phase::Succeeded);
        set("Failed", failed);
        set("Stalled", failed);
    }
}

/// Says whether the debugger explained the failure.
pub(crate) fn diagnosed(status: &mut BatchRunStatus, holds: bool, reason: &str, message: &str, now: Timestamp) {
    set(status, "Diagnosed", holds, reason, message, now);
}

fn set(status: &mut BatchRunStatus, type_: &str, holds: bool, reason: &str, message: &str, now: Timestamp) {
    let told = status.conditions.iter().any(|condition| condition.type_ == type_);
    // "Not suspended" is news only to someone who was told "suspended".
    if told || type_ != "Suspended" || holds {
        let generation = Some(status.observed_generation);
        conditions::set(&mut status.conditions, type_, holds.into(), reason, message, generation, now);
    }
}
