//! Events to write.

use std::sync::Arc;

use trackway_crds::contracts::StoredEvent;
use trackway_crds::names::{EVENT_PARTITIONS, event_key, partition, sha256_hex};
use trackway_lake::partitions::{EventRange, Sequenced};

/// The first `count` tenants of `number`, named so that a path must encode some of it.
pub(crate) fn tenants_of(number: u8, count: usize) -> Vec<String> {
    assert!(number < EVENT_PARTITIONS);
    (0..).map(|n| format!("tenant {n}/ö")).filter(|tenant| partition(tenant) == number).take(count).collect()
}

/// The `n`-th event of `tenant`; every tenth was received the day before.
pub(crate) fn event(tenant: &str, n: usize) -> StoredEvent {
    let ce_id = n.to_string();
    let day = if n % 10 == 9 { "2026-11-21T23:59:59.999999Z" } else { "2026-11-22T00:00:00Z" };
    StoredEvent {
        contract: 1,
        id: event_key(tenant, "github", "https://github.example", &ce_id),
        tenant: tenant.to_owned(),
        user: n.is_multiple_of(2).then(|| format!("user-{n}")),
        origin: "github".to_owned(),
        source: "https://github.example".to_owned(),
        ce_id,
        type_: "push".to_owned(),
        time: "2026-11-21T22:00:00.5Z".parse().unwrap(),
        received_at: day.parse().unwrap(),
        subject: n.is_multiple_of(3).then(|| "refs/heads/main".to_owned()),
        priority: serde_json::from_value("High".into()).unwrap(),
        labels: [("plan".to_owned(), "pro".to_owned()), ("n".to_owned(), n.to_string())].into(),
        data: serde_json::json!({"n": n, "text": "déjà vu \"quoted\"", "list": [1, null, {"a": true}]}),
        body_sha256: sha256_hex(tenant.as_bytes()),
    }
}

/// `count` events of three tenants of `number`, in turn.
pub(crate) fn events(number: u8, count: usize) -> Vec<StoredEvent> {
    let tenants = tenants_of(number, 3);
    (0..count).map(|n| event(&tenants[n % 3], n)).collect()
}

/// A range that begins at sequence `first`.
pub(crate) fn range(number: u8, first: u64, events: Vec<StoredEvent>) -> Arc<EventRange> {
    let events: Vec<_> = (first..).zip(events).map(|(sequence, event)| Sequenced { sequence, event }).collect();
    let last = events.last().map_or(first, |event| event.sequence);
    Arc::new(EventRange { partition: number, first, last, events, complete: true })
}
