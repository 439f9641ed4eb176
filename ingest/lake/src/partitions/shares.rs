//! Which partitions this process writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Context;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use trackway_crds::names::EVENT_PARTITIONS;
use trackway_nats::{Kv, Membership, Nats, NatsError, with_retry};
use trackway_service::unless;

use crate::partitions::buffer::{Budget, FlushPolicy};
use crate::partitions::metrics::Metrics;
use crate::partitions::partition::Partition;
use crate::partitions::range::RangeWriter;

/// What writes ranges of all partitions together with its replicas.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its name among the members: replicas of the same name share the partitions.
    pub name: &'static str,
    /// This process among the replicas; new with every start. Letters, digits, `-` and `_`.
    pub instance: String,
    /// Its bucket of checkpoints.
    pub checkpoints: Kv,
    /// How large a range becomes.
    pub policy: FlushPolicy,
    /// Bytes of events that may wait in memory.
    pub memory_bytes: u64,
    /// How many partitions may write at the same time.
    pub flushes_at_once: usize,
    /// What is counted.
    pub metrics: Metrics,
}

/// Writes the partitions that are this process's until `stop`. `begun` is called as soon as it has joined the others.
///
/// # Errors
/// What a person must mend: NATS refuses the user or one of its subjects; a checkpoint is none.
pub async fn write_owned<W: RangeWriter>(
    nats: &Nats,
    component: Component,
    writer: Arc<W>,
    begun: impl FnOnce(),
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let join = || Membership::join(nats, component.name, &component.instance);
    let Some(membership) = unless(stop, with_retry(None, "join the members", join)).await else { return Ok(()) };
    let membership = membership.context("cannot share the partitions with other replicas")?;
    begun();
    let outcome = follow_shares(nats, &component, writer, &membership, stop).await;
    // Everything is written or will be by others; they need not wait for our silence.
    membership.leave().await;
    outcome
}

async fn follow_shares<W: RangeWriter>(
    nats: &Nats,
    component: &Component,
    writer: Arc<W>,
    membership: &Membership,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut owned = membership.partitions();
    let mut shares = Shares::new(nats, component, writer);
    loop {
        let now = owned.borrow_and_update().clone();
        shares.become_owner_of(&now);
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            changed = owned.changed() => changed.context("the list of members broke")?,
            error = shares.failed() => return Err(error).context("cannot write a partition"),
        }
    }
}

/// A task for each partition that is ours.
struct Shares<W> {
    nats: Arc<Nats>,
    checkpoints: Arc<Kv>,
    writer: Arc<W>,
    component: Component,
    budget: Budget,
    flushes: Arc<Semaphore>,
    tasks: JoinSet<NatsError>,
    running: BTreeMap<u8, AbortHandle>,
}

impl<W: RangeWriter> Shares<W> {
    fn new(nats: &Nats, component: &Component, writer: Arc<W>) -> Self {
        Self {
            nats: Arc::new(nats.clone()),
            checkpoints: Arc::new(component.checkpoints.clone()),
            writer,
            component: component.clone(),
            budget: Budget::new(component.memory_bytes, EVENT_PARTITIONS),
            flushes: Arc::new(Semaphore::new(component.flushes_at_once.max(1))),
            tasks: JoinSet::new(),
            running: BTreeMap::new(),
        }
    }

    fn become_owner_of(&mut self, partitions: &BTreeSet<u8>) {
        self.running.retain(|partition, task| {
            let ours = partitions.contains(partition);
            if !ours {
                task.abort();
            }
            ours
        });
        for partition in partitions {
            if !self.running.contains_key(partition) {
                let partition = self.partition(*partition);
                let number = partition.number;
                let run = async move {
                    match partition.run().await {
                        Ok(never) => match never {},
                        Err(error) => error,
                    }
                };
                self.running.insert(number, self.tasks.spawn(run));
            }
        }
    }

    fn partition(&self, number: u8) -> Partition<Nats, Kv, W> {
        Partition {
            number,
            history: Arc::clone(&self.nats),
            checkpoints: Arc::clone(&self.checkpoints),
            writer: Arc::clone(&self.writer),
            policy: self.component.policy,
            budget: self.budget.clone(),
            flushes: Arc::clone(&self.flushes),
            metrics: self.component.metrics.clone(),
        }
    }

    /// Why a partition ended by itself.
    async fn failed(&mut self) -> anyhow::Error {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(error)) => return error.into(),
                Some(Err(error)) if error.is_panic() => return error.into(),
                // Aborted, because it is another's now.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }
}
