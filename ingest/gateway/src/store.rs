//! What the gateway asks of the place where things are kept.

use bytes::Bytes;
use std::future::Future;
use trackway_crds::contracts::{QuestionnaireRecord, StoredEvent, TenantContext};
use trackway_crds::names;
use trackway_nats::{EventPublication, KeyCreation, KeyUpdate, Kv, KvWrite, Nats, NatsError, event_subject, publish_event};

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is new, and stored.
    New,
    /// It was stored before.
    Before,
    /// Another one of the same key was stored before.
    Another,
}

/// A value and its revision, to compare with when it is replaced.
pub type Versioned<T> = (T, u64);

/// A questionnaire met on the way through all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Met {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
    /// `None`: it was deleted, or what stands there is none.
    pub record: Option<QuestionnaireRecord>,
    /// Grows with each write of any of them.
    pub revision: u64,
}

/// Where events, questionnaires and answers are kept.
pub trait Store: Clone + Send + Sync + 'static {
    /// Stores an event unless one of its key is stored; returns when no crash loses it.
    fn keep(&self, event: &StoredEvent) -> impl Future<Output = Result<Kept, NatsError>> + Send;

    /// A questionnaire; `None`: there is none of this name.
    fn questionnaire(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<Option<Versioned<QuestionnaireRecord>>, NatsError>> + Send;

    /// Replaces a questionnaire that is still of `revision`; `false`: it is not.
    fn replace_questionnaire(
        &self,
        namespace: &str,
        name: &str,
        record: &QuestionnaireRecord,
        revision: u64,
    ) -> impl Future<Output = Result<bool, NatsError>> + Send;

    /// Of all questionnaires as they are the first that was written at or after `revision`; `None`: there is none.
    fn next_questionnaire(&self, revision: u64) -> impl Future<Output = Result<Option<Met>, NatsError>> + Send;

    /// What a tenant has answered in a namespace so far.
    fn context(
        &self,
        namespace: &str,
        tenant: &str,
    ) -> impl Future<Output = Result<Option<Versioned<TenantContext>>, NatsError>> + Send;

    /// Replaces that if it is still of `revision` (`None`: there is none yet); `false`: it is not.
    fn replace_context(
        &self,
        namespace: &str,
        context: &TenantContext,
        revision: Option<u64>,
    ) -> impl Future<Output = Result<bool, NatsError>> + Send;
}

impl Store for Nats {
    async fn keep(&self, event: &StoredEvent) -> Result<Kept, NatsError> {
        let subject = event_subject(event)?;
        match publish_event(self, &subject, json(event)?).await? {
            EventPublication::Stored { .. } => Ok(Kept::New),
            EventPublication::Taken { payload } => {
                let stored = serde_json::from_slice::<StoredEvent>(&payload).ok();
                let same = stored.is_some_and(|stored| stored.body_sha256 == event.body_sha256);
                Ok(if same { Kept::Before } else { Kept::Another })
            }
        }
    }

    async fn questionnaire(&self, namespace: &str, name: &str) -> Result<Option<Versioned<QuestionnaireRecord>>, NatsError> {
        read(&Kv::questionnaires(self), &format!("{namespace}.{name}")).await
    }

    async fn replace_questionnaire(
        &self,
        namespace: &str,
        name: &str,
        record: &QuestionnaireRecord,
        revision: u64,
    ) -> Result<bool, NatsError> {
        write(&Kv::questionnaires(self), &format!("{namespace}.{name}"), record, Some(revision)).await
    }

    async fn next_questionnaire(&self, revision: u64) -> Result<Option<Met>, NatsError> {
        let Some(KvWrite { key, value, revision }) = Kv::questionnaires(self).next_write(revision).await? else {
            return Ok(None);
        };
        let (namespace, name) = key.split_once('.').unwrap_or_default();
        let record = value.and_then(|value| serde_json::from_slice(&value).ok());
        Ok(Some(Met { namespace: namespace.to_owned(), name: name.to_owned(), record, revision }))
    }

    async fn context(&self, namespace: &str, tenant: &str) -> Result<Option<Versioned<TenantContext>>, NatsError> {
        read(&Kv::context(self), &context_key(namespace, tenant)).await
    }

    async fn replace_context(&self, namespace: &str, context: &TenantContext, revision: Option<u64>) -> Result<bool, NatsError> {
        write(&Kv::context(self), &context_key(namespace, &context.tenant), context, revision).await
    }
}

fn context_key(namespace: &str, tenant: &str) -> String {
    format!("{namespace}.{}", names::label_hash(tenant))
}

async fn read<T: serde::de::DeserializeOwned>(bucket: &Kv, key: &str) -> Result<Option<Versioned<T>>, NatsError> {
    let Some(entry) = bucket.get(key).await? else { return Ok(None) };
    let value = serde_json::from_slice(&entry.value)
        .map_err(|error| NatsError::Permanent { action: format!("read {key}"), reason: error.to_string() })?;
    Ok(Some((value, entry.revision)))
}

async fn write(bucket: &Kv, key: &str, value: &impl serde::Serialize, revision: Option<u64>) -> Result<bool, NatsError> {
    let value = json(value)?;
    match revision {
        Some(revision) => Ok(matches!(bucket.update(key, value, revision).await?, KeyUpdate::Updated(_))),
        None => Ok(matches!(bucket.create(key, value).await?, KeyCreation::Created(_))),
    }
}

fn json(value: &impl serde::Serialize) -> Result<Bytes, NatsError> {
    let written = serde_json::to_vec(value).map(Bytes::from);
    written.map_err(|error| NatsError::Permanent { action: "write JSON".to_owned(), reason: error.to_string() })
}
