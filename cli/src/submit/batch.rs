//! A batch document, made of events.

use super::events::{RawEvent, to_event};
use anyhow::{Context, bail, ensure};
use jiff::Timestamp;
use std::collections::BTreeMap;
use trackway_crds::{
    contracts::{BatchCounts, BatchDocument, BatchInfo, CONTRACT, Event},
    names::{sha256_hex, short_hash},
    track::{Level, Priority},
};
use trackway_store::MAX_BLOB_BYTES;

/// About whom a batch is, and how urgent.
#[derive(Clone, Debug)]
pub struct BatchOrder {
    /// Whose events.
    pub tenant: String,
    /// All of the tenant's, or one user's.
    pub level: Level,
    /// The tenant's or the user's id.
    pub subject: String,
    /// How urgent.
    pub priority: Priority,
    /// What Tracks select by.
    pub labels: BTreeMap<String, String>,
    /// Its id; `None`: made from content and time.
    pub id: Option<String>,
}

/// A sealed batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What is known of it without its events.
    pub info: BatchInfo,
    /// The document as stored.
    pub document: Vec<u8>,
}

/// Seals a batch of at least one event.
///
/// # Errors
/// No events, an id that cannot be one, or more than the store takes.
pub fn make_batch(raw: Vec<RawEvent>, order: BatchOrder, now: Timestamp) -> anyhow::Result<Batch> {
    let mut events: Vec<Event> = raw.into_iter().map(|raw| to_event(raw, order.priority, now)).collect();
    events.sort_by(|a, b| (a.time, &a.id).cmp(&(b.time, &b.id)));
    let (Some(first), Some(last)) = (events.first(), events.last()) else {
        bail!("no events: give --events files of JSON or JSON lines, or a folder that has some");
    };
    let (from, to) = (first.time, last.time);
    let id = match order.id {
        Some(id) => checked(id)?,
        None => {
            let content = serde_json::to_vec(&events).context("cannot write the events")?;
            short_hash(&[&sha256_hex(&content), &order.tenant, &order.subject, &now.to_string()])
        }
    };
    for (what, text) in [("tenant", &order.tenant), ("subject", &order.subject)] {
        ensure!((1..=128).contains(&text.chars().count()), "{what} {text:?}: use 1 to 128 characters");
    }
    ensure!(order.labels.len() <= 16, "{} labels: a batch has at most 16", order.labels.len());
    let info = BatchInfo {
        id,
        tenant: order.tenant,
        level: order.level,
        subject: order.subject,
        priority: order.priority,
        labels: order.labels,
        counts: counts(&events),
        from,
        to,
        ready_at: now,
        reason: "submitted by hand".to_owned(),
    };
    let document = BatchDocument { contract: CONTRACT, batch: info, events };
    let bytes = serde_json::to_vec(&document).context("cannot write the batch document")?;
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    ensure!(size <= MAX_BLOB_BYTES, "the batch has {size} bytes, at most {MAX_BLOB_BYTES} (16 MiB) fit: make two of it");
    // The document nests a file's values deeper than the file does, and whoever reads it has a limit.
    serde_json::from_slice::<BatchDocument>(&bytes).context("no worker could read these events: nest their data less deep")?;
    Ok(Batch { info: document.batch, document: bytes })
}

fn checked(id: String) -> anyhow::Result<String> {
    let alphabet = id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let fits = (1..=64).contains(&id.len()) && alphabet && !id.starts_with('-') && !id.ends_with('-');
    ensure!(fits, "batch id {id:?}: use 1 to 64 of a-z, 0-9 and -, with - only in between");
    Ok(id)
}

fn counts(events: &[Event]) -> BatchCounts {
    let mut counts = BatchCounts { events: u32::try_from(events.len()).unwrap_or(u32::MAX), ..BatchCounts::default() };
    for event in events {
        *counts.by_priority.entry(event.priority.as_str().to_owned()).or_default() += 1;
        *counts.by_type.entry(event.type_.clone()).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submit::read::parse;
    use serde_json::json;
    use std::path::Path;
    use trackway_test_support::fuzz::fuzz_documents;

    fn order(id: Option<&str>) -> BatchOrder {
        BatchOrder {
            tenant: "octo-org".to_owned(),
            level: Level::Tenant,
            subject: "octo-org".to_owned(),
            priority: Priority::High,
            labels: BTreeMap::new(),
            id: id.map(str::to_owned),
        }
    }

    fn raw(name: &str, value: serde_json::Value) -> RawEvent {
        RawEvent { name: name.to_owned(), value }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn events_are_sorted_counted_and_sealed_under_a_short_id() {
        let late = raw("push", json!({"type": "push", "time": "2026-11-22T14:42:00Z", "data": {"n": 2}}));
        let early = raw("push", json!({"type": "push", "time": "2026-11-22T14:00:00Z", "data": {"n": 1}, "priority": "Low"}));
        let batch = make_batch(vec![late, early], order(None), at(0)).unwrap();
        let document: BatchDocument = serde_json::from_slice(&batch.document).unwrap();
        assert_eq!(document.events.iter().map(|event| event.data["n"].as_i64()).collect::<Vec<_>>(), [Some(1), Some(2)]);
        assert_eq!(batch.info.counts.by_priority, BTreeMap::from([("High".to_owned(), 1), ("Low".to_owned(), 1)]));
        assert_eq!((batch.info.from.to_string().as_str(), batch.info.counts.events), ("2026-11-22T14:00:00Z", 2));
        assert_eq!(batch.info.id.len(), 8);
        assert!(batch.info.id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    }

    #[test]
    fn the_same_events_a_moment_later_are_another_batch() {
        let events = || vec![raw("push", json!({"a": 1}))];
        let id = |second| make_batch(events(), order(None), at(second)).unwrap().info.id;
        assert_eq!(id(1), id(1));
        assert_ne!(id(1), id(2));
    }

    #[test]
    fn ids_and_empty_batches_are_refused_with_what_to_do() {
        for bad in ["", "B7", "-a", "a_b", &"x".repeat(65)] {
            let error = make_batch(vec![raw("push", json!({}))], order(Some(bad)), at(0)).unwrap_err();
            assert!(error.to_string().contains("a-z"), "{bad}: {error}");
        }
        assert!(make_batch(Vec::new(), order(None), at(0)).unwrap_err().to_string().contains("--events"));
        let deep = (0..126).fold(json!(1), |inner, _| json!([inner]));
        let error = make_batch(vec![raw("push", deep)], order(None), at(0)).unwrap_err();
        assert!(error.to_string().contains("nest their data less deep"), "{error}");
        let nobody = BatchOrder { tenant: String::new(), ..order(None) };
        assert!(make_batch(vec![raw("push", json!({}))], nobody, at(0)).unwrap_err().to_string().contains("tenant \"\""));
    }

    #[test]
    fn fuzz_files_of_events() {
        let push =
            json!({"type": "push", "time": "2026-11-22T14:42:00Z", "priority": "Low", "data": {"n": [1, -2.5e3, "\u{1f600}"]}});
        let hook = json!({"action": "opened", "issue": {"updated_at": "2026-11-20T08:15:00Z"},
            "repository": {"full_name": "octo-org/hello"}, "sender": {"login": "dana"}});
        let takes = |bytes: &[u8]| {
            let Ok(text) = std::str::from_utf8(bytes) else { return false };
            let mut raw = Vec::new();
            // As one file of JSON, and as one of lines.
            if ["a.json", "a.jsonl"].iter().all(|path| parse(Path::new(path), text, &mut raw).is_err()) {
                return false;
            }
            let Ok(batch) = make_batch(raw, order(None), at(0)) else { return false };
            let document: BatchDocument = serde_json::from_slice(&batch.document).unwrap();
            assert_eq!((document.contract, &document.batch), (CONTRACT, &batch.info));
            assert!(document.events.is_sorted_by_key(|event| event.time));
            assert_eq!(usize::try_from(batch.info.counts.events).unwrap(), document.events.len());
            assert_eq!(batch.info.counts.by_priority.values().sum::<u32>(), batch.info.counts.events);
            assert_eq!(
                (Some(batch.info.from), Some(batch.info.to)),
                (document.events.first().map(|event| event.time), document.events.last().map(|event| event.time))
            );
            assert!(checked(batch.info.id.clone()).is_ok() && batch.document.len() as u64 <= MAX_BLOB_BYTES);
            assert_eq!(serde_json::to_vec(&document).unwrap(), batch.document, "it can be read again as it was");
            true
        };
        fuzz_documents(&[push.clone(), hook.clone(), json!([push, hook])], takes).unwrap();
    }
}
