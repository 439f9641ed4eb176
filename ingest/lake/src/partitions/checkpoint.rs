//! How far a partition was written.

use std::future::Future;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use trackway_crds::contracts::CONTRACT;
use trackway_nats::{KeyCreation, KeyUpdate, Kv, NatsError};

/// The value of key `<partition>` of the buckets `lake` and `vectors`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Version of this document: 1.
    pub contract: u32,
    /// Every message up to this sequence has been written.
    pub applied: u64,
    /// What is being written: written again, exactly so, by whoever finds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
}

/// A range that is being written.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Sequence of its first message.
    pub first: u64,
    /// Sequence of its last message.
    pub last: u64,
    /// Messages of the partition in it, by which a reader knows that some have expired.
    pub messages: u64,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self::at(0)
    }
}

impl Checkpoint {
    /// Everything up to `applied` is written and nothing is under way.
    #[must_use]
    pub fn at(applied: u64) -> Self {
        Self { contract: CONTRACT, applied, pending: None }
    }

    /// This checkpoint while `pending` is written.
    #[must_use]
    pub fn with(&self, pending: Pending) -> Self {
        Self { contract: CONTRACT, applied: self.applied, pending: Some(pending) }
    }
}

/// Where checkpoints are kept: changed by comparing revisions, so that of two writers one learns of the other.
pub trait Checkpoints: Send + Sync + 'static {
    /// The checkpoint of `partition` and its revision; a new one has revision 0.
    fn load(&self, partition: u8) -> impl Future<Output = Result<(Checkpoint, u64), NatsError>> + Send;
    /// Replaces the checkpoint if it is still at `revision`; returns its new one, `None` when somebody else has written.
    fn save(
        &self,
        partition: u8,
        checkpoint: &Checkpoint,
        revision: u64,
    ) -> impl Future<Output = Result<Option<u64>, NatsError>> + Send;
}

impl Checkpoints for Kv {
    async fn load(&self, partition: u8) -> Result<(Checkpoint, u64), NatsError> {
        let Some(entry) = self.get(&partition.to_string()).await? else { return Ok((Checkpoint::default(), 0)) };
        let checkpoint: Checkpoint = serde_json::from_slice(&entry.value).map_err(|error| unusable(partition, error))?;
        if checkpoint.contract != CONTRACT {
            return Err(unusable(partition, format!("it has contract {}, known is {CONTRACT}", checkpoint.contract)));
        }
        Ok((checkpoint, entry.revision))
    }

    async fn save(&self, partition: u8, checkpoint: &Checkpoint, revision: u64) -> Result<Option<u64>, NatsError> {
        let value: Bytes = serde_json::to_vec(checkpoint).map_err(|error| unusable(partition, error))?.into();
        let key = partition.to_string();
        if revision == 0 {
            return Ok(match self.create(&key, value).await? {
                KeyCreation::Created(revision) => Some(revision),
                KeyCreation::Exists => None,
            });
        }
        Ok(match self.update(&key, value, revision).await? {
            KeyUpdate::Updated(revision) => Some(revision),
            KeyUpdate::Conflict => None,
        })
    }
}

fn unusable(partition: u8, reason: impl ToString) -> NatsError {
    NatsError::Permanent {
        action: format!("use the checkpoint of partition {partition}"),
        reason: format!("{}; look at the key {partition} of its bucket", reason.to_string()),
    }
}
