//! One partition: its events in the order of the stream, its keys, its outboxes, its checkpoint.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tokio_util::sync::CancellationToken;
use trackway_batching::{Arrival, BatchingPolicy, next_tick, published, tick};
use trackway_crds::contracts::{CONTRACT, StoredEvent};
use trackway_crds::track::Level;
use trackway_nats::{KvEntry, NatsError, StreamEvent, with_retry};
use trackway_service::read_event;

use crate::announce::Order;
use crate::event::{checkpoint_key, state_key, states_filter};
use crate::keys::Held;
use crate::metrics::PartitionLabels;
use crate::outside::{Outside, Reading};
use crate::owned::Batcher;

/// So many events, or so long, are applied to a key in one write.
const GROUP: usize = 256;
const GROUP_TIME: Duration = Duration::from_millis(50);
/// Keys of a group that are written at the same time.
const WRITES_AT_ONCE: usize = 16;
/// How often what is due is looked for and the checkpoint is written.
const TICK: Duration = Duration::from_secs(1);
/// A replica that says all was delivered may be so far behind.
const LATE: SignedDuration = SignedDuration::from_millis(200);
/// Events that may wait for full outboxes before the partition is read no further.
const WAITING_MAX: usize = 100_000;

/// Value of `<partition>.checkpoint`: every event up to `applied` is in its batches.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
struct Checkpoint {
    contract: u32,
    applied: u64,
}

pub(crate) struct Partition<O: Outside> {
    number: u8,
    batcher: Batcher<O>,
    /// Those with something open, sealed or waiting.
    keys: BTreeMap<String, Held>,
    /// Keys with a batch on its way out.
    announced: BTreeSet<String>,
    orders: JoinSet<Order>,
    /// The last event read, and when it was stored.
    read: u64,
    read_at: Timestamp,
    checkpoint: u64,
    checkpoint_revision: u64,
}

/// A level's policy is switched off: what is open is sealed at the next tick, so that nothing stays behind.
const SWITCHED_OFF: BatchingPolicy =
    BatchingPolicy { high: None, medium: None, low: None, max_age_millis: 0, min_gap_millis: 0, ..BatchingPolicy::TENANT };

impl<O: Outside> Partition<O> {
    /// Works on the partition until `stop`.
    ///
    /// # Errors
    /// Only what a person must mend.
    pub(crate) async fn run(number: u8, batcher: Batcher<O>, stop: CancellationToken) -> Result<(), NatsError> {
        let metrics = batcher.metrics.clone();
        let work = async {
            let mut partition = Self::load(number, batcher).await?;
            let read = partition.read;
            let follow = || partition.batcher.outside.follow(number, read);
            let mut reading = with_retry(None, "read events", follow).await?;
            partition.work(&mut reading, &stop).await?;
            partition.write_checkpoint().await
        };
        let outcome = work.await;
        metrics.forget(number);
        outcome
    }

    /// What the bucket knows of the partition.
    async fn load(number: u8, batcher: Batcher<O>) -> Result<Self, NatsError> {
        let (key, filter) = (checkpoint_key(number), states_filter(number));
        let entry = with_retry(None, "read a checkpoint", || batcher.outside.load(&key)).await?;
        let checkpoint = entry.as_ref().map_or(Ok(0), |entry| parse(&key, entry))?;
        let mut partition = Self {
            number,
            keys: BTreeMap::new(),
            announced: BTreeSet::new(),
            orders: JoinSet::new(),
            read: checkpoint,
            read_at: Timestamp::MIN,
            checkpoint,
            checkpoint_revision: entry.map_or(0, |entry| entry.revision),
            batcher,
        };
        for (key, entry) in with_retry(None, "read open batches", || partition.batcher.outside.states(&filter)).await? {
            let mut held = Held::parse(key, &entry)?;
            held.due = next_tick(&held.state, &policy(&partition.batcher, &held));
            partition.put_back(held);
        }
        Ok(partition)
    }

    async fn work(&mut self, reading: &mut O::Reading, stop: &CancellationToken) -> Result<(), NatsError> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let waiting: usize = self.keys.values().map(|held| held.waiting.len()).sum();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {
                    self.tick(reading.caught_up()).await?;
                    self.write_checkpoint().await?;
                    self.show(reading.pending(), waiting);
                }
                Some(order) = self.orders.join_next() => self.announced(order).await?,
                event = reading.next(), if waiting < WAITING_MAX => self.group(event?, reading).await?,
            }
        }
    }

    /// The event that came and those right behind it, each to its keys.
    async fn group(&mut self, first: StreamEvent, reading: &mut O::Reading) -> Result<(), NatsError> {
        let until = Instant::now() + GROUP_TIME;
        let mut messages = vec![first];
        while messages.len() < GROUP {
            match timeout_at(until, reading.next()).await {
                Ok(message) => messages.push(message?),
                Err(_) => break,
            }
        }
        let mut groups: BTreeMap<String, (StoredEvent, VecDeque<Arrival>)> = BTreeMap::new();
        for message in &messages {
            match read_event(message) {
                Ok(event) => self.sort(message, event, &mut groups),
                Err(reason) => {
                    self.batcher.metrics.unreadable.inc();
                    with_retry(None, "set a message aside", || self.batcher.outside.set_aside(message, &reason)).await?;
                }
            }
            (self.read, self.read_at) = (message.sequence, self.read_at.max(message.stored_at));
        }
        let writes: Vec<_> = groups
            .into_iter()
            .map(|(key, (event, arrivals))| {
                let held = self.keys.remove(&key);
                let user = key.contains(".state.U.").then_some(event.user).flatten();
                let batcher = self.batcher.clone();
                async move {
                    let mut held = match held {
                        Some(held) => held,
                        None => Held::load(&batcher.outside, key, &event.tenant, user.as_deref()).await?,
                    };
                    held.waiting.extend(arrivals);
                    take(&batcher, held).await
                }
            })
            .collect();
        let written: Vec<Held> = stream::iter(writes).buffer_unordered(WRITES_AT_ONCE).try_collect().await?;
        written.into_iter().for_each(|held| self.put_back(held));
        Ok(())
    }

    /// An event counts for its tenant and, if it has one, for its user.
    fn sort(&self, message: &StreamEvent, event: StoredEvent, groups: &mut BTreeMap<String, (StoredEvent, VecDeque<Arrival>)>) {
        let bytes = message.payload.len() as u64;
        let arrival = Arrival { sequence: message.sequence, at: message.stored_at, priority: event.priority, bytes };
        let event = StoredEvent { data: serde_json::Value::Null, ..event };
        let levels = [(Level::Tenant, Some(None)), (Level::User, event.user.as_deref().map(Some))];
        for (level, user) in levels {
            let Some(user) = user.filter(|_| self.batcher.config.policy(level, &event.tenant).is_some()) else { continue };
            let key = state_key(self.number, &event.tenant, user);
            groups.entry(key).or_insert_with(|| (event.clone(), VecDeque::new())).1.push_back(arrival);
        }
    }

    /// Seals what is due, by a time that the stream has reached.
    async fn tick(&mut self, caught_up: impl Future<Output = Result<bool, NatsError>>) -> Result<(), NatsError> {
        let wall = Timestamp::now().saturating_sub(LATE).unwrap_or(Timestamp::MIN);
        if !self.keys.values().any(|held| held.ticks_at(wall)) {
            return Ok(());
        }
        let reached = match caught_up.await {
            Ok(true) => wall,
            Ok(false) => wall.min(self.read_at),
            Err(error) => {
                tracing::debug!(partition = self.number, %error, "not known how far the stream is");
                wall.min(self.read_at)
            }
        };
        let due: Vec<String> = self.keys.values().filter(|held| held.ticks_at(reached)).map(|held| held.key.clone()).collect();
        let due: Vec<Held> = due.iter().filter_map(|key| self.keys.remove(key)).collect();
        let writes: Vec<_> = due
            .into_iter()
            .map(|mut held| {
                let (batcher, policy) = (self.batcher.clone(), policy(&self.batcher, &held));
                async move {
                    held.change(&batcher.outside, &batcher.metrics, |state| tick(state, &policy, reached)).await?;
                    held.due = next_tick(&held.state, &policy);
                    Ok::<_, NatsError>(held)
                }
            })
            .collect();
        let written: Vec<Held> = stream::iter(writes).buffer_unordered(WRITES_AT_ONCE).try_collect().await?;
        written.into_iter().for_each(|held| self.put_back(held));
        Ok(())
    }

    /// A batch was announced: out of the outbox with it, and on with what waited for its place.
    async fn announced(&mut self, order: Result<Order, tokio::task::JoinError>) -> Result<(), NatsError> {
        let order = order.map_err(|error| NatsError::Permanent {
            action: "announce a batch".to_owned(),
            reason: format!("its task ended: {error}"),
        })?;
        self.announced.remove(&order.key);
        let Some(mut held) = self.keys.remove(&order.key) else { return Ok(()) };
        let id = order.id();
        held.change(&self.batcher.outside, &self.batcher.metrics, |state| published(state, &id)).await?;
        let held = take(&self.batcher, held).await?;
        self.put_back(held);
        Ok(())
    }

    /// Keeps the key if it has anything to do, and sends its oldest sealed batch on its way.
    fn put_back(&mut self, held: Held) {
        if let Some(batch) = held.state.outbox.first().filter(|_| !self.announced.contains(&held.key)) {
            let (key, state) = (held.key.clone(), held.state.clone());
            self.announced.insert(key.clone());
            let order = Order { key, state, batch: batch.clone(), failed: 0 };
            self.orders.spawn(order.fulfil(self.batcher.clone()));
        }
        if held.is_active() {
            self.keys.insert(held.key.clone(), held);
        }
    }

    /// Every event up to the checkpoint is in its batches, so that the next reader may begin after it.
    async fn write_checkpoint(&mut self) -> Result<(), NatsError> {
        let waits = self.keys.values().filter_map(|held| held.waiting.front()).map(|arrival| arrival.sequence).min();
        let applied = waits.map_or(self.read, |first| first - 1);
        let key = checkpoint_key(self.number);
        while applied > self.checkpoint {
            let value = serde_json::to_vec(&Checkpoint { contract: CONTRACT, applied });
            let value =
                value.map_err(|error| NatsError::Permanent { action: format!("write {key}"), reason: error.to_string() })?;
            let (outside, revision) = (&self.batcher.outside, self.checkpoint_revision);
            let saved = with_retry(None, "write a checkpoint", || outside.save(&key, value.clone().into(), revision)).await?;
            if let Some(revision) = saved {
                (self.checkpoint, self.checkpoint_revision) = (applied, revision);
                break;
            }
            // Another process was here; what either says is true.
            let entry = with_retry(None, "read a checkpoint", || outside.load(&key)).await?;
            self.checkpoint = entry.as_ref().map_or(Ok(0), |entry| parse(&key, entry))?;
            self.checkpoint_revision = entry.map_or(0, |entry| entry.revision);
        }
        Ok(())
    }

    fn show(&self, pending: Option<u64>, waiting: usize) {
        let labels = PartitionLabels { partition: self.number.into() };
        let metrics = &self.batcher.metrics;
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let open = self.keys.values().filter(|held| held.state.open.is_some()).count();
        let outbox: usize = self.keys.values().map(|held| held.state.outbox.len()).sum();
        metrics.open.get_or_create(&labels).set(number(open));
        metrics.outbox.get_or_create(&labels).set(number(outbox));
        let pending = pending.map_or(0, |pending| i64::try_from(pending).unwrap_or(i64::MAX));
        metrics.lag.get_or_create(&labels).set(pending.saturating_add(number(waiting)));
    }
}

async fn take<O: Outside>(batcher: &Batcher<O>, mut held: Held) -> Result<Held, NatsError> {
    let policy = policy(batcher, &held);
    held.take(&batcher.outside, &batcher.metrics, &policy).await?;
    Ok(held)
}

/// What holds for a key; also when its level has been switched off since.
fn policy<O: Outside>(batcher: &Batcher<O>, held: &Held) -> BatchingPolicy {
    batcher.config.policy(held.state.level(), &held.state.tenant).unwrap_or(SWITCHED_OFF)
}

fn parse(key: &str, entry: &KvEntry) -> Result<u64, NatsError> {
    let unusable = |reason: String| NatsError::Permanent {
        action: format!("use {key} of the bucket batches"),
        reason: format!("{reason}; run the release that wrote it"),
    };
    let checkpoint: Checkpoint = serde_json::from_slice(&entry.value).map_err(|error| unusable(error.to_string()))?;
    if checkpoint.contract != CONTRACT {
        return Err(unusable(format!("it has contract {}, known is {CONTRACT}", checkpoint.contract)));
    }
    Ok(checkpoint.applied)
}
