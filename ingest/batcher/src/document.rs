//! What a sealed batch becomes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use trackway_batching::{KeyState, SealedBatch};
use trackway_crds::contracts::{BatchCounts, BatchDocument, BatchInfo, CONTRACT, StoredEvent};

/// Most labels of a batch.
const LABELS: usize = 16;
/// Most types that are counted by name: BATCH_READY must fit a message.
const TYPES: usize = 100;
/// Where all other types are counted; no event has it.
const OTHER_TYPES: &str = "(other)";

/// The document of `batch`, sealed for the key of `state`, with the `events` of its range in stream order and when the stream stored
/// them. `labels` are the tenant's. The same arguments give the same bytes. `None` without events.
#[must_use]
pub fn document(
    state: &KeyState,
    batch: &SealedBatch,
    labels: BTreeMap<String, String>,
    events: Vec<(Timestamp, StoredEvent)>,
) -> Option<BatchDocument> {
    // Sealing keeps milliseconds, and no event may come after it.
    let times =
        || events.iter().map(|(stored_at, _)| stored_at.as_millisecond()).filter_map(|ms| Timestamp::from_millisecond(ms).ok());
    let (from, to) = (times().min()?, times().max()?);
    let info = BatchInfo {
        id: state.batch_id(batch.first),
        tenant: state.tenant.clone(),
        level: state.level(),
        subject: state.subject().to_owned(),
        priority: batch.priority,
        labels: with_agreed(labels, &events),
        counts: counts(&events),
        from,
        to,
        ready_at: batch.sealed_at(),
        reason: batch.reason.clone(),
    };
    let events = events.into_iter().map(|(_, event)| event.for_batch()).collect();
    Some(BatchDocument { contract: CONTRACT, batch: info, events })
}

/// The tenant's labels and those on which all events that carry them agree, as far as there is room.
fn with_agreed(mut labels: BTreeMap<String, String>, events: &[(Timestamp, StoredEvent)]) -> BTreeMap<String, String> {
    let mut found: BTreeMap<&str, Option<&str>> = BTreeMap::new();
    for (key, value) in events.iter().flat_map(|(_, event)| &event.labels) {
        let agreed = found.entry(key).or_insert(Some(value));
        *agreed = agreed.filter(|agreed| agreed == value);
    }
    for (key, value) in found {
        let room = labels.len() < LABELS && !labels.contains_key(key);
        if let Some(value) = value.filter(|_| room) {
            labels.insert(key.to_owned(), value.to_owned());
        }
    }
    labels
}

fn counts(events: &[(Timestamp, StoredEvent)]) -> BatchCounts {
    let mut counts = BatchCounts { events: u32::try_from(events.len()).unwrap_or(u32::MAX), ..BatchCounts::default() };
    for (_, event) in events {
        *counts.by_priority.entry(event.priority.as_str().to_owned()).or_default() += 1;
        *counts.by_type.entry(event.type_.clone()).or_default() += 1;
    }
    if counts.by_type.len() > TYPES {
        let mut types: Vec<(String, u32)> = std::mem::take(&mut counts.by_type).into_iter().collect();
        types.sort_by(|(name, count), (other, others)| others.cmp(count).then_with(|| name.cmp(other)));
        let rest = types.split_off(TYPES - 1).into_iter().map(|(_, count)| count).sum();
        counts.by_type = types.into_iter().chain([(OTHER_TYPES.to_owned(), rest)]).collect();
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use trackway_crds::track::{Level, Priority};

    fn event(number: i64, type_: &str, labels: &[(&str, &str)]) -> (Timestamp, StoredEvent) {
        let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
        let event = json!({
            "contract": 1, "id": number.to_string(), "tenant": "octo-org", "origin": "github", "source": "s", "ceId": "1", "type": type_,
            "time": "2026-11-22T10:00:00Z", "receivedAt": "2026-11-22T10:00:00Z", "priority": "Low", "bodySha256": "0", "labels": labels,
        });
        (Timestamp::from_microsecond(number * 1_000_001).unwrap(), serde_json::from_value(event).unwrap())
    }

    fn sealed(events: u32) -> SealedBatch {
        let (priority, reason) = (Priority::Low, "size 3".to_owned());
        SealedBatch { first: 4, last: 9, events, sealed_at: 3_000, priority, reason }
    }

    fn made(labels: &[(&str, &str)], events: Vec<(Timestamp, StoredEvent)>) -> BatchDocument {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        document(&KeyState::new("octo-org", Some("dana")), &sealed(3), labels, events).unwrap()
    }

    #[test]
    fn a_document_tells_whose_events_when_and_how_many() {
        let document = made(&[], vec![event(1, "push", &[]), event(2, "issue", &[]), event(3, "push", &[])]);
        let info = &document.batch;
        assert_eq!((info.level, info.subject.as_str(), info.tenant.as_str()), (Level::User, "dana", "octo-org"));
        assert_eq!(info.counts.by_type, BTreeMap::from([("issue".to_owned(), 1), ("push".to_owned(), 2)]));
        assert_eq!((info.from.as_millisecond(), info.to.as_millisecond(), info.ready_at.as_millisecond()), (1_000, 3_000, 3_000));
        assert!(info.to <= info.ready_at);
        assert_eq!(document.events.iter().map(|event| event.id.as_str()).collect::<Vec<_>>(), ["1", "2", "3"]);
    }

    #[test]
    fn labels_are_the_tenants_and_those_no_event_contradicts() {
        let events = vec![
            event(1, "a", &[("team", "x"), ("area", "ui"), ("plan", "free")]),
            event(2, "a", &[("team", "y"), ("area", "ui")]),
        ];
        let labels = made(&[("plan", "pro")], events).batch.labels;
        let expected = [("area", "ui"), ("plan", "pro")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(labels, BTreeMap::from(expected));
    }

    #[test]
    fn the_rarest_of_very_many_types_are_counted_together() {
        let mut events: Vec<_> = (0..300).map(|number| event(number, &format!("type-{number}"), &[])).collect();
        events.extend([event(301, "type-299", &[]), event(302, "type-299", &[])]);
        let counts = made(&[], events).batch.counts;
        assert_eq!((counts.by_type.len(), counts.by_type["type-299"], counts.by_type[OTHER_TYPES]), (100, 3, 201));
        assert_eq!(counts.by_type.values().sum::<u32>(), counts.events);
    }
}
