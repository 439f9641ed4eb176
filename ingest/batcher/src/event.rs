//! Whose events they are, and where that is kept.

use std::borrow::Cow;

use serde::Deserialize;
use trackway_crds::names::label_hash;
use trackway_nats::StreamEvent;

/// Whether a message is of an event about `user`: the others of its bucket are read past.
pub(crate) fn is_about(message: &StreamEvent, user: &str) -> bool {
    /// Only what is asked for is read.
    #[derive(Deserialize)]
    struct Whose<'a> {
        #[serde(borrow)]
        user: Option<Cow<'a, str>>,
    }
    serde_json::from_slice::<Whose<'_>>(&message.payload).is_ok_and(|whose| whose.user.as_deref() == Some(user))
}

/// `<partition>.state.T.<H(tenant)>` or `<partition>.state.U.<H(tenant)>.<H(user)>`: where what is remembered of a tenant or a user
/// is kept.
#[must_use]
pub fn state_key(partition: u8, tenant: &str, user: Option<&str>) -> String {
    let tenant = label_hash(tenant);
    match user {
        None => format!("{partition}.state.T.{tenant}"),
        Some(user) => format!("{partition}.state.U.{tenant}.{}", label_hash(user)),
    }
}

/// The keys of a partition's states.
pub(crate) fn states_filter(partition: u8) -> String {
    format!("{partition}.state.>")
}

/// The key of a partition's checkpoint.
pub(crate) fn checkpoint_key(partition: u8) -> String {
    format!("{partition}.checkpoint")
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn of_a_bucket_only_one_users_events_are_wanted() {
        let message = |payload: &'static str| StreamEvent {
            sequence: 1,
            stored_at: Timestamp::UNIX_EPOCH,
            subject: String::new(),
            payload: payload.into(),
        };
        assert!(is_about(&message(r#"{"id": "1", "user": "d\u0061na", "data": {"user": "x"}}"#), "dana"));
        assert!(!is_about(&message(r#"{"id": "1", "user": "x", "data": {"user": "dana"}}"#), "dana"));
        assert!(!is_about(&message(r#"{"id": "1"}"#), "dana") && !is_about(&message("dana"), "dana"));
    }

    #[test]
    fn a_tenant_and_each_of_its_users_have_keys_of_their_own() {
        assert_eq!(state_key(7, "octo-org", None).split('.').count(), 4);
        assert_eq!(state_key(7, "octo-org", Some("octo-org")).split('.').count(), 5);
        assert_ne!(state_key(7, "octo-org", Some("a")), state_key(7, "octo-org", Some("b")));
    }
}
