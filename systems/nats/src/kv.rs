//! Key-value buckets, without the client's store type: that one asks for stream information and account rights a worker's
//! user does not have.

use async_nats::HeaderMap;
use async_nats::jetstream::message::StreamMessage;
use bytes::Bytes;

use crate::results::{last_at_leader, last_by_subject};
use crate::streams::{BATCHES_BUCKET, CONTEXT_BUCKET, LAKE_BUCKET, LAKE_FILES_BUCKET, MATCHES_BUCKET, MEMBERS_BUCKET};
use crate::streams::{PAYLOADS_BUCKET, QUESTIONNAIRES_BUCKET, VECTORS_BUCKET};
use crate::subjects::token;
use crate::write_once::{publish, publish_after};
use crate::{Nats, NatsError};

/// One value of a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvEntry {
    /// The value.
    pub value: Bytes,
    /// Grows with each write; what [`Kv::update`] compares.
    pub revision: u64,
}

/// Outcome of [`Kv::create`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyCreation {
    /// The key holds our value, at this revision.
    Created(u64),
    /// The key had a value already.
    Exists,
}

/// Outcome of [`Kv::update`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUpdate {
    /// The key holds our value, at this revision.
    Updated(u64),
    /// Somebody wrote in between: read and decide again.
    Conflict,
}

/// A bucket made by [`crate::ensure_streams`]. Nothing is asked of the server before the first operation.
#[derive(Debug, Clone)]
pub struct Kv {
    pub(crate) nats: Nats,
    bucket: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Written once. Any replica answers, maybe milliseconds behind: `DIRECT.GET` rights reach only a namespace's own keys.
    Once,
    /// Changed by comparing revisions. The leader answers, so that who lost a race reads what won it.
    Compared,
}

impl Kv {
    /// The bucket of payloads, which the server keeps from ever changing: [`Kv::update`] always conflicts.
    #[must_use]
    pub fn payloads(nats: &Nats) -> Self {
        Self { nats: nats.clone(), bucket: PAYLOADS_BUCKET, kind: Kind::Once }
    }

    /// The bucket of the lake's files where no other store is configured: kept from ever changing, as payloads.
    #[must_use]
    pub fn lake_files(nats: &Nats) -> Self {
        Self { nats: nats.clone(), bucket: LAKE_FILES_BUCKET, kind: Kind::Once }
    }

    /// The bucket of match sets: one key a batch, kept for ever.
    #[must_use]
    pub fn matches(nats: &Nats) -> Self {
        Self::compared(nats, MATCHES_BUCKET)
    }

    /// The batcher's open batches and checkpoints: `<partition>.state.…`, `<partition>.checkpoint`.
    #[must_use]
    pub fn batches(nats: &Nats) -> Self {
        Self::compared(nats, BATCHES_BUCKET)
    }

    /// How far the lake was written: `<partition>`.
    #[must_use]
    pub fn lake(nats: &Nats) -> Self {
        Self::compared(nats, LAKE_BUCKET)
    }

    /// How far the vectors were written: `<partition>`.
    #[must_use]
    pub fn vectors(nats: &Nats) -> Self {
        Self::compared(nats, VECTORS_BUCKET)
    }

    /// Open questionnaires: `<namespace>.<name>`.
    #[must_use]
    pub fn questionnaires(nats: &Nats) -> Self {
        Self::compared(nats, QUESTIONNAIRES_BUCKET)
    }

    /// What tenants answered: `<namespace>.<H(tenant)>`.
    #[must_use]
    pub fn context(nats: &Nats) -> Self {
        Self::compared(nats, CONTEXT_BUCKET)
    }

    /// Live processes: `<component>.<id>`, forgotten after 15 s without a word. See [`crate::Membership`].
    #[must_use]
    pub fn members(nats: &Nats) -> Self {
        Self::compared(nats, MEMBERS_BUCKET)
    }

    fn compared(nats: &Nats, bucket: &'static str) -> Self {
        Self { nats: nats.clone(), bucket, kind: Kind::Compared }
    }

    /// Writes the key's first value, or learns that it has one.
    ///
    /// # Errors
    /// [`NatsError`]; a key of other characters than letters, digits, `-`, `_` and `.` is permanent.
    pub async fn create(&self, key: &str, value: Bytes) -> Result<KeyCreation, NatsError> {
        let subject = self.subject(key)?;
        if let Some(revision) = publish_after(&self.nats, &subject, HeaderMap::new(), value.clone(), 0).await? {
            return Ok(KeyCreation::Created(revision));
        }
        match self.kind {
            Kind::Once => Ok(KeyCreation::Exists),
            Kind::Compared => self.create_after_marker(&subject, value).await,
        }
    }

    /// The key's value, `None` when it has none.
    ///
    /// # Errors
    /// As [`Kv::create`].
    pub async fn get(&self, key: &str) -> Result<Option<KvEntry>, NatsError> {
        let subject = self.subject(key)?;
        let message = self.last(&subject).await?.filter(|message| !is_marker(message));
        Ok(message.map(|message| KvEntry { value: message.payload, revision: message.sequence }))
    }

    /// As [`Kv::get`] from whichever replica answers, maybe milliseconds behind. It takes rights to this key only, where reading
    /// from the leader takes rights to the whole bucket.
    ///
    /// # Errors
    /// As [`Kv::create`].
    pub async fn get_nearby(&self, key: &str) -> Result<Option<KvEntry>, NatsError> {
        let subject = self.subject(key)?;
        let message = last_by_subject(&self.nats, &self.stream(), &subject).await?.filter(|message| !is_marker(message));
        Ok(message.map(|message| KvEntry { value: message.payload, revision: message.sequence }))
    }

    /// Replaces the value if its revision is still `revision`.
    ///
    /// # Errors
    /// As [`Kv::create`].
    pub async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<KeyUpdate, NatsError> {
        let subject = self.subject(key)?;
        let written = publish_after(&self.nats, &subject, HeaderMap::new(), value, revision).await?;
        Ok(written.map_or(KeyUpdate::Conflict, KeyUpdate::Updated))
    }

    /// Writes the value whatever the key holds: the last write wins. Returns its revision.
    ///
    /// # Errors
    /// As [`Kv::create`]; permanent in the bucket of payloads when the key has a value.
    pub async fn put(&self, key: &str, value: Bytes) -> Result<u64, NatsError> {
        let subject = self.subject(key)?;
        let written = publish(&self.nats, &subject, HeaderMap::new(), value, None).await?;
        written.ok_or_else(|| NatsError::permanent(&format!("write {subject}"), "it has its one value already"))
    }

    /// A key somebody deleted by hand has a marker as its last message, and no value.
    async fn create_after_marker(&self, subject: &str, value: Bytes) -> Result<KeyCreation, NatsError> {
        let Some(marker) = self.last(subject).await?.filter(is_marker) else { return Ok(KeyCreation::Exists) };
        let written = publish_after(&self.nats, subject, HeaderMap::new(), value, marker.sequence).await?;
        Ok(written.map_or(KeyCreation::Exists, KeyCreation::Created))
    }

    fn subject(&self, key: &str) -> Result<String, NatsError> {
        key.split('.').try_for_each(|part| token("part of key", part))?;
        Ok(self.subject_prefix() + key)
    }

    /// The subject of a filter of keys: `*` stands for one part, `>` at the end for one or more.
    pub(crate) fn filter_subject(&self, filter: &str) -> Result<String, NatsError> {
        let parts: Vec<&str> = filter.split('.').collect();
        for (index, part) in parts.iter().enumerate() {
            let wildcard = *part == "*" || (*part == ">" && index + 1 == parts.len());
            if !wildcard {
                token("part of the filter of keys", part)?;
            }
        }
        Ok(self.subject_prefix() + filter)
    }

    pub(crate) fn subject_prefix(&self) -> String {
        format!("$KV.{}.", self.bucket)
    }

    pub(crate) fn stream(&self) -> String {
        format!("KV_{}", self.bucket)
    }

    async fn last(&self, subject: &str) -> Result<Option<StreamMessage>, NatsError> {
        match self.kind {
            Kind::Once => last_by_subject(&self.nats, &self.stream(), subject).await,
            Kind::Compared => last_at_leader(&self.nats, &self.stream(), subject).await,
        }
    }
}

pub(crate) fn is_marker(message: &StreamMessage) -> bool {
    message.headers.get("KV-Operation").is_some()
}
