//! What is counted beside what the loop over ranges counts.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// What became of a question.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct OutcomeLabels {
    /// `answered`, `refused` for good, or `failed` for now.
    pub(crate) outcome: &'static str,
}

/// The metrics of answering. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(crate) questions: Family<OutcomeLabels, Counter>,
    pub(crate) answer: Histogram,
    pub(crate) scan: Histogram,
    pub(crate) cache_bytes: Gauge<u64, AtomicU64>,
    pub(crate) evictions: Counter,
    pub(crate) skipped: Counter,
}

impl Metrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            questions: Family::default(),
            answer: Histogram::new(exponential_buckets(0.005, 2.0, 12)),
            scan: Histogram::new(exponential_buckets(0.0005, 2.0, 12)),
            cache_bytes: Gauge::default(),
            evictions: Counter::default(),
            skipped: Counter::default(),
        };
        registry.register("questions", "Questions for past events, by what became of them", metrics.questions.clone());
        registry.register("answer_seconds", "Time from a question to its answer", metrics.answer.clone());
        registry.register("scan_seconds", "Time of one exact search through a tenant's vectors", metrics.scan.clone());
        registry.register("cache_bytes", "Bytes of vectors and events kept in memory", metrics.cache_bytes.clone());
        registry.register("cache_evictions", "Tenants dropped from memory for others", metrics.evictions.clone());
        registry.register("skipped_events", "Events without a vector, because the model refuses them", metrics.skipped.clone());
        metrics
    }
}
