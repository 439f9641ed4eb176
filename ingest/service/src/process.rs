//! A process from its first line to its last.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Logs JSON lines, filtered by `RUST_LOG` (default `info`).
pub fn log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).init();
}

/// Chooses the TLS provider. Without this the first encrypted connection fails.
///
/// # Errors
/// When another one was installed before.
pub fn ready_tls() -> anyhow::Result<()> {
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        anyhow::bail!("another TLS provider was installed before ring");
    }
    Ok(())
}

/// Cancels `stop` on SIGTERM and SIGINT.
///
/// # Errors
/// When the process may not listen for signals.
pub fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to stop: finishing what is at hand");
        stop.cancel();
    });
    Ok(())
}

/// What `work` comes to; `None` when told to stop first.
pub async fn unless<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        outcome = work => Some(outcome),
    }
}
