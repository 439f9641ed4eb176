//! The streams and buckets, made and kept as described here.

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};

use crate::error::{from_change_stream, from_get_stream};
use crate::subjects::{BATCH_READY, DLQ, EVENTS, RESULTS};
use crate::{Nats, NatsError};

/// Bucket of payloads, written once.
pub(crate) const PAYLOADS_BUCKET: &str = "payloads";
/// Bucket of the lake's files, written once, where no other store is configured.
pub(crate) const LAKE_FILES_BUCKET: &str = "lake-files";
/// Bucket of match sets, one key a batch, kept for ever: it is what makes a redelivered batch start no second run.
pub(crate) const MATCHES_BUCKET: &str = "matches";

/// Buckets of the readers of events: what they keep and how far they came.
pub(crate) const BATCHES_BUCKET: &str = "batches";
pub(crate) const LAKE_BUCKET: &str = "lake";
pub(crate) const VECTORS_BUCKET: &str = "vectors";
/// Bucket of who is alive.
pub(crate) const MEMBERS_BUCKET: &str = "members";
/// Buckets of questions and of what tenants answered.
pub(crate) const QUESTIONNAIRES_BUCKET: &str = "questionnaires";
pub(crate) const CONTEXT_BUCKET: &str = "context";

/// How long a member counts as alive after its last word.
pub(crate) const MEMBER_TTL: Duration = Duration::from_secs(15);

pub(crate) const EVENTS_STREAM: &str = EVENTS;
pub(crate) const RESULTS_STREAM: &str = RESULTS;
pub(crate) const BATCH_READY_STREAM: &str = BATCH_READY;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What an installation chooses about its streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSettings {
    /// Copies of each stream: 1, or 3 and 5 in a cluster of as many NATS servers.
    pub replicas: usize,
    /// How long an event is kept, and so how long a repeat of it is recognised.
    pub events_max_age: Duration,
    /// Size of the stream of events in bytes; when it is full, new events are refused. `None`: as found, at first without limit.
    pub events_max_bytes: Option<u64>,
}

impl Default for StreamSettings {
    /// One copy, events for nine days, no limit of their size.
    fn default() -> Self {
        Self { replicas: 1, events_max_age: DAY * 9, events_max_bytes: None }
    }
}

/// Makes what is missing and brings the rest to our settings; what we say nothing about (size limits, placement) stays as
/// found. Safe to call from several processes at once and at every start.
///
/// # Errors
/// [`NatsError::Permanent`] when a stream of that name exists with settings that cannot be changed, or the user may not make
/// streams; [`NatsError::Transient`] while JetStream has no leader.
pub async fn ensure_streams(nats: &Nats, settings: StreamSettings) -> Result<(), NatsError> {
    for wanted in all(settings) {
        ensure(nats, &wanted).await?;
    }
    Ok(())
}

fn all(settings: StreamSettings) -> Vec<Config> {
    let base = Config {
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        num_replicas: settings.replicas,
        allow_direct: true,
        ..Config::default()
    };
    let stream = |name: &str, max_age: Duration| Config {
        name: name.to_owned(),
        subjects: vec![format!("{name}.>")],
        max_age,
        ..base.clone()
    };
    let bucket = |name: &str| Config {
        name: format!("KV_{name}"),
        subjects: vec![format!("$KV.{name}.>")],
        max_messages_per_subject: 1,
        ..base.clone()
    };
    // With one message a subject and `discard: new` per subject the server itself refuses to overwrite.
    let write_once = |config: Config| Config { max_messages_per_subject: 1, discard_new_per_subject: true, ..config };
    let compared = |name: &str| Config { allow_rollup: true, deny_delete: true, ..bucket(name) };
    let events_max_bytes = settings.events_max_bytes.map_or(0, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    vec![
        write_once(stream(BATCH_READY, DAY * 30)),
        write_once(stream(RESULTS, DAY * 7)),
        write_once(stream(DLQ, DAY * 90)),
        write_once(bucket(PAYLOADS_BUCKET)),
        write_once(bucket(LAKE_FILES_BUCKET)),
        compared(MATCHES_BUCKET),
        write_once(Config { max_bytes: events_max_bytes, ..stream(EVENTS, settings.events_max_age) }),
        compared(BATCHES_BUCKET),
        compared(LAKE_BUCKET),
        compared(VECTORS_BUCKET),
        compared(QUESTIONNAIRES_BUCKET),
        compared(CONTEXT_BUCKET),
        Config { max_age: MEMBER_TTL, ..compared(MEMBERS_BUCKET) },
    ]
}

async fn ensure(nats: &Nats, wanted: &Config) -> Result<(), NatsError> {
    let action = format!("set up stream {}", wanted.name);
    let api = ["INFO", "CREATE", "UPDATE"].map(|verb| format!("$JS.API.STREAM.{verb}.{}", wanted.name));
    let work = async {
        let found = from_get_stream(&action, nats.jetstream().get_stream(&wanted.name).await)?;
        let Some(found) = found else {
            nats.jetstream().create_stream(wanted).await.map_err(|error| from_change_stream(&action, &error))?;
            tracing::info!(stream = wanted.name, "made stream");
            return Ok(());
        };
        let found = &found.cached_info().config;
        let merged = merge(found, wanted);
        if merged != *found {
            nats.jetstream().update_stream(&merged).await.map_err(|error| from_change_stream(&action, &error))?;
            tracing::info!(stream = wanted.name, "brought stream to our settings");
        }
        Ok(())
    };
    let api: Vec<&str> = api.iter().map(String::as_str).collect();
    nats.request(&action, &api, work).await
}

/// `found` with everything our promises rest on as in `wanted`.
fn merge(found: &Config, wanted: &Config) -> Config {
    Config {
        subjects: wanted.subjects.clone(),
        retention: wanted.retention,
        storage: wanted.storage,
        discard: wanted.discard,
        discard_new_per_subject: wanted.discard_new_per_subject,
        max_messages_per_subject: wanted.max_messages_per_subject,
        max_age: wanted.max_age,
        max_bytes: if wanted.max_bytes > 0 { wanted.max_bytes } else { found.max_bytes },
        // More copies than we ask for are somebody's decision.
        num_replicas: found.num_replicas.max(wanted.num_replicas),
        allow_direct: wanted.allow_direct,
        allow_rollup: wanted.allow_rollup,
        deny_delete: wanted.deny_delete,
        ..found.clone()
    }
}
