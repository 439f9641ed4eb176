//! From messages of the stream EVENTS to events.

use trackway_crds::contracts::{CONTRACT, StoredEvent};
use trackway_nats::{StreamEvent, event_subject};

/// The event of a message. Lake, vectors and batches hold exactly the messages for which this succeeds, so that what one of them sets
/// aside none of them has.
///
/// # Errors
/// Why it is none, without its text.
pub fn read_event(message: &StreamEvent) -> Result<StoredEvent, String> {
    // Of the error only what does not quote the sender.
    let event: StoredEvent = serde_json::from_slice(&message.payload).map_err(|error| {
        format!("it is not an event: {:?} error at line {} column {}", error.classify(), error.line(), error.column())
    })?;
    if event.contract != CONTRACT {
        return Err(format!("it has contract {}, known is {CONTRACT}: update the reader", event.contract));
    }
    match event_subject(&event) {
        Ok(subject) if subject == message.subject => Ok(event),
        _ => Err("its tenant, user or id do not fit its subject".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use serde_json::{Value, json};

    fn message(change: impl Fn(&mut Value)) -> StreamEvent {
        let mut event = json!({
            "contract": 1, "id": "4f1c", "tenant": "octo-org", "user": "dana", "origin": "github", "source": "s", "ceId": "1",
            "type": "push", "time": "2026-11-22T10:00:00Z", "receivedAt": "2026-11-22T10:00:00Z", "priority": "High", "bodySha256": "0",
        });
        let subject = event_subject(&serde_json::from_value(event.clone()).unwrap()).unwrap();
        change(&mut event);
        StreamEvent { sequence: 1, stored_at: Timestamp::UNIX_EPOCH, subject, payload: event.to_string().into() }
    }

    #[test]
    fn an_event_is_read_and_what_is_none_is_told_apart_without_its_text() {
        assert_eq!(read_event(&message(|_| {})).unwrap().user.as_deref(), Some("dana"));
        for (field, value, expected) in [
            ("priority", json!("secret"), "it is not an event: Data error at line 1"),
            ("contract", json!(2), "contract 2, known is 1"),
            ("tenant", json!("acme"), "do not fit its subject"),
            ("user", json!("secret"), "do not fit its subject"),
        ] {
            let error = read_event(&message(|event| event[field] = value.clone())).unwrap_err();
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
    }
}
