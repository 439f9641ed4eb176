//! What the batcher counts.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// Labels of a sealed batch.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct SealedLabels {
    /// `Tenant` or `User`.
    pub level: &'static str,
    /// `High`, `Medium` or `Low`.
    pub priority: &'static str,
    /// `threshold`, `age` or `size`.
    pub reason: String,
}

/// Labels of a batch that left the outbox.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// `published`, `repeated` (it had been published before), `unbound` (its tenant belongs to no namespace) or `expired` (none of
    /// its events was left).
    pub outcome: &'static str,
}

/// Labels of a partition.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct PartitionLabels {
    /// Its number.
    pub partition: u32,
}

/// The batcher's metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Events taken, once a level.
    pub events: Counter,
    /// Batches sealed.
    pub sealed: Family<SealedLabels, Counter>,
    /// Batches that left the outbox.
    pub announced: Family<OutcomeLabels, Counter>,
    /// From a batch's sealing to its announcement.
    pub delay: Histogram,
    /// Tries to announce a batch that failed.
    pub failures: Counter,
    /// Times another process was found to have changed a key.
    pub conflicts: Counter,
    /// Messages that are no events.
    pub unreadable: Counter,
    /// Events of sealed batches that expired before the batch was announced.
    pub lost: Counter,
    /// Batches that are open now.
    pub open: Family<PartitionLabels, Gauge>,
    /// Sealed batches that wait to be announced.
    pub outbox: Family<PartitionLabels, Gauge>,
    /// Events that are stored and not yet in a batch.
    pub lag: Family<PartitionLabels, Gauge>,
}

impl Metrics {
    /// All zero, and the registry that knows them.
    #[must_use]
    pub fn new() -> (Self, Registry) {
        let metrics = Self {
            events: Counter::default(),
            sealed: Family::default(),
            announced: Family::default(),
            delay: Histogram::new(exponential_buckets(0.005, 2.0, 16)),
            failures: Counter::default(),
            conflicts: Counter::default(),
            unreadable: Counter::default(),
            lost: Counter::default(),
            open: Family::default(),
            outbox: Family::default(),
            lag: Family::default(),
        };
        let mut registry = Registry::with_prefix("trackway_batcher");
        registry.register("events_applied", "Events taken into batches, once a level", metrics.events.clone());
        registry.register("batches_sealed", "Batches sealed, by why", metrics.sealed.clone());
        registry.register("batches_announced", "Sealed batches by what became of them", metrics.announced.clone());
        registry.register("announcing_delay_seconds", "From a batch's sealing to its announcement", metrics.delay.clone());
        registry.register("announce_failures", "Tries to announce a batch that failed", metrics.failures.clone());
        registry.register("conflicts", "Times another process had changed a key", metrics.conflicts.clone());
        registry.register("unreadable_messages", "Messages that are no events", metrics.unreadable.clone());
        registry.register(
            "lost_events",
            "Events of sealed batches that expired before they were announced",
            metrics.lost.clone(),
        );
        registry.register("open_batches", "Batches that are open", metrics.open.clone());
        registry.register("outbox_batches", "Sealed batches that wait to be announced", metrics.outbox.clone());
        registry.register("lag_events", "Events stored and not yet in a batch", metrics.lag.clone());
        (metrics, registry)
    }

    /// The partition is somebody else's now.
    pub(crate) fn forget(&self, partition: u8) {
        let labels = PartitionLabels { partition: partition.into() };
        for gauges in [&self.open, &self.outbox, &self.lag] {
            gauges.remove(&labels);
        }
    }
}
