//! The partitions that are ours: one task each, as members come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use trackway_nats::NatsError;
use trackway_sources::IngestConfig;

use crate::metrics::Metrics;
use crate::outside::Outside;
use crate::partition::Partition;

/// Each holds a batch of up to 12 MiB a few times over.
const ANNOUNCED_AT_ONCE: usize = 4;
/// What is in hand may be finished for so long; what is not, the next owner repeats.
const GRACE: Duration = Duration::from_secs(10);

/// What all partitions of a process share. Clones share it.
#[derive(Clone, Debug)]
pub struct Batcher<O> {
    pub(crate) outside: O,
    pub(crate) config: Arc<IngestConfig>,
    pub(crate) metrics: Metrics,
    pub(crate) announcing: Arc<Semaphore>,
}

impl<O: Outside> Batcher<O> {
    /// A batcher that asks `outside`, by the rules of `config`.
    #[must_use]
    pub fn new(outside: O, config: Arc<IngestConfig>, metrics: Metrics) -> Self {
        Self { outside, config, metrics, announcing: Arc::new(Semaphore::new(ANNOUNCED_AT_ONCE)) }
    }
}

/// Works on `partitions`, as they change, until `stop`. Calls `working` when the first of them have begun.
///
/// # Errors
/// Only what a person must mend.
pub async fn work<O: Outside>(
    batcher: Batcher<O>,
    mut partitions: watch::Receiver<BTreeSet<u8>>,
    working: impl FnOnce(),
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut running: BTreeMap<u8, CancellationToken> = BTreeMap::new();
    let mut tasks: JoinSet<(u8, Result<(), NatsError>)> = JoinSet::new();
    let mut working = Some(working);
    loop {
        let ours = partitions.borrow_and_update().clone();
        running.iter().filter(|(number, _)| !ours.contains(*number)).for_each(|(_, stop)| stop.cancel());
        for number in ours {
            // One that came back to us begins anew once its task has ended.
            running.entry(number).or_insert_with(|| {
                let (batcher, stop) = (batcher.clone(), stop.child_token());
                let until = stop.clone();
                tasks.spawn(async move { (number, Partition::run(number, batcher, until).await) });
                stop
            });
        }
        if let Some(working) = working.take() {
            working();
        }
        tokio::select! {
            () = stop.cancelled() => break,
            changed = partitions.changed() => changed.context("nobody says which partitions are ours")?,
            Some(ended) = tasks.join_next() => {
                let (number, outcome) = ended.context("a partition's task broke")?;
                outcome.with_context(|| format!("partition {number}"))?;
                running.remove(&number);
            }
        }
    }
    let finished = async {
        while let Some(ended) = tasks.join_next().await {
            let (number, outcome) = ended.context("a partition's task broke")?;
            outcome.with_context(|| format!("partition {number}"))?;
        }
        Ok(())
    };
    timeout(GRACE, finished).await.unwrap_or_else(|_| {
        tracing::warn!("not all was finished in time, the next owner repeats it");
        Ok(())
    })
}
