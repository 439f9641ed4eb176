//! Batches as a batcher would seal them.

use serde_json::json;
use trackway_crds::{
    contracts::{BatchCounts, BatchDocument, BatchInfo, CONTRACT, Event},
    track::{Level, Priority},
};

/// A sealed batch of `events` events with this id. The same arguments give the same bytes: its moments are fixed.
#[must_use]
pub fn document(id: &str, events: u32) -> BatchDocument {
    let moment = |second: i64| jiff::Timestamp::from_second(1_795_356_000 + second).unwrap_or_default();
    let event = |number: u32| Event {
        id: format!("e{number}"),
        source: "github".into(),
        type_: "push".into(),
        time: moment(i64::from(number)),
        subject: Some("octocat".into()),
        priority: Priority::Low,
        data: json!({"sender": {"login": "octocat"}, "repository": {"name": "hello-world"}, "commits": number}),
    };
    let by_type = [("push".to_owned(), events)].into();
    BatchDocument {
        contract: CONTRACT,
        batch: BatchInfo {
            id: id.into(),
            tenant: "octo-org".into(),
            level: Level::Tenant,
            subject: "octo-org".into(),
            priority: Priority::High,
            labels: Default::default(),
            counts: BatchCounts { events, by_priority: [("Low".to_owned(), events)].into(), by_type },
            from: moment(0),
            to: moment(i64::from(events)),
            ready_at: moment(i64::from(events) + 1),
            reason: "threshold High 1".into(),
        },
        events: (1..=events).map(event).collect(),
    }
}

/// Eight letters and digits that no batch had before.
#[must_use]
pub fn fresh_id() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    (0..8).map(|_| char::from(LETTERS[usize::from(fastrand::u8(..32))])).collect()
}
