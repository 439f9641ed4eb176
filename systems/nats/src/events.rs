//! Events: stored once, read back by range.

use async_nats::HeaderMap;
use bytes::Bytes;
use jiff::Timestamp;
use trackway_crds::contracts::StoredEvent;
use trackway_crds::names::{label_hash, partition, user_bucket};

use crate::follow::bounds;
use crate::results::last_at_leader;
use crate::streams::EVENTS_STREAM;
use crate::subjects::{EVENTS, token};
use crate::write_once::publish_after;
use crate::{Nats, NatsError};

/// Of which subjects the last sequence is meant that a publisher expects.
const EXPECTED_IN: &str = "Nats-Expected-Last-Subject-Sequence-Subject";

/// One message of the stream of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEvent {
    /// Its place in the stream; grows, with gaps.
    pub sequence: u64,
    /// When the server stored it, by the server's clock.
    pub stored_at: Timestamp,
    /// `EVENTS.<partition>.<H(tenant)>.<bucket of the user, or "-">.<event key>`.
    pub subject: String,
    /// What was published, unread.
    pub payload: Bytes,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventPublication {
    /// It is stored and no crash loses it.
    Stored {
        /// Its place in the stream.
        sequence: u64,
    },
    /// An event of this key is there already, maybe our own of an earlier try whose acknowledgement was lost.
    Taken {
        /// What is stored, unread.
        payload: Bytes,
    },
}

/// Where `event` is stored: `EVENTS.<partition>.<H(tenant)>.<bucket of the user, or "-">.<id>`.
///
/// # Errors
/// [`NatsError::Permanent`] when the id cannot be part of a subject.
pub fn event_subject(event: &StoredEvent) -> Result<String, NatsError> {
    token("event id", &event.id)?;
    let bucket = event.user.as_deref().map_or_else(|| "-".to_owned(), |user| user_bucket(user).to_string());
    Ok(format!("{EVENTS}.{}.{}.{bucket}.{}", partition(&event.tenant), label_hash(&event.tenant), event.id))
}

/// The subjects of every event of `tenant`.
#[must_use]
pub fn tenant_filter(tenant: &str) -> String {
    format!("{EVENTS}.{}.{}.>", partition(tenant), label_hash(tenant))
}

/// The subjects of every event of `tenant` about `user`, and about those who share its bucket.
#[must_use]
pub fn user_filter(tenant: &str, user: &str) -> String {
    format!("{EVENTS}.{}.{}.{}.>", partition(tenant), label_hash(tenant), user_bucket(user))
}

/// The subjects of every event of a partition.
#[must_use]
pub fn partition_filter(partition: u8) -> String {
    format!("{EVENTS}.{partition}.>")
}

/// The subjects an event of this tenant and key may have, whoever it is about: of all of them one has a message.
fn key_filter(subject: &str) -> Option<String> {
    let mut tokens: Vec<&str> = subject.split('.').collect();
    *tokens.iter_mut().nth_back(1)? = "*";
    Some(tokens.join("."))
}

/// Publishes an event to `subject` ([`event_subject`]) unless its tenant has one of its key, and waits until it is stored. Safe to
/// repeat. Calls at the same time share the connection without waiting for each other.
///
/// # Errors
/// [`NatsError::Transient`] when NATS is away or the stream is full, [`NatsError::Permanent`] when the event is larger than the
/// server takes.
pub async fn publish_event(nats: &Nats, subject: &str, payload: Bytes) -> Result<EventPublication, NatsError> {
    let action = format!("publish {subject}");
    let Some(key) = key_filter(subject) else { return Err(NatsError::permanent(&action, "it is no subject of an event")) };
    // What is compared is the key: the same event about another user would have another subject.
    let mut headers = HeaderMap::new();
    headers.insert(EXPECTED_IN, key.as_str());
    if let Some(sequence) = publish_after(nats, subject, headers, payload, 0).await? {
        return Ok(EventPublication::Stored { sequence });
    }
    match last_at_leader(nats, EVENTS_STREAM, &key).await? {
        Some(message) => Ok(EventPublication::Taken { payload: message.payload }),
        // Its time was over between the two requests, or, with replicas, the other one of its key is being stored.
        None => Err(NatsError::transient(&action, "the event of this key was removed or is being stored just now")),
    }
}

/// Sequence of the last event stored, 0 when there was none ever.
///
/// # Errors
/// [`NatsError`].
pub async fn last_sequence(nats: &Nats) -> Result<u64, NatsError> {
    Ok(bounds(nats, EVENTS_STREAM).await?.last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(tenant: &str, user: Option<&str>, id: &str) -> StoredEvent {
        serde_json::from_value(json!({
            "contract": 1, "id": id, "tenant": tenant, "user": user, "origin": "github", "source": "s", "ceId": "1", "type": "push",
            "time": "2026-11-22T10:00:00Z", "receivedAt": "2026-11-22T10:00:00Z", "priority": "High", "bodySha256": "0",
        }))
        .unwrap()
    }

    #[test]
    fn inv09_an_event_has_the_subject_of_its_tenant_user_and_key() {
        let subject = event_subject(&event("octo-org", Some("hubot"), "4f1c")).unwrap();
        let of_user = user_filter("octo-org", "hubot");
        assert!(of_user.ends_with(&format!(".{}.>", user_bucket("hubot"))), "{of_user}");
        assert_eq!(subject, format!("{}4f1c", of_user.trim_end_matches('>')));
        assert!(of_user.starts_with(tenant_filter("octo-org").trim_end_matches('>')));
        assert!(subject.starts_with(partition_filter(partition("octo-org")).trim_end_matches('>')));
        let without_user = event_subject(&event("octo-org", None, "4f1c")).unwrap();
        assert_eq!(without_user, format!("{}-.4f1c", tenant_filter("octo-org").trim_end_matches('>')));
    }

    #[test]
    fn inv09_a_key_is_looked_for_whoever_the_event_is_about() {
        let about = |user| key_filter(&event_subject(&event("octo-org", user, "4f1c")).unwrap()).unwrap();
        assert_eq!(about(Some("hubot")), about(None));
        assert_eq!(about(None), format!("{}*.4f1c", tenant_filter("octo-org").trim_end_matches('>')));
        assert_eq!(key_filter("EVENTS"), None);
    }

    #[test]
    fn names_of_tenants_and_users_never_reach_a_subject_but_an_id_could() {
        let subject = event_subject(&event("a.*.>", Some("b c"), "4f1c")).unwrap();
        assert_eq!(subject.split('.').count(), 5, "{subject}");
        let error = event_subject(&event("octo-org", None, "4f.>")).unwrap_err().to_string();
        assert!(error.contains("event id \"4f.>\""), "{error}");
    }
}
