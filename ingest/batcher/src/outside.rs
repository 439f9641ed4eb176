//! What the batcher asks of others, so that tests can stand between any two calls.

use std::future::Future;

use bytes::Bytes;
use trackway_crds::contracts::Reference;
use trackway_crds::track::Priority;
use trackway_nats::{
    EventReader, KeyCreation, KeyUpdate, Kv, KvEntry, Nats, NatsError, Publication, StreamEvent, dead_letter,
    publish_batch_ready, read_range,
};
use trackway_store::{PayloadStore, StoreError};

/// The stream EVENTS, the bucket `batches`, the payload store and BATCH_READY. Every call is safe to repeat.
pub trait Outside: Clone + Send + Sync + 'static {
    /// A partition that is read.
    type Reading: Reading;

    /// Reads `partition` from the first event after `after`.
    fn follow(&self, partition: u8, after: u64) -> impl Future<Output = Result<Self::Reading, NatsError>> + Send;
    /// The events of `filter` from `first` to `last` that `wanted` wants, as many as there still are.
    fn read_range(
        &self,
        filter: &str,
        first: u64,
        last: u64,
        wanted: impl Fn(&StreamEvent) -> bool + Send,
    ) -> impl Future<Output = Result<Vec<StreamEvent>, NatsError>> + Send;
    /// All values whose keys match `filter`.
    fn states(&self, filter: &str) -> impl Future<Output = Result<Vec<(String, KvEntry)>, NatsError>> + Send;
    /// The value of `key`.
    fn load(&self, key: &str) -> impl Future<Output = Result<Option<KvEntry>, NatsError>> + Send;
    /// Replaces the value of `key` if it is still at `revision` (0: has none); its new revision, `None` when somebody else wrote.
    fn save(&self, key: &str, value: Bytes, revision: u64) -> impl Future<Output = Result<Option<u64>, NatsError>> + Send;
    /// Stores a batch document for the runs of `namespace`.
    fn put_document(&self, namespace: &str, document: Bytes) -> impl Future<Output = Result<Reference, StoreError>> + Send;
    /// Publishes BATCH_READY, once.
    fn announce(
        &self,
        priority: Priority,
        id: &str,
        message: Bytes,
    ) -> impl Future<Output = Result<Publication, NatsError>> + Send;
    /// Keeps a message that is no event where a person can look at it.
    fn set_aside(&self, message: &StreamEvent, reason: &str) -> impl Future<Output = Result<(), NatsError>> + Send;
}

/// Events of a partition in the order of the stream.
pub trait Reading: Send + 'static {
    /// Waits for the next event; waits transient trouble out. Cancelling the wait loses nothing.
    fn next(&mut self) -> impl Future<Output = Result<StreamEvent, NatsError>> + Send;
    /// Whether every event that is stored by now has been delivered.
    fn caught_up(&self) -> impl Future<Output = Result<bool, NatsError>> + Send + 'static;
    /// Events that waited behind the last one; `None` while nobody knows.
    fn pending(&self) -> Option<u64>;
}

/// NATS and a payload store.
#[derive(Clone, Debug)]
pub struct Real {
    nats: Nats,
    batches: Kv,
    store: PayloadStore,
}

impl Real {
    /// States and events in `nats`, documents in `store`.
    #[must_use]
    pub fn new(nats: &Nats, store: PayloadStore) -> Self {
        Self { nats: nats.clone(), batches: Kv::batches(nats), store }
    }
}

impl Outside for Real {
    type Reading = EventReader;

    async fn follow(&self, partition: u8, after: u64) -> Result<EventReader, NatsError> {
        EventReader::open(&self.nats, &[partition], after).await
    }

    async fn read_range(
        &self,
        filter: &str,
        first: u64,
        last: u64,
        wanted: impl Fn(&StreamEvent) -> bool + Send,
    ) -> Result<Vec<StreamEvent>, NatsError> {
        read_range(&self.nats, filter, first, last, wanted).await
    }

    async fn states(&self, filter: &str) -> Result<Vec<(String, KvEntry)>, NatsError> {
        self.batches.entries(filter).await
    }

    async fn load(&self, key: &str) -> Result<Option<KvEntry>, NatsError> {
        self.batches.get(key).await
    }

    async fn save(&self, key: &str, value: Bytes, revision: u64) -> Result<Option<u64>, NatsError> {
        if revision == 0 {
            return Ok(match self.batches.create(key, value).await? {
                KeyCreation::Created(revision) => Some(revision),
                KeyCreation::Exists => None,
            });
        }
        Ok(match self.batches.update(key, value, revision).await? {
            KeyUpdate::Updated(revision) => Some(revision),
            KeyUpdate::Conflict => None,
        })
    }

    async fn put_document(&self, namespace: &str, document: Bytes) -> Result<Reference, StoreError> {
        self.store.put_batch(namespace, document).await
    }

    async fn announce(&self, priority: Priority, id: &str, message: Bytes) -> Result<Publication, NatsError> {
        publish_batch_ready(&self.nats, priority, id, message).await
    }

    async fn set_aside(&self, message: &StreamEvent, reason: &str) -> Result<(), NatsError> {
        tracing::error!(subject = message.subject, sequence = message.sequence, reason, "message set aside");
        dead_letter(&self.nats, &message.subject, message.sequence, reason, message.payload.clone()).await.map(|_| ())
    }
}

impl Reading for EventReader {
    async fn next(&mut self) -> Result<StreamEvent, NatsError> {
        Self::next(self).await
    }

    fn caught_up(&self) -> impl Future<Output = Result<bool, NatsError>> + Send + 'static {
        Self::caught_up(self)
    }

    fn pending(&self) -> Option<u64> {
        Self::pending(self)
    }
}
