//! Every batch that was announced, with the ids of the events in its document.

use crate::world::{NAMESPACE, World};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::time::timeout;
use trackway_crds::{
    contracts::{BatchDocument, BatchInfo, BatchReady, Reference},
    track::Level,
};
use trackway_nats::BatchReadyConsumer;
use trackway_store::PayloadStore;

const LIMIT: Duration = Duration::from_secs(180);
/// Longer than any batch stays open and its announcement takes.
const SILENCE: Duration = Duration::from_secs(20);

pub struct Announced {
    pub info: BatchInfo,
    /// Its document.
    pub input: Reference,
    /// Of the document, in its order.
    pub events: Vec<String>,
}

/// Waits until the batches of both levels hold `count` events each, or none comes any more.
pub async fn wait_for(world: &World, count: usize) -> Vec<Announced> {
    let nats = world.connect().await;
    let store = PayloadStore::open("nats://", Some(&nats)).unwrap();
    let mut consumer = BatchReadyConsumer::open(&nats, "test").await.unwrap();
    let mut found: BTreeMap<String, Announced> = BTreeMap::new();
    let since = Instant::now();
    while since.elapsed() < LIMIT && !complete(&found, count) {
        let Ok(delivery) = timeout(SILENCE, consumer.next()).await else { break };
        let delivery = delivery.unwrap();
        let ready: BatchReady = serde_json::from_slice(delivery.payload()).unwrap();
        let document = store.get_batch(NAMESPACE, &ready.input).await.unwrap();
        let document: BatchDocument = serde_json::from_slice(&document).unwrap();
        assert_eq!(document.batch, ready.batch, "document and announcement agree");
        let events = document.events.into_iter().map(|event| event.id).collect();
        delivery.ack().await.unwrap();
        let id = ready.batch.id.clone();
        let before = found.insert(id.clone(), Announced { info: ready.batch, input: ready.input, events });
        assert!(before.is_none_or(|before| before.events == found[&id].events), "batch {id} was announced twice, and differs");
    }
    found.into_values().collect()
}

fn complete(found: &BTreeMap<String, Announced>, count: usize) -> bool {
    [Level::Tenant, Level::User].iter().all(|level| {
        let events: usize = found.values().filter(|batch| batch.info.level == *level).map(|batch| batch.events.len()).sum();
        events >= count
    })
}
