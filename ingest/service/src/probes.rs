//! /healthz, /readyz, /metrics.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use prometheus_client::{encoding::text::encode, registry::Registry};
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trackway_nats::Nats;

/// What the probes ask about. Clones share it.
#[derive(Clone, Debug)]
pub struct Probes {
    nats: Arc<OnceLock<Nats>>,
    working: Arc<AtomicBool>,
    leaving: Arc<AtomicBool>,
    waits_for: &'static str,
    registry: Arc<Registry>,
}

impl Probes {
    /// Alive, and not ready until [`Probes::connected`] and [`Probes::working`] were called. `waits_for` is what `/readyz` says
    /// until then.
    #[must_use]
    pub fn new(registry: Registry, waits_for: &'static str) -> Self {
        Self { nats: Arc::default(), working: Arc::default(), leaving: Arc::default(), waits_for, registry: Arc::new(registry) }
    }

    /// There is a connection; whether it stands is asked at each probe.
    pub fn connected(&self, nats: Nats) {
        let _ = self.nats.set(nats);
    }

    /// The process does its work.
    pub fn working(&self) {
        self.working.store(true, Ordering::Relaxed);
    }

    /// The process finishes what is in hand and wants nothing new: never ready again.
    pub fn leaving(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// The three routes, for a process that serves others beside them.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self)
    }
}

/// Serves the probes alone until `stop`.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(listener: TcpListener, probes: Probes, stop: CancellationToken) -> std::io::Result<()> {
    axum::serve(listener, probes.routes()).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn ready(State(probes): State<Probes>) -> (StatusCode, String) {
    if probes.leaving.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "leaving\n".to_owned())
    } else if !probes.nats.get().is_some_and(Nats::is_connected) {
        (StatusCode::SERVICE_UNAVAILABLE, "not connected to NATS\n".to_owned())
    } else if !probes.working.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}\n", probes.waits_for))
    } else {
        (StatusCode::OK, "ok\n".to_owned())
    }
}

async fn metrics(State(probes): State<Probes>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &probes.registry) {
        Ok(()) => ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
