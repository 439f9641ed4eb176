//! Key-value buckets, without the client's store type: that one asks for stream information and account rights a worker's
//! user does not have.

use async_nats::HeaderMap;
use async_nats::jetstream::message::StreamMessage;
use bytes::Bytes;
use futures::TryStreamExt;

use crate::error::from_leader_get;
use crate::many::last_by_subjects;
use crate::results::last_by_subject;
use crate::streams::{LAKE_FILES_BUCKET, MATCHES_BUCKET, PAYLOADS_BUCKET};
use crate::subjects::token;
use crate::write_once::publish_after;
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

/// A bucket made by [`crate::ensure_streams`].
#[derive(Debug, Clone)]
pub struct Kv {
    nats: Nats,
    bucket: Bucket,
}

#[derive(Debug, Clone, Copy)]
enum Bucket {
    /// Written once. Any replica answers, maybe milliseconds behind: `DIRECT.GET` rights reach only a namespace's own keys.
    Payloads,
    /// Written once, as payloads.
    LakeFiles,
    /// Changed by comparing revisions. The leader answers, so that who lost a race reads what won it.
    Matches,
}

impl Bucket {
    fn name(self) -> &'static str {
        match self {
            Self::Payloads => PAYLOADS_BUCKET,
            Self::LakeFiles => LAKE_FILES_BUCKET,
            Self::Matches => MATCHES_BUCKET,
        }
    }
}

impl Kv {
    /// The bucket of payloads, which the server keeps from ever changing: [`Kv::update`] always conflicts. Nothing is asked of
    /// the server yet.
    #[must_use]
    pub fn payloads(nats: &Nats) -> Self {
        Self { nats: nats.clone(), bucket: Bucket::Payloads }
    }

    /// The bucket of the lake's files where no other store is configured: kept from ever changing, as payloads. Nothing is asked
    /// of the server yet.
    #[must_use]
    pub fn lake_files(nats: &Nats) -> Self {
        Self { nats: nats.clone(), bucket: Bucket::LakeFiles }
    }

    /// The bucket of match sets: one key a batch, kept for ever. Nothing is asked of the server yet.
    #[must_use]
    pub fn matches(nats: &Nats) -> Self {
        Self { nats: nats.clone(), bucket: Bucket::Matches }
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
        match self.bucket {
            Bucket::Payloads | Bucket::LakeFiles => Ok(KeyCreation::Exists),
            Bucket::Matches => self.create_after_marker(&subject, value).await,
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

    /// Every key below `folder` (a key's first parts) with its value, from whichever replica answers.
    ///
    /// # Errors
    /// As [`Kv::create`].
    pub async fn get_below(&self, folder: &str) -> Result<Vec<(String, Bytes)>, NatsError> {
        let filter = format!("{}.>", self.subject(folder)?);
        let action = format!("list {filter}");
        let stream_name = format!("KV_{}", self.bucket.name());
        let list = async {
            let failed = |error: &dyn std::fmt::Display| NatsError::transient(&action, error);
            let stream = self.nats.jetstream().get_stream_no_info(&stream_name).await.map_err(|error| failed(&error))?;
            let subjects = stream.info_with_subjects(&filter).await.map_err(|error| failed(&error))?;
            let subjects = subjects.map_ok(|(subject, _)| subject).try_collect::<Vec<_>>().await;
            subjects.map_err(|error| failed(&error))
        };
        let api = format!("$JS.API.STREAM.INFO.{stream_name}");
        let subjects = self.nats.request(&action, &[&api], list).await?;
        let found = last_by_subjects(&self.nats, &stream_name, &subjects).await?;
        let bucket = format!("$KV.{}.", self.bucket.name());
        let key = |subject: String| Some(subject.strip_prefix(&bucket)?.to_owned());
        Ok(found.into_iter().filter_map(|(subject, value)| Some((key(subject)?, value))).collect())
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

    /// A key somebody deleted by hand has a marker as its last message, and no value.
    async fn create_after_marker(&self, subject: &str, value: Bytes) -> Result<KeyCreation, NatsError> {
        let Some(marker) = self.last(subject).await?.filter(is_marker) else { return Ok(KeyCreation::Exists) };
        let written = publish_after(&self.nats, subject, HeaderMap::new(), value, marker.sequence).await?;
        Ok(written.map_or(KeyCreation::Exists, KeyCreation::Created))
    }

    fn subject(&self, key: &str) -> Result<String, NatsError> {
        key.split('.').try_for_each(|part| token("part of key", part))?;
        Ok(format!("$KV.{}.{key}", self.bucket.name()))
    }

    async fn last(&self, subject: &str) -> Result<Option<StreamMessage>, NatsError> {
        let stream = format!("KV_{}", self.bucket.name());
        match self.bucket {
            Bucket::Payloads | Bucket::LakeFiles => last_by_subject(&self.nats, &stream, subject).await,
            Bucket::Matches => {
                let action = format!("read {subject}");
                let api = format!("$JS.API.STREAM.MSG.GET.{stream}");
                let read = async {
                    let stream = self.nats.jetstream().get_stream_no_info(&stream).await;
                    let stream = stream.map_err(|error| NatsError::permanent(&action, error))?;
                    from_leader_get(&action, stream.get_last_raw_message_by_subject(subject).await)
                };
                self.nats.request(&action, &[&api], read).await
            }
        }
    }
}

fn is_marker(message: &StreamMessage) -> bool {
    message.headers.get("KV-Operation").is_some()
}
