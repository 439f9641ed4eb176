//! Conditions: observations for machines, kept in step with the phase.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use trackway_crds::{
    status::{BatchRunStatus, MAX_MESSAGE_BYTES, Phase},
    text,
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
    let value = if holds { "True" } else { "False" };
    let observed_generation = Some(status.observed_generation);
    let message = text::cut(message, MAX_MESSAGE_BYTES);
    let Some(condition) = status.conditions.iter_mut().find(|condition| condition.type_ == type_) else {
        // "Not suspended" is news only to someone who was told "suspended".
        if type_ != "Suspended" || holds {
            status.conditions.push(Condition {
                type_: type_.into(),
                status: value.into(),
                reason: reason.into(),
                message,
                observed_generation,
                last_transition_time: Time(whole_seconds(now)),
            });
        }
        return;
    };
    if condition.status != value {
        condition.last_transition_time = Time(whole_seconds(now));
        condition.status = value.into();
    }
    condition.reason = reason.into();
    condition.message = message;
    condition.observed_generation = observed_generation;
}

// Condition times have whole seconds; anything finer would differ from what the API server gives back.
fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
