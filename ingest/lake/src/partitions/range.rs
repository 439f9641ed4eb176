//! A range of a partition, and who writes it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use trackway_crds::contracts::StoredEvent;
use trackway_nats::{NatsError, Retryable};
use trackway_store::StoreError;

/// An event and its place in the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequenced {
    /// Its sequence in the stream, which grows with time and is never used again.
    pub sequence: u64,
    /// The event.
    pub event: StoredEvent,
}

/// Events of one partition that are written together. After a crash the same range holds the same events.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRange {
    /// The partition.
    pub partition: u8,
    /// Sequence of the first message: with the partition it names the range for ever, as no two ranges begin at one message.
    pub first: u64,
    /// Sequence of the last message.
    pub last: u64,
    /// The events, in the order of the stream. Messages that are no events are left out, so there may be none.
    pub events: Vec<Sequenced>,
    /// False when some of the range's messages have expired before an interrupted write of it was repeated: then another writer's
    /// version of what this range makes, if there is one, holds more.
    pub complete: bool,
}

/// What writing a range made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Rows in all files.
    pub rows: u64,
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Does what is to be done with each range of events: the lake writes rows, the vectorizer vectors.
///
/// Two writers may have the same range at the same time, and a range may come again after it was written (never after its
/// successor): the same name, made from the range, must then hold the same content, or the content that was there first.
pub trait RangeWriter: Send + Sync + 'static {
    /// Writes everything that becomes of `range` and returns when it is safely stored.
    fn write(&self, range: Arc<EventRange>) -> impl Future<Output = Result<Written, WriteError>> + Send;
}

/// Why a range could not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Something was away or slow: the range is tried again, sooner first and then every few seconds.
    #[error("{0}")]
    Transient(String),
    /// A person must act: the range is tried again every 30 s, and nothing behind it is written meanwhile.
    #[error("{0}")]
    Permanent(String),
}

impl Retryable for WriteError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Transient(_))
    }

    fn out_of_time(what: &str, given: Duration) -> Self {
        Self::Transient(format!("{what}: no answer within {given:?}"))
    }
}

impl From<StoreError> for WriteError {
    fn from(error: StoreError) -> Self {
        if error.is_transient() { Self::Transient(error.to_string()) } else { Self::Permanent(error.to_string()) }
    }
}

impl From<NatsError> for WriteError {
    fn from(error: NatsError) -> Self {
        if error.is_transient() { Self::Transient(error.to_string()) } else { Self::Permanent(error.to_string()) }
    }
}
