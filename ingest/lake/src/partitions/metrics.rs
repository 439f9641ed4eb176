//! What is counted about ranges.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::partitions::buffer::Reason;
use crate::partitions::range::Written;

/// Why a range was written.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ReasonLabels {
    /// `rows`, `bytes`, `age`, `memory` or `resumed`.
    pub reason: &'static str,
}

/// The loop's metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Rows in all files written.
    pub rows: Counter,
    /// Files written.
    pub files: Counter,
    /// Bytes of all files written.
    pub bytes: Counter,
    /// How long writing a range took, by why it was written.
    pub flush: Family<ReasonLabels, Histogram>,
    /// Tries to write that failed.
    pub failures: Counter,
    /// Times another process was found to write the same partition.
    pub conflicts: Counter,
    /// Messages that are no events.
    pub unreadable: Counter,
    /// Events that expired while an interrupted write of them waited to be repeated.
    pub lost: Counter,
    waiting: Arc<Waiting>,
}

impl Metrics {
    /// All zero, known to `registry`, whose prefix says whose they are.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let flush = Family::new_with_constructor((|| Histogram::new(exponential_buckets(0.01, 2.0, 14))) as fn() -> Histogram);
        let metrics = Self {
            rows: Counter::default(),
            files: Counter::default(),
            bytes: Counter::default(),
            flush,
            failures: Counter::default(),
            conflicts: Counter::default(),
            unreadable: Counter::default(),
            lost: Counter::default(),
            waiting: Arc::default(),
        };
        registry.register("rows", "Rows in all files written", metrics.rows.clone());
        registry.register("files", "Files written", metrics.files.clone());
        registry.register("written_bytes", "Bytes of all files written", metrics.bytes.clone());
        registry.register(
            "flush_seconds",
            "Time it took to write a range of events, by why it was written",
            metrics.flush.clone(),
        );
        registry.register("write_failures", "Tries to write a range that failed", metrics.failures.clone());
        registry.register("conflicts", "Times another process wrote the same partition", metrics.conflicts.clone());
        registry.register("unreadable_messages", "Messages that are no events", metrics.unreadable.clone());
        registry.register("lost_events", "Events that expired before they were written for certain", metrics.lost.clone());
        registry.register_collector(Box::new(Arc::clone(&metrics.waiting)));
        metrics
    }

    pub(crate) fn wrote(&self, written: &Written, reason: Reason, took: Duration) {
        self.rows.inc_by(written.rows);
        self.files.inc_by(written.files);
        self.bytes.inc_by(written.bytes);
        self.flush.get_or_create(&ReasonLabels { reason: reason.as_str() }).observe(took.as_secs_f64());
    }

    pub(crate) fn lag(&self, partition: u8) -> Lag {
        Lag { partition, waiting: Arc::clone(&self.waiting) }
    }
}

/// By partition, since when its oldest unwritten event has been in the stream.
#[derive(Debug, Default)]
struct Waiting(Mutex<BTreeMap<u8, Timestamp>>);

impl Waiting {
    fn change(&self, change: impl FnOnce(&mut BTreeMap<u8, Timestamp>)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Asked at each scrape, so that it grows also while a write hangs.
impl Collector for Waiting {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut oldest = None;
        self.change(|waiting| oldest = waiting.values().min().copied());
        let seconds = oldest.map_or(0.0, |oldest| Timestamp::now().duration_since(oldest).as_secs_f64().max(0.0));
        let gauge = ConstGauge::new(seconds);
        let help = "Age of the oldest event that was read and is not written yet";
        let encoder = encoder.encode_descriptor("lag_seconds", help, None, gauge.metric_type())?;
        gauge.encode(encoder)
    }
}

/// One partition's part of the lag; it has none any more when this is dropped.
#[derive(Debug)]
pub(crate) struct Lag {
    partition: u8,
    waiting: Arc<Waiting>,
}

impl Lag {
    /// An event stored at `stored_at` waits, perhaps behind others.
    pub(crate) fn waits_since(&self, stored_at: Timestamp) {
        self.waiting.change(|waiting| {
            waiting.entry(self.partition).or_insert(stored_at);
        });
    }

    pub(crate) fn nothing_waits(&self) {
        self.waiting.change(|waiting| {
            waiting.remove(&self.partition);
        });
    }
}

impl Drop for Lag {
    fn drop(&mut self) {
        self.nothing_waits();
    }
}
