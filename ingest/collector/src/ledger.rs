//! The recorded match set of a batch: what makes a redelivered batch start no second run.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::future::Future;
use trackway_crds::contracts::{BatchReady, CONTRACT, Reference};
use trackway_nats::{KeyCreation, KeyUpdate, Kv, NatsError};

/// The value of key `<batch id>` of the bucket `matches`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Version of this document: 1.
    pub contract: u32,
    /// The batch's document; another one under the same id is another batch.
    pub input: Reference,
    /// The runs of this batch, for ever; may be none.
    pub matches: Vec<Match>,
}

/// One run of a batch.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Namespace of Track and run.
    pub namespace: String,
    /// Name of the Track.
    pub track: String,
    /// The Track's generation when it matched.
    pub generation: i64,
    /// Name of the run.
    pub run: String,
    /// Whether the run was created; it may be deleted since, and must not come again.
    pub created: bool,
}

impl Record {
    /// A record of a batch just routed.
    pub fn new(ready: &BatchReady, matches: Vec<Match>) -> Self {
        Self { contract: CONTRACT, input: ready.input.clone(), matches }
    }

    /// This record with everything marked as created that is so in `other`; a mark is never taken back.
    pub fn joined(mut self, other: &Self) -> Self {
        for entry in &mut self.matches {
            let marked = other.matches.iter().any(|o| o.created && o.namespace == entry.namespace && o.run == entry.run);
            entry.created |= marked;
        }
        self
    }
}

/// Where records are kept.
pub trait Ledger: Send + Sync {
    /// The record of `batch` and its revision.
    fn get(&self, batch: &str) -> impl Future<Output = Result<Option<(Record, u64)>, LedgerError>> + Send;
    /// Records the first match set; `None` when there is one already.
    fn create(&self, batch: &str, record: &Record) -> impl Future<Output = Result<Option<u64>, LedgerError>> + Send;
    /// Replaces the record if it is still at `revision`; `None` when it is not.
    fn update(
        &self,
        batch: &str,
        record: &Record,
        revision: u64,
    ) -> impl Future<Output = Result<Option<u64>, LedgerError>> + Send;
}

/// Why a record cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// NATS is away, or refuses.
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// What is stored is no record.
    #[error("the match set recorded for batch {batch} cannot be read: {reason}; look at key {batch} of the bucket matches")]
    Unreadable {
        /// The batch.
        batch: String,
        /// What is wrong.
        reason: String,
    },
}

impl Ledger for Kv {
    async fn get(&self, batch: &str) -> Result<Option<(Record, u64)>, LedgerError> {
        let Some(entry) = Kv::get(self, batch).await? else { return Ok(None) };
        let record = serde_json::from_slice(&entry.value).map_err(|error| unreadable(batch, &error))?;
        Ok(Some((record, entry.revision)))
    }

    async fn create(&self, batch: &str, record: &Record) -> Result<Option<u64>, LedgerError> {
        Ok(match Kv::create(self, batch, encoded(batch, record)?).await? {
            KeyCreation::Created(revision) => Some(revision),
            KeyCreation::Exists => None,
        })
    }

    async fn update(&self, batch: &str, record: &Record, revision: u64) -> Result<Option<u64>, LedgerError> {
        Ok(match Kv::update(self, batch, encoded(batch, record)?, revision).await? {
            KeyUpdate::Updated(revision) => Some(revision),
            KeyUpdate::Conflict => None,
        })
    }
}

fn encoded(batch: &str, record: &Record) -> Result<Bytes, LedgerError> {
    serde_json::to_vec(record).map(Bytes::from).map_err(|error| unreadable(batch, &error))
}

fn unreadable(batch: &str, error: &serde_json::Error) -> LedgerError {
    LedgerError::Unreadable { batch: batch.to_owned(), reason: error.to_string() }
}
