//! What Prometheus sees.

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use std::sync::atomic::AtomicU64;

/// One reason.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Reason {
    pub(crate) reason: String,
}

/// Every metric of the operator.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) leader: Gauge,
    pub(crate) finished: Family<Reason, Counter>,
    pub(crate) debugged: Family<Reason, Counter>,
    pub(crate) waves: Counter,
    pub(crate) ignored: Family<Reason, Counter>,
    pub(crate) faults: Family<Reason, Counter>,
    pub(crate) errors: Family<Reason, Counter>,
    pub(crate) advance: Histogram,
    pub(crate) status_bytes: Gauge<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("trackway_operator");
        let metrics = Self {
            leader: Gauge::default(),
            finished: Family::default(),
            debugged: Family::default(),
            waves: Counter::default(),
            ignored: Family::default(),
            faults: Family::default(),
            errors: Family::default(),
            advance: Histogram::new(exponential_buckets(0.002, 1.6, 16)),
            status_bytes: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("leader", "1 while this operator leads", metrics.leader.clone());
        registry.register("runs_finished", "Runs finished, by phase", metrics.finished.clone());
        registry.register("runs_debugged", "Failed runs that the debugger was asked about, by outcome", metrics.debugged.clone());
        registry.register("waves_released", "Waves of fan-outs released", metrics.waves.clone());
        registry.register("results_ignored", "Results that did not count, by reason", metrics.ignored.clone());
        registry.register("plan_faults", "Plans refused because they break an invariant, by its number", metrics.faults.clone());
        registry.register("reconcile_errors", "Reconciles that ended with an error, by step", metrics.errors.clone());
        registry.register(
            "result_to_release_seconds",
            "From a result's arrival to the release of the Job that follows from it",
            metrics.advance.clone(),
        );
        registry.register("largest_status_bytes", "Largest status written so far, as JSON", metrics.status_bytes.clone());
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// In the OpenMetrics text format.
    pub(crate) fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    pub(crate) fn count(family: &Family<Reason, Counter>, reason: impl Into<String>) {
        family.get_or_create(&Reason { reason: reason.into() }).inc();
    }
}
