//! Conditions as the API conventions want them.

use crate::{status::MAX_MESSAGE_BYTES, text};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Whether what a condition says holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    True,
    /// It does not.
    False,
    /// Not known yet.
    Unknown,
}

impl Holds {
    /// As written in resources.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// Sets the condition `type_`. `lastTransitionTime` stays as long as the status does; the message is cut to its bound. Returns
/// whether anything but the time changed, so that a caller need not write what is there already.
pub fn set(
    conditions: &mut Vec<Condition>,
    type_: &str,
    status: Holds,
    reason: &str,
    message: &str,
    observed_generation: Option<i64>,
    now: Timestamp,
) -> bool {
    let mut wanted = Condition {
        type_: type_.to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.to_owned(),
        message: text::cut(message, MAX_MESSAGE_BYTES),
        observed_generation,
        last_transition_time: Time(whole_seconds(now)),
    };
    let Some(found) = conditions.iter_mut().find(|condition| condition.type_ == type_) else {
        conditions.push(wanted);
        return true;
    };
    if found.status == wanted.status {
        wanted.last_transition_time = found.last_transition_time.clone();
    }
    let changed = *found != wanted;
    *found = wanted;
    changed
}

// Condition times have whole seconds; anything finer would differ from what the API server gives back.
fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn the_transition_time_moves_with_the_status_only() {
        let mut conditions = Vec::new();
        assert!(set(&mut conditions, "Ready", Holds::False, "Resolving", "prompts are read", Some(1), at(10)));
        assert!(set(&mut conditions, "Ready", Holds::False, "PromptMissing", "insights.md", Some(1), at(20)));
        assert_eq!(conditions[0].last_transition_time, Time(at(10)));
        assert!(set(&mut conditions, "Ready", Holds::True, "Resolved", "", Some(2), at(30)));
        assert_eq!(conditions[0].last_transition_time, Time(at(30)));
        assert_eq!(conditions.len(), 1);
    }

    #[test]
    fn saying_the_same_again_changes_nothing() {
        let mut conditions = Vec::new();
        set(&mut conditions, "Ready", true.into(), "Resolved", "", Some(2), at(30));
        let before = conditions.clone();
        assert!(!set(&mut conditions, "Ready", true.into(), "Resolved", "", Some(2), at(99)));
        assert_eq!(conditions, before);
    }

    #[test]
    fn a_time_is_what_the_api_server_will_give_back() {
        let mut conditions = Vec::new();
        set(&mut conditions, "Ready", Holds::True, "R", "", None, Timestamp::from_millisecond(30_999).unwrap());
        assert_eq!(conditions[0].last_transition_time, Time(at(30)));
    }

    #[test]
    fn a_long_message_is_cut() {
        let mut conditions = Vec::new();
        set(&mut conditions, "Ready", Holds::Unknown, "R", &"x".repeat(5000), None, at(1));
        assert!(conditions[0].message.len() <= MAX_MESSAGE_BYTES);
    }
}
