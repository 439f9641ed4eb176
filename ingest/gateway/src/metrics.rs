//! What the gateway counts.

use crate::problem::Kind;
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

/// Labels of what came to a source.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct SourceLabels {
    /// Its id.
    pub source: String,
}

/// Labels of a request that was not taken.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RefusalLabels {
    /// Id of the source; empty when there is none of that id.
    pub source: String,
    /// [`Kind::name`].
    pub reason: &'static str,
}

/// Labels of an answered request.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route as the OpenAPI document calls it; empty when there is none.
    pub route: &'static str,
    /// The HTTP status.
    pub status: u16,
}

/// The gateway's metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    accepted: Family<SourceLabels, Counter>,
    duplicate: Family<SourceLabels, Counter>,
    refused: Family<RefusalLabels, Counter>,
    bytes: Family<SourceLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    duration: Family<RouteLabels, Histogram, fn() -> Histogram>,
    /// Connections that stand.
    pub connections: Gauge,
}

/// A route.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

impl Metrics {
    /// All zero, and shown by `registry`.
    #[must_use]
    pub fn new(registry: &mut Registry) -> Self {
        let duration: Family<_, _, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_5, 2.0, 16)));
        let metrics = Self {
            accepted: Family::default(),
            duplicate: Family::default(),
            refused: Family::default(),
            bytes: Family::default(),
            requests: Family::default(),
            duration,
            connections: Gauge::default(),
        };
        registry.register("events_accepted", "Events stored", metrics.accepted.clone());
        registry.register("events_duplicate", "Events that were stored before", metrics.duplicate.clone());
        registry.register("requests_refused", "Requests that were not taken, by reason", metrics.refused.clone());
        registry.register("body_bytes", "Bytes of bodies that were read", metrics.bytes.clone());
        registry.register("requests", "Requests answered", metrics.requests.clone());
        registry.register("request_duration_seconds", "From a request's head to its answer", metrics.duration.clone());
        registry.register("connections", "Connections that stand", metrics.connections.clone());
        metrics
    }

    /// An event was acknowledged.
    pub fn acknowledged(&self, source: &str, duplicate: bool) {
        let family = if duplicate { &self.duplicate } else { &self.accepted };
        family.get_or_create(&SourceLabels { source: source.to_owned() }).inc();
    }

    /// A request was not taken. `source`: only one of the configuration, or strangers would fill our memory.
    pub fn refused(&self, source: Option<&str>, kind: Kind) {
        let source = source.unwrap_or_default().to_owned();
        self.refused.get_or_create(&RefusalLabels { source, reason: kind.name() }).inc();
    }

    /// A body was read.
    pub fn received(&self, source: &str, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.bytes.get_or_create(&SourceLabels { source: source.to_owned() }).inc_by(bytes);
    }

    /// A request was answered after so many seconds.
    pub fn answered(&self, route: &'static str, status: u16, seconds: f64) {
        self.requests.get_or_create(&RequestLabels { route, status }).inc();
        self.duration.get_or_create(&RouteLabels { route }).observe(seconds);
    }
}
