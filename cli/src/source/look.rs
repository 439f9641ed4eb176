//! A request, its event and its batches.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;
use trackway_batching::{Arrival, BatchingPolicy, KeyState, apply, explain};
use trackway_crds::{
    contracts::StoredEvent,
    names::sha256_hex,
    track::{Level, Priority},
};
use trackway_sources::{CloudEvent, IngestConfig, MapError, Preset, Source, json};

/// A request to a source.
pub(super) struct Request<'a> {
    pub(super) source: &'a Source,
    pub(super) tenant: &'a str,
    /// Names in lower case.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
    pub(super) now: Timestamp,
}

/// What a request would become.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Seen {
    pub(super) event: StoredEvent,
    pub(super) batches: Vec<Batch>,
    /// The namespaces its batches would go to.
    pub(super) namespaces: Vec<String>,
}

/// A batch that the event would enter.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Batch {
    pub(super) level: Level,
    pub(super) subject: String,
    /// What it would have if the other events agree.
    pub(super) labels: BTreeMap<String, String>,
    pub(super) policy: BatchingPolicy,
    /// Set if the event would seal even an empty one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sealed: Option<Sealed>,
    /// What an empty one would still need after the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) missing: Option<String>,
}

/// Why and as what a batch would be sealed.
#[derive(Serialize)]
pub(super) struct Sealed {
    pub(super) priority: Priority,
    pub(super) reason: String,
}

pub(super) fn look(config: &IngestConfig, request: &Request<'_>) -> Result<Seen, MapError> {
    let event = event(request)?;
    let batches = [(Level::Tenant, None), (Level::User, event.user.as_deref())]
        .into_iter()
        .filter(|(level, user)| *level == Level::Tenant || user.is_some())
        .filter_map(|(level, user)| Some(batch(config, &event, user, config.policy(level, &event.tenant)?)))
        .collect();
    let namespaces = config.namespaces_of(&event.tenant).map(str::to_owned).collect();
    Ok(Seen { event, batches, namespaces })
}

/// As the gateway tells the kinds of requests apart.
fn event(request: &Request<'_>) -> Result<StoredEvent, MapError> {
    let Request { source, tenant, headers, body, now } = request;
    let header = |wanted: &str| headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value);
    let content_type = header("content-type");
    let cloud = if header("ce-specversion").is_some() {
        let attributes =
            headers.iter().filter_map(|(name, value)| Some((name.strip_prefix("ce-")?.to_owned(), (*value).to_owned())));
        Some(CloudEvent::binary(attributes.collect(), content_type, body)?)
    } else if source.preset == Some(Preset::CloudEvents)
        || content_type.is_some_and(|kind| kind.starts_with("application/cloudevents"))
    {
        Some(CloudEvent::structured(json(body)?)?)
    } else {
        None
    };
    match cloud {
        Some(event) => source.read_cloud_event(tenant, &event, &sha256_hex(body), body.len(), *now),
        None => source.read(tenant, headers, body, *now),
    }
}

fn batch(config: &IngestConfig, event: &StoredEvent, user: Option<&str>, policy: BatchingPolicy) -> Batch {
    let mut state = KeyState::new(&event.tenant, user);
    let bytes = serde_json::to_vec(event).map_or(0, |stored| u64::try_from(stored.len()).unwrap_or(u64::MAX));
    apply(&mut state, &policy, &Arrival { sequence: 1, at: event.received_at, priority: event.priority, bytes });
    let missing = state.open.map(|open| {
        let age = SignedDuration::from_millis(i64::try_from(policy.max_age_millis).unwrap_or(i64::MAX));
        format!("{}, or {age:#}", explain(&policy, open.counts))
    });
    let mut labels = event.labels.clone();
    labels.extend(config.tenant_labels(&event.tenant));
    Batch {
        level: state.level(),
        subject: state.subject().to_owned(),
        labels,
        policy,
        sealed: state.outbox.into_iter().next().map(|sealed| Sealed { priority: sealed.priority, reason: sealed.reason }),
        missing,
    }
}
