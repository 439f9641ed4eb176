//! The operator: everything below the line that talks to the cluster.
//!
//! ```text
//! watches ─┐
//! results ─┴▶ run::reconcile = observe ──▶ plan ──▶ check ──▶ apply ──▶ report
//!                              (caches,    (pure)   (pure)   (create, fenced  (Events,
//!                               NATS)                         status, release) metrics)
//! answers ──▶ questionnaire::reconcile ──▶ Questionnaire.status, and the runs that wait for them
//! Track, prompts, endpoints ──▶ track::reconcile ──▶ immutable revision ──▶ Track.status
//! ```
//!
//! What is not here: decisions. Which attempt comes next, what a score means and when a run ends is `operator/plan`'s alone.

pub mod args;
mod controllers;
mod leader;
mod metrics;
mod questionnaire;
mod revisions;
mod run;
mod serve;
mod track;

use anyhow::Context as _;
use args::Args;
use metrics::Metrics;
use std::{sync::Arc, time::Duration};
use tokio::{signal::unix, sync::watch};

/// How long controllers may finish what they do once they are told to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// Runs until a signal or the loss of leadership.
///
/// # Errors
/// What keeps the operator from starting, and the loss of its lease: both end the process, and Kubernetes starts it anew.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let client = trackway_kubernetes::client(None, concat!("trackway-operator/", env!("CARGO_PKG_VERSION"))).await?;
    let metrics = Arc::new(Metrics::default());
    let ready = serve::Readiness::default();
    let server = tokio::spawn(serve::serve(args.listen, Arc::clone(&metrics), ready.clone(), stopped.clone()));
    let settings = args.nats()?;
    let nats = tokio::select! {
        nats = trackway_nats::Nats::connect(&settings, None) => nats.context("the operator reads results from NATS")?,
        () = signal() => return Ok(()),
    };
    let streams = args.streams();
    let made = trackway_nats::with_retry(None, "make the streams", || trackway_nats::ensure_streams(&nats, streams));
    tokio::select! {
        made = made => made.context("the operator makes the streams")?,
        () = signal() => return Ok(()),
    }
    let lease = leader::Lease::new(client.clone(), &args).await?;
    tracing::info!(lease = args.lease_name, "waits to become leader");
    ready.set_started();
    let lost = tokio::select! {
        lost = lease.acquired() => lost?,
        () = signal() => return Ok(()),
    };
    tracing::info!(namespaces = ?args.namespaces, "is leader, controllers start");
    metrics.leader.set(1);
    let mut controllers = tokio::spawn(controllers::run(client, nats, args, metrics, stopped));
    let outcome = tokio::select! {
        () = signal() => Ok(()),
        () = lost.lost() => Err(anyhow::anyhow!("the lease was lost; another operator may lead")),
        ended = &mut controllers => Err(anyhow::anyhow!("controllers ended by themselves: {ended:?}")),
    };
    let _ = stop.send(true);
    if tokio::time::timeout(DRAIN_LIMIT, controllers).await.is_err() {
        tracing::warn!("controllers did not stop in time");
    }
    if outcome.is_ok() {
        lost.release().await;
    }
    server.abort();
    outcome
}

async fn signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (unix::signal(unix::SignalKind::terminate()), unix::signal(unix::SignalKind::interrupt()))
    else {
        tracing::error!("cannot listen to signals");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: finishes what is begun and stops"),
        _ = interrupt.recv() => tracing::info!("SIGINT: finishes what is begun and stops"),
    }
}
