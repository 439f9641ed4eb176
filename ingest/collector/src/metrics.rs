//! What the collector counts.

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use std::sync::Arc;

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
    registry: Arc<Registry>,
    /// Deliveries by what became of them.
    pub batches: Family<BatchLabels, Counter>,
    /// Runs created.
    pub runs: Family<RunLabels, Counter>,
    /// From the sealing of a batch to the creation of its runs.
    pub delay: Histogram,
}

impl Metrics {
    /// All zero.
    pub fn new() -> Self {
        let batches = Family::<BatchLabels, Counter>::default();
        let runs = Family::<RunLabels, Counter>::default();
        let delay = Histogram::new(exponential_buckets(0.005, 2.0, 16));
        let mut registry = Registry::with_prefix("trackway_collector");
        registry.register("batches", "Deliveries of sealed batches by what became of them", batches.clone());
        registry.register("runs_created", "BatchRuns created", runs.clone());
        registry.register("routing_delay_seconds", "From a batch's sealing to the creation of its runs", delay.clone());
        Self { registry: Arc::new(registry), batches, runs, delay }
    }

    /// As Prometheus reads them.
    ///
    /// # Errors
    /// When they cannot be written as text.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
