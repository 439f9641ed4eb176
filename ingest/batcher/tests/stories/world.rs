//! A NATS server, a store, senders, and a listener who keeps every announcement.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trackway_batcher::{Batcher, Metrics, Outside, Real, work};
use trackway_crds::contracts::{BatchDocument, BatchReady, StoredEvent};
use trackway_crds::names::{event_key, partition};
use trackway_crds::track::{Level, Priority};
use trackway_nats::{
    BatchReadyConsumer, Credentials, EventPublication, Nats, NatsConfig, StreamSettings, ensure_streams, event_subject,
    publish_event,
};
use trackway_sources::IngestConfig;
use trackway_store::PayloadStore;
use trackway_test_support::NatsServer;

/// Longer than any wait of these tests should be.
pub const LIMIT: Duration = Duration::from_secs(60);

pub struct World {
    pub server: NatsServer,
    pub nats: Nats,
    pub store: PayloadStore,
    pub config: Arc<IngestConfig>,
    /// All of the stream, in its order, with sequences.
    pub sent: Vec<(u64, StoredEvent)>,
    heard: BatchReadyConsumer,
    /// By id.
    pub announced: BTreeMap<String, BatchReady>,
}

pub fn nats_config(server: &NatsServer) -> NatsConfig {
    NatsConfig {
        url: server.url(),
        credentials: Credentials::None,
        inbox_prefix: "_INBOX_test".to_owned(),
        ca_file: None,
        name: "test".to_owned(),
    }
}

impl World {
    pub async fn start(config: &str) -> Self {
        let server = NatsServer::start().await.unwrap();
        let nats = Nats::connect(&nats_config(&server), None).await.unwrap();
        ensure_streams(&nats, StreamSettings::default()).await.unwrap();
        let heard = BatchReadyConsumer::open(&nats, "test").await.unwrap();
        let store = PayloadStore::open("memory://", None).unwrap();
        let config = Arc::new(IngestConfig::parse(config).unwrap());
        Self { server, nats, store, config, sent: Vec::new(), heard, announced: BTreeMap::new() }
    }

    pub fn real(&self) -> Real {
        Real::new(&self.nats, self.store.clone())
    }

    /// A batcher for these tenants' partitions; ends when aborted.
    pub fn batcher(&self, outside: impl Outside, tenants: &[&str]) -> JoinHandle<()> {
        let batcher = Batcher::new(outside, Arc::clone(&self.config), Metrics::new().0);
        let partitions: BTreeSet<u8> = tenants.iter().map(|tenant| partition(tenant)).collect();
        tokio::spawn(async move {
            let (_tell, partitions) = watch::channel(partitions);
            work(batcher, partitions, || {}, &CancellationToken::new()).await.unwrap();
        })
    }

    /// Sends all of them at once; they are in the stream when it returns.
    pub async fn send(&mut self, events: Vec<StoredEvent>) {
        let send = |event: StoredEvent| {
            let nats = self.nats.clone();
            async move {
                let payload = serde_json::to_vec(&event).unwrap();
                let published = publish_event(&nats, &event_subject(&event).unwrap(), payload.into()).await.unwrap();
                let EventPublication::Stored { sequence } = published else { panic!("{} is there already", event.id) };
                (sequence, event)
            }
        };
        let mut sent: Vec<_> = stream::iter(events).map(send).buffer_unordered(256).collect().await;
        sent.sort_by_key(|(sequence, _)| *sequence);
        self.sent.extend(sent);
    }

    /// The next announcement of all.
    pub async fn next_batch(&mut self) -> BatchReady {
        let delivery = tokio::time::timeout(LIMIT, self.heard.next()).await.expect("no batch is announced").unwrap();
        let ready: BatchReady = serde_json::from_slice(delivery.payload()).unwrap();
        delivery.ack().await.unwrap();
        assert_eq!((delivery.id(), delivery.priority()), (ready.batch.id.as_str(), ready.batch.priority));
        let before = self.announced.insert(ready.batch.id.clone(), ready.clone());
        assert!(before.is_none(), "batch {} was announced twice", ready.batch.id);
        ready
    }

    /// Listens until as many events were announced of each level as were sent.
    pub async fn until_all_is_announced(&mut self) {
        loop {
            let announced = |level: Level| -> usize {
                let of_level = self.announced.values().filter(|ready| ready.batch.level == level);
                of_level.map(|ready| ready.batch.counts.events as usize).sum()
            };
            let of_users = self.sent.iter().filter(|(_, event)| event.user.is_some()).count();
            if announced(Level::Tenant) >= self.sent.len() && announced(Level::User) >= of_users {
                return;
            }
            self.next_batch().await;
        }
    }

    pub async fn document(&self, namespace: &str, ready: &BatchReady) -> BatchDocument {
        let text = self.store.get_batch(namespace, &ready.input).await.unwrap();
        let document: BatchDocument = serde_json::from_slice(&text).unwrap();
        assert_eq!(document.batch, ready.batch);
        document
    }

    /// Invariant 9, read from nothing but what was announced and stored. Returns how many batches there are.
    pub async fn check_exactly_once(&self) -> usize {
        let mut batch_of: BTreeMap<(Level, String), String> = BTreeMap::new();
        for (id, ready) in &self.announced {
            let info = &ready.batch;
            let mut documents = Vec::new();
            for namespace in self.config.namespaces_of(&info.tenant) {
                documents.push(self.document(namespace, ready).await);
            }
            let events: Vec<&str> = documents[0].events.iter().map(|event| event.id.as_str()).collect();
            assert!(documents.windows(2).all(|pair| pair[0] == pair[1]), "every namespace has the same document");
            for event in &events {
                let before = batch_of.insert((info.level, (*event).to_owned()), id.clone());
                assert!(before.is_none(), "event {event} is in {id} and in {before:?}");
            }
            // A batch is what its key has from its first event to its last, in the order of the stream.
            let of_key = |event: &StoredEvent| {
                event.tenant == info.tenant
                    && (info.level == Level::Tenant || event.user.as_deref() == Some(info.subject.as_str()))
            };
            let key: Vec<&str> =
                self.sent.iter().filter(|(_, event)| of_key(event)).map(|(_, event)| event.id.as_str()).collect();
            let from = key.iter().position(|event| *event == events[0]).unwrap();
            assert_eq!(&key[from..from + events.len()], events, "{id} is contiguous");
        }
        for (_, event) in &self.sent {
            assert!(batch_of.contains_key(&(Level::Tenant, event.id.clone())), "{} is in no tenant's batch", event.id);
            let in_users = batch_of.contains_key(&(Level::User, event.id.clone()));
            assert_eq!(in_users, event.user.is_some(), "{} and users' batches", event.id);
        }
        self.announced.len()
    }
}

/// The `number`th event of a sender.
pub fn event(tenant: &str, user: Option<&str>, priority: Priority, number: usize) -> StoredEvent {
    let id = number.to_string();
    serde_json::from_value(json!({
        "contract": 1, "id": event_key(tenant, "test", "test", &id), "tenant": tenant, "user": user, "origin": "test", "source": "test",
        "ceId": id, "type": if number.is_multiple_of(3) { "push" } else { "issue" }, "time": "2026-11-22T10:00:00Z",
        "receivedAt": "2026-11-22T10:00:00Z", "priority": priority, "data": {"n": number}, "bodySha256": "0",
        "labels": {"team": "x", "number": id},
    }))
    .unwrap()
}
