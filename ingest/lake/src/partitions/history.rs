//! The stream EVENTS as the loop sees it.

use std::future::Future;

use trackway_nats::{EventReader, Nats, NatsError, StreamEvent, dead_letter, partition_filter, read_range};

/// Reads partitions in the order of the stream.
pub trait History: Send + Sync + 'static {
    /// A reading under way.
    type Reader: Reader;

    /// Reads `partition` from the first message after `after`.
    fn follow(&self, partition: u8, after: u64) -> impl Future<Output = Result<Self::Reader, NatsError>> + Send;
    /// The messages of `partition` from `first` to `last`, as many as there still are.
    fn read_range(
        &self,
        partition: u8,
        first: u64,
        last: u64,
    ) -> impl Future<Output = Result<Vec<StreamEvent>, NatsError>> + Send;
    /// Keeps a message that is no event where a person can look at it. Safe to repeat.
    fn set_aside(&self, message: &StreamEvent, reason: &str) -> impl Future<Output = Result<(), NatsError>> + Send;
}

/// A reading under way.
pub trait Reader: Send {
    /// Waits for the next message. Cancelling the wait loses nothing.
    fn next(&mut self) -> impl Future<Output = Result<StreamEvent, NatsError>> + Send;
}

impl History for Nats {
    type Reader = EventReader;

    async fn follow(&self, partition: u8, after: u64) -> Result<EventReader, NatsError> {
        EventReader::open(self, &[partition], after).await
    }

    async fn read_range(&self, partition: u8, first: u64, last: u64) -> Result<Vec<StreamEvent>, NatsError> {
        read_range(self, &partition_filter(partition), first, last, |_| true).await
    }

    async fn set_aside(&self, message: &StreamEvent, reason: &str) -> Result<(), NatsError> {
        let StreamEvent { sequence, subject, payload, .. } = message;
        dead_letter(self, subject, *sequence, reason, payload.clone()).await?;
        tracing::error!(subject, sequence, reason, "message set aside in DLQ: it is no event");
        Ok(())
    }
}

impl Reader for EventReader {
    async fn next(&mut self) -> Result<StreamEvent, NatsError> {
        Self::next(self).await
    }
}
