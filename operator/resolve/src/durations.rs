//! Durations and limits, with defaults.

use crate::fault::{Faults, Reason};
use trackway_crds::{GoDuration, contracts::ResolvedLimits, track::Limits};

pub(crate) const SECOND: u64 = 1_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;

/// The limits of a run.
pub(crate) fn limits(limits: Option<&Limits>, faults: &mut Faults) -> ResolvedLimits {
    let none = Limits::default();
    let Limits { start_timeout, active_deadline, deadline, tokens } = limits.unwrap_or(&none);
    ResolvedLimits {
        start_timeout_millis: at_least_a_second("spec.limits.startTimeout", start_timeout.as_ref(), 5 * MINUTE, faults),
        active_deadline_millis: at_least_a_second("spec.limits.activeDeadline", active_deadline.as_ref(), 2 * HOUR, faults),
        deadline_millis: at_least_a_second("spec.limits.deadline", deadline.as_ref(), 168 * HOUR, faults),
        tokens: *tokens,
    }
}

/// Kubernetes counts deadlines in whole seconds, so a shorter one would never or at once be over.
pub(crate) fn at_least_a_second(path: &str, given: Option<&GoDuration>, default: u64, faults: &mut Faults) -> u64 {
    at_least(SECOND, path, given, default, faults)
}

/// `least` and `default` in milliseconds.
pub(crate) fn at_least(least: u64, path: &str, given: Option<&GoDuration>, default: u64, faults: &mut Faults) -> u64 {
    match given {
        Some(duration) if duration.millis() < least => {
            let (seconds, words) =
                (least / SECOND, if least == SECOND { "a second".to_owned() } else { format!("{} seconds", least / SECOND) });
            faults.add(path, Reason::BadDuration, format!("{duration} is shorter than {words}: write {seconds}s or more"));
            default
        }
        Some(duration) => duration.millis(),
        None => default,
    }
}
