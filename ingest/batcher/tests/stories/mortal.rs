//! Everything the batcher asks of others, and a place to die between two calls.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use tokio::sync::Notify;
use trackway_batcher::{Outside, Reading, Real};
use trackway_crds::contracts::Reference;
use trackway_crds::track::Priority;
use trackway_nats::{EventReader, KvEntry, NatsError, Publication, StreamEvent};
use trackway_store::StoreError;

/// As [`Real`], until the call of this number; that one and all later ones never end.
#[derive(Clone)]
pub struct Mortal {
    real: Real,
    fate: Arc<Fate>,
}

struct Fate {
    /// The last call.
    dies_at: u64,
    /// Whether its effect is still seen.
    after: bool,
    calls: AtomicU64,
    /// The name of the last call, once it was made.
    died_at: OnceLock<&'static str>,
    dead: Notify,
}

impl Mortal {
    pub fn new(real: Real, dies_at: u64, after: bool) -> Self {
        Self {
            real,
            fate: Arc::new(Fate { dies_at, after, calls: AtomicU64::new(0), died_at: OnceLock::new(), dead: Notify::new() }),
        }
    }

    /// Never dies.
    pub fn immortal(real: Real) -> Self {
        Self::new(real, u64::MAX, false)
    }

    /// The call at which it died.
    pub async fn died(&self) -> &'static str {
        self.fate.dead.notified().await;
        self.fate.died_at.get().unwrap()
    }
}

impl Fate {
    async fn call<T>(&self, name: &'static str, call: impl Future<Output = T>) -> T {
        let number = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if number < self.dies_at {
            return call.await;
        }
        if number == self.dies_at {
            if self.after {
                call.await;
            }
            self.died_at.set(name).unwrap();
            self.dead.notify_one();
        }
        std::future::pending().await
    }
}

impl Outside for Mortal {
    type Reading = MortalReading;

    async fn follow(&self, partition: u8, after: u64) -> Result<MortalReading, NatsError> {
        let real = self.fate.call("follow", self.real.follow(partition, after)).await?;
        Ok(MortalReading { real, fate: Arc::clone(&self.fate) })
    }

    async fn read_range(
        &self,
        filter: &str,
        first: u64,
        last: u64,
        wanted: impl Fn(&StreamEvent) -> bool + Send,
    ) -> Result<Vec<StreamEvent>, NatsError> {
        self.fate.call("read_range", self.real.read_range(filter, first, last, wanted)).await
    }

    async fn states(&self, filter: &str) -> Result<Vec<(String, KvEntry)>, NatsError> {
        self.fate.call("states", self.real.states(filter)).await
    }

    async fn load(&self, key: &str) -> Result<Option<KvEntry>, NatsError> {
        self.fate.call("load", self.real.load(key)).await
    }

    async fn save(&self, key: &str, value: Bytes, revision: u64) -> Result<Option<u64>, NatsError> {
        self.fate.call("save", self.real.save(key, value, revision)).await
    }

    async fn put_document(&self, namespace: &str, document: Bytes) -> Result<Reference, StoreError> {
        self.fate.call("put_document", self.real.put_document(namespace, document)).await
    }

    async fn announce(&self, priority: Priority, id: &str, message: Bytes) -> Result<Publication, NatsError> {
        self.fate.call("announce", self.real.announce(priority, id, message)).await
    }

    async fn set_aside(&self, message: &StreamEvent, reason: &str) -> Result<(), NatsError> {
        self.fate.call("set_aside", self.real.set_aside(message, reason)).await
    }
}

pub struct MortalReading {
    real: EventReader,
    fate: Arc<Fate>,
}

impl Reading for MortalReading {
    async fn next(&mut self) -> Result<StreamEvent, NatsError> {
        let event = Reading::next(&mut self.real).await;
        // Waiting is no call: it is cancelled and begun anew all the time.
        if self.fate.calls.load(Ordering::Relaxed) >= self.fate.dies_at {
            return std::future::pending().await;
        }
        event
    }

    fn caught_up(&self) -> impl Future<Output = Result<bool, NatsError>> + Send + 'static {
        let (fate, call) = (Arc::clone(&self.fate), Reading::caught_up(&self.real));
        async move { fate.call("caught_up", call).await }
    }

    fn pending(&self) -> Option<u64> {
        Reading::pending(&self.real)
    }
}
