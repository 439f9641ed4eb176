//! /healthz, /readyz, /metrics.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trackway_nats::Nats;

use crate::metrics::Metrics;

/// What the probes ask about.
#[derive(Clone, Debug)]
pub struct Probes {
    nats: Arc<OnceLock<Nats>>,
    routing: Arc<AtomicBool>,
    metrics: Metrics,
}

impl Probes {
    /// Alive, and not ready until [`Probes::routing`] was called.
    pub fn new(metrics: Metrics) -> Self {
        Self { nats: Arc::default(), routing: Arc::default(), metrics }
    }

    /// There is a connection; whether it stands is asked at each probe.
    pub fn connected(&self, nats: Nats) {
        let _ = self.nats.set(nats);
    }

    /// Tracks are known and batches are being taken.
    pub fn routing(&self) {
        self.routing.store(true, Ordering::Relaxed);
    }
}

/// Serves until `stop`.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(listener: TcpListener, probes: Probes, stop: CancellationToken) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(probes);
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn ready(State(probes): State<Probes>) -> (StatusCode, &'static str) {
    if !probes.nats.get().is_some_and(Nats::is_connected) {
        (StatusCode::SERVICE_UNAVAILABLE, "not connected to NATS\n")
    } else if !probes.routing.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "waiting for the Tracks of all bound namespaces and for the stream of batches\n")
    } else {
        (StatusCode::OK, "ok\n")
    }
}

async fn metrics(State(probes): State<Probes>) -> Response {
    match probes.metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
