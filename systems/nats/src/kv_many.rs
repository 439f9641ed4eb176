//! Many keys of a bucket: all at once, and as they change.

use std::collections::BTreeMap;

use async_nats::jetstream::Message;
use bytes::Bytes;
use futures::StreamExt;
use tokio::time::timeout;

use crate::connection::ANSWER_LIMIT;
use crate::follow::{Follow, Reading, Resume, consumer};
use crate::kv::is_marker;
use crate::results::next_at_leader;
use crate::{Kv, KvEntry, NatsError};

/// Messages of one request.
const PAGE: usize = 512;

/// The latest write of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvWrite {
    /// The key.
    pub key: String,
    /// What was written; `None`: somebody deleted it.
    pub value: Option<Bytes>,
    /// As [`KvEntry::revision`].
    pub revision: u64,
}

impl Kv {
    /// All keys that match `filter` (`17.state.>`, `*.checkpoint`; `>` for all), with their values, in the order of keys. With
    /// more than one replica it may be milliseconds behind: what is written upon it must compare revisions.
    ///
    /// # Errors
    /// As [`Kv::create`].
    pub async fn entries(&self, filter: &str) -> Result<Vec<(String, KvEntry)>, NatsError> {
        let reading = self.reading(filter)?;
        let action = format!("read {}", reading.filters.join(","));
        let consumer = consumer(&reading, 0).await?;
        let api = format!("$JS.API.CONSUMER.MSG.NEXT.{}", reading.stream);
        let mut found = BTreeMap::new();
        let mut pending = consumer.cached_info().num_pending;
        while pending > 0 {
            let page = async {
                let failed = |error: String| NatsError::transient(&action, error);
                let mut page = consumer.fetch().max_messages(PAGE).messages().await.map_err(|error| failed(error.to_string()))?;
                let mut messages = Vec::new();
                let late = |_| failed(format!("no answer within {ANSWER_LIMIT:?}"));
                while let Some(message) = timeout(ANSWER_LIMIT, page.next()).await.map_err(late)? {
                    messages.push(message.map_err(|error| failed(error.to_string()))?);
                }
                Ok(messages)
            };
            let messages = self.nats.request(&action, &[&api], page).await?;
            // What was counted may have been overwritten since; nothing more is nothing more.
            pending = 0;
            for message in messages {
                let info = message.info().map_err(|error| NatsError::transient(&action, error))?;
                pending = info.pending;
                let revision = info.stream_sequence;
                let Some(key) = self.key(&message) else { continue };
                match live(&message, revision) {
                    Some(entry) => found.insert(key, entry),
                    None => found.remove(&key),
                };
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Of the latest writes of all keys the first one at or after `revision`; `None`: there is none. Begun at 0, and each time
    /// behind the one before, it leads through the bucket and on to what is written meanwhile. It is one request a key, where
    /// [`Kv::entries`] reads many at once, and takes no more rights than [`Kv::get`].
    ///
    /// # Errors
    /// As [`Kv::create`].
    pub async fn next_write(&self, revision: u64) -> Result<Option<KvWrite>, NatsError> {
        let filter = self.filter_subject(">")?;
        let action = format!("read {filter} from revision {revision}");
        let Some(message) = next_at_leader(&self.nats, &action, &self.stream(), &filter, revision).await? else {
            return Ok(None);
        };
        let key = message.subject.strip_prefix(&self.subject_prefix()).unwrap_or_default().to_owned();
        let value = (!is_marker(&message)).then_some(message.payload);
        Ok(Some(KvWrite { key, value, revision: message.sequence }))
    }

    /// The values of all keys that match `filter` (see [`Kv::entries`]), then each change of them. Nothing is asked of the
    /// server before the first [`KvWatch::next`].
    ///
    /// # Errors
    /// [`NatsError::Permanent`] for a filter that is none.
    pub fn watch(&self, filter: &str) -> Result<KvWatch, NatsError> {
        Ok(KvWatch { kv: self.clone(), follow: Follow::new(self.reading(filter)?, 0) })
    }

    pub(crate) fn reading(&self, filter: &str) -> Result<Reading, NatsError> {
        let filters = vec![self.filter_subject(filter)?];
        Ok(Reading { nats: self.nats.clone(), stream: self.stream(), filters, resume: Resume::FromStart })
    }

    pub(crate) fn key(&self, message: &Message) -> Option<String> {
        Some(message.subject.strip_prefix(&self.subject_prefix())?.to_owned())
    }
}

/// The value a message gives its key; `None` for the marker of a deletion.
pub(crate) fn live(message: &Message, revision: u64) -> Option<KvEntry> {
    let marker = message.headers.as_ref().is_some_and(|headers| headers.get("KV-Operation").is_some());
    (!marker).then(|| KvEntry { value: message.payload.clone(), revision })
}

/// Keys of a bucket as they change.
#[derive(Debug)]
pub struct KvWatch {
    kv: Kv,
    follow: Follow,
}

impl KvWatch {
    /// Waits for the next value. Each key's latest value comes; one overwritten at once may be left out. After a restart of NATS
    /// or a lost connection all values come again. Deletions by hand are not told. Transient trouble is logged and waited out
    /// here; cancelling the wait loses nothing.
    ///
    /// # Errors
    /// Only [`NatsError::Permanent`].
    pub async fn next(&mut self) -> Result<(String, KvEntry), NatsError> {
        loop {
            let followed = self.follow.next().await?;
            let entry = live(&followed.message, followed.sequence);
            if let (Some(key), Some(entry)) = (self.kv.key(&followed.message), entry) {
                return Ok((key, entry));
            }
        }
    }
}
