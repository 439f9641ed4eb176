//! A world in memory where any step may fail or be the process's last. Time is the test's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use trackway_crds::contracts::StoredEvent;
use trackway_lake::LakeWriter;
use trackway_lake::partitions::{
    Budget, Checkpoint, Checkpoints, EventRange, FlushPolicy, History, Metrics, Partition, RangeWriter, Reader, WriteError,
    Written,
};
use trackway_nats::{NatsError, StreamEvent, event_subject};
use trackway_store::Files;

pub(crate) const PARTITION: u8 = 7;

/// What becomes of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// The process ends before it.
    DiesBefore,
    /// The process ends while it is half done; of a write, with one tenant's files there and the others' not.
    DiesWithin,
    /// The process ends when it is done and knows nothing of it.
    DiesAfter,
    /// Nothing happens, and the process is told so.
    Fails,
    /// It is done, and the process is told that it failed.
    FailsWhenDone,
}

pub(crate) const MISHAPS: [Mishap; 5] =
    [Mishap::DiesBefore, Mishap::DiesWithin, Mishap::DiesAfter, Mishap::Fails, Mishap::FailsWhenDone];

/// Stream, checkpoint and lake. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct World(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    messages: Vec<StreamEvent>,
    checkpoint: Option<(Checkpoint, u64)>,
    set_aside: BTreeSet<u64>,
}

impl World {
    /// Stores `events`, with gaps between their sequences as other partitions make them.
    pub(crate) fn publish(&self, events: &[StoredEvent]) {
        for event in events {
            self.publish_to(event_subject(event).unwrap(), serde_json::to_vec(event).unwrap());
        }
    }

    pub(crate) fn publish_text(&self, text: impl Into<Vec<u8>>) {
        self.publish_to("EVENTS.7.t.-.stranger".to_owned(), text.into());
    }

    fn publish_to(&self, subject: String, text: Vec<u8>) {
        let mut state = self.0.lock().unwrap();
        let sequence = state.messages.last().map_or(1, |last| last.sequence + 1 + last.sequence % 3);
        let payload = text.into();
        let stored_at = Timestamp::UNIX_EPOCH;
        state.messages.push(StreamEvent { sequence, subject, payload, stored_at });
    }

    /// Removes the first `count` messages, as the stream does when they are old.
    pub(crate) fn expire(&self, count: usize) {
        self.0.lock().unwrap().messages.drain(..count);
    }

    pub(crate) fn checkpoint(&self) -> Checkpoint {
        self.0.lock().unwrap().checkpoint.clone().map_or_else(Checkpoint::default, |(checkpoint, _)| checkpoint)
    }

    pub(crate) fn set_aside(&self) -> usize {
        self.0.lock().unwrap().set_aside.len()
    }

    pub(crate) fn all_written(&self) -> bool {
        let last = self.0.lock().unwrap().messages.last().map_or(0, |last| last.sequence);
        let Checkpoint { applied, pending, .. } = self.checkpoint();
        applied >= last && pending.is_none()
    }
}

/// A process with its mishaps, by number of the step.
#[derive(Clone)]
pub(crate) struct Process {
    world: World,
    steps: Arc<AtomicUsize>,
    mishaps: Arc<BTreeMap<usize, Mishap>>,
    pub(crate) died: CancellationToken,
    /// Milliseconds a step takes, drawn from here.
    pace: Option<Arc<Mutex<fastrand::Rng>>>,
}

impl Process {
    pub(crate) fn new(world: &World, mishaps: impl IntoIterator<Item = (usize, Mishap)>) -> Self {
        Self {
            world: world.clone(),
            steps: Arc::default(),
            mishaps: Arc::new(mishaps.into_iter().collect()),
            died: CancellationToken::new(),
            pace: None,
        }
    }

    pub(crate) fn paced_by(self, random: fastrand::Rng) -> Self {
        Self { pace: Some(Arc::new(Mutex::new(random))), ..self }
    }

    pub(crate) fn steps(&self) -> usize {
        self.steps.load(Ordering::SeqCst)
    }

    /// Runs the partition with this process until it dies or everything is written.
    pub(crate) async fn run(&self, files: &Files, metrics: &Metrics) {
        let partition = Partition {
            number: PARTITION,
            history: Arc::new(self.clone()),
            checkpoints: Arc::new(self.clone()),
            writer: Arc::new(Writing { process: self.clone(), lake: LakeWriter::new(files.clone()) }),
            policy: FlushPolicy { rows: 6, bytes: 1 << 20, age: Duration::from_secs(60) },
            budget: Budget::new(1 << 30, 64),
            flushes: Arc::new(Semaphore::new(1)),
            metrics: metrics.clone(),
        };
        let done = async {
            while !self.world.all_written() {
                tokio::time::sleep(Duration::from_millis(7)).await;
            }
        };
        tokio::select! {
            outcome = partition.run() => panic!("{outcome:?}"),
            () = self.died.cancelled() => {}
            () = done => {}
        }
    }

    async fn step<T>(&self, work: impl Future<Output = T>, within: impl Future<Output = ()>, failed: impl FnOnce() -> T) -> T {
        let number = self.steps.fetch_add(1, Ordering::SeqCst);
        if let Some(pace) = &self.pace {
            let millis = pace.lock().unwrap().u64(0..20);
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
        match self.mishaps.get(&number) {
            None => work.await,
            Some(Mishap::DiesBefore) => self.die().await,
            Some(Mishap::DiesWithin) => {
                within.await;
                self.die().await
            }
            Some(Mishap::DiesAfter) => {
                work.await;
                self.die().await
            }
            Some(Mishap::Fails) => failed(),
            Some(Mishap::FailsWhenDone) => {
                work.await;
                failed()
            }
        }
    }

    async fn die<T>(&self) -> T {
        self.died.cancel();
        std::future::pending().await
    }

    async fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> Result<T, NatsError> {
        let work = async { Ok(work(&mut self.world.0.lock().unwrap())) };
        self.step(work, async {}, || Err(NatsError::Transient { action: "step".into(), reason: "away".into() })).await
    }
}

impl History for Process {
    type Reader = Reading;

    async fn follow(&self, _: u8, after: u64) -> Result<Reading, NatsError> {
        let world = self.world.clone();
        self.with(|_| Reading { world, after }).await
    }

    async fn read_range(&self, _: u8, first: u64, last: u64) -> Result<Vec<StreamEvent>, NatsError> {
        let within = |message: &&StreamEvent| (first..=last).contains(&message.sequence);
        self.with(|state| state.messages.iter().filter(within).cloned().collect()).await
    }

    async fn set_aside(&self, message: &StreamEvent, _: &str) -> Result<(), NatsError> {
        self.with(|state| {
            state.set_aside.insert(message.sequence);
        })
        .await
    }
}

pub(crate) struct Reading {
    world: World,
    after: u64,
}

impl Reader for Reading {
    async fn next(&mut self) -> Result<StreamEvent, NatsError> {
        loop {
            let next = {
                let state = self.world.0.lock().unwrap();
                state.messages.iter().find(|message| message.sequence > self.after).cloned()
            };
            if let Some(message) = next {
                self.after = message.sequence;
                return Ok(message);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Checkpoints for Process {
    async fn load(&self, _: u8) -> Result<(Checkpoint, u64), NatsError> {
        self.with(|state| state.checkpoint.clone().unwrap_or_default()).await
    }

    async fn save(&self, _: u8, checkpoint: &Checkpoint, revision: u64) -> Result<Option<u64>, NatsError> {
        self.with(|state| {
            let now = state.checkpoint.as_ref().map_or(0, |(_, revision)| *revision);
            (now == revision).then(|| {
                state.checkpoint = Some((checkpoint.clone(), revision + 1));
                revision + 1
            })
        })
        .await
    }
}

struct Writing {
    process: Process,
    lake: LakeWriter,
}

impl RangeWriter for Writing {
    async fn write(&self, range: Arc<EventRange>) -> Result<Written, WriteError> {
        let some = async {
            let mut part = EventRange::clone(&range);
            let tenant = part.events.first().map(|one| one.event.tenant.clone());
            part.events.retain(|one| Some(&one.event.tenant) == tenant.as_ref());
            self.lake.write(Arc::new(part)).await.unwrap();
        };
        let all = self.lake.write(Arc::clone(&range));
        self.process.step(all, some, || Err(WriteError::Transient("the store is away".into()))).await
    }
}
