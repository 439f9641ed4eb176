//! What the collector counts.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};

/// Labels of a batch.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct BatchLabels {
    /// High, Medium or Low.
    pub priority: &'static str,
    /// `routed`, `unmatched`, `dead_lettered` or `postponed`.
    pub outcome: &'static str,
}

/// Labels of a run.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RunLabels {
    /// Its namespace.
    pub namespace: String,
    /// Its track.
    pub track: String,
}

/// The collector's metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Deliveries by what became of them.
    pub batches: Family<BatchLabels, Counter>,
    /// Runs created.
    pub runs: Family<RunLabels, Counter>,
    /// From the sealing of a batch to the creation of its runs.
    pub delay: Histogram,
}

impl Metrics {
    /// All zero, and the registry that knows them.
    pub fn new() -> (Self, Registry) {
        let batches = Family::<BatchLabels, Counter>::default();
        let runs = Family::<RunLabels, Counter>::default();
        let delay = Histogram::new(exponential_buckets(0.005, 2.0, 16));
        let mut registry = Registry::with_prefix("trackway_collector");
        registry.register("batches", "Deliveries of sealed batches by what became of them", batches.clone());
        registry.register("runs_created", "BatchRuns created", runs.clone());
        registry.register("routing_delay_seconds", "From a batch's sealing to the creation of its runs", delay.clone());
        (Self { batches, runs, delay }, registry)
    }
}
