//! The collector as a running process: takes deliveries one by one until told to stop.

use anyhow::Context;
use jiff::Timestamp;
use kube::Client;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trackway_nats::{BatchReadyConsumer, Delivery, Kv, Nats, NatsConfig, NatsError, with_retry};
use trackway_service::{Probes, serve, unless};

use crate::{
    collect::{Collector, Outcome, Subject},
    config::Config,
    message,
    metrics::{BatchLabels, Metrics, RunLabels},
    tracks::Tracks,
};

/// Name of the durable consumers, which all collectors of an installation share.
const CONSUMER: &str = "collector";

/// What a collector needs.
#[derive(Debug)]
pub struct Settings {
    /// How NATS is reached.
    pub nats: NatsConfig,
    /// Which tenants go where.
    pub config: Config,
    /// Where probes and metrics are served.
    pub listener: TcpListener,
}

/// Runs until `stop` is cancelled; a batch at hand is finished first.
///
/// # Errors
/// What a person must mend: NATS refuses the user or one of its subjects, the listener breaks.
pub async fn run(client: Client, settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let Settings { nats, config, listener } = settings;
    let (metrics, registry) = Metrics::new();
    let probes = Probes::new(registry, "the Tracks of all bound namespaces and for the stream of batches");
    // Before anything is waited for: a process that waits for NATS is alive, and killing it mends nothing.
    let server = tokio::spawn(serve(listener, probes.clone(), stop.clone()));
    let taken = connect_and_take(client, &nats, config, &metrics, &probes, &stop).await;
    // Also when taking ended by itself, so that the server ends with it.
    stop.cancel();
    server.await.context("the server of probes broke")?.context("cannot serve probes")?;
    taken
}

async fn connect_and_take(
    client: Client,
    nats: &NatsConfig,
    config: Config,
    metrics: &Metrics,
    probes: &Probes,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let tracks = Tracks::watch(&client, config.namespaces.iter().map(|binding| binding.name.as_str()));
    let Some(nats) = unless(stop, Nats::connect(nats, None)).await else { return Ok(()) };
    let nats = nats.context("cannot use NATS")?;
    probes.connected(nats.clone());
    let collector = Collector::new(Kv::matches(&nats), client, config.namespaces);
    take_batches(&nats, &collector, &tracks, metrics, probes, stop).await
}

async fn take_batches(
    nats: &Nats,
    collector: &Collector<Kv, Client>,
    tracks: &Tracks,
    metrics: &Metrics,
    probes: &Probes,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let Some(synced) = unless(stop, tracks.synced()).await else { return Ok(()) };
    synced.context("the watch of Tracks broke")?;
    // Waits for the streams, too, which the operator makes.
    let open = with_retry(None, "open the consumers of batches", || BatchReadyConsumer::open(nats, CONSUMER));
    let Some(consumer) = unless(stop, open).await else { return Ok(()) };
    let mut consumer = consumer.context("cannot take batches")?;
    probes.working();
    tracing::info!(tracks = tracks.all().len(), "taking batches");
    while let Some(delivery) = unless(stop, consumer.next()).await {
        let delivery = delivery.context("cannot take batches")?;
        handle(&delivery, collector, tracks, metrics).await?;
    }
    tracing::info!("stopped");
    Ok(())
}

async fn handle(
    delivery: &Delivery,
    collector: &Collector<Kv, Client>,
    tracks: &Tracks,
    metrics: &Metrics,
) -> anyhow::Result<()> {
    let priority = delivery.priority().as_str();
    let subject = Subject { id: delivery.id(), priority };
    let collected = collector.collect(subject, delivery.payload(), delivery.delivered(), &tracks.all()).await;
    let outcome = collected.context("cannot record match sets")?;
    let outcome_label = report(delivery, &outcome, metrics);
    metrics.batches.get_or_create(&BatchLabels { priority, outcome: outcome_label }).inc();
    let answered = match &outcome {
        Outcome::Done { .. } => delivery.ack().await,
        Outcome::Poison(reason) => delivery.dead_letter(reason).await,
        Outcome::Later { delay, .. } => delivery.nak(*delay).await,
    };
    match answered {
        Err(error @ NatsError::Transient { .. }) => {
            tracing::warn!(batch = delivery.id(), %error, "not acknowledged: the batch comes again and changes nothing");
            Ok(())
        }
        other => other.context("cannot answer a delivery"),
    }
}

/// Logs and counts; returns the outcome's name.
fn report(delivery: &Delivery, outcome: &Outcome, metrics: &Metrics) -> &'static str {
    let batch = delivery.id();
    match outcome {
        Outcome::Done { unmatched: true, .. } => {
            tracing::warn!(batch, event = "batch_unmatched", "no Track takes this batch: nothing will be done with it");
            "unmatched"
        }
        Outcome::Done { created, .. } => {
            for (namespace, track) in created {
                let labels = RunLabels { namespace: namespace.clone(), track: track.clone() };
                metrics.runs.get_or_create(&labels).inc();
            }
            if let Some(seconds) = seconds_since_sealed(delivery).filter(|_| !created.is_empty()) {
                metrics.delay.observe(seconds);
            }
            tracing::info!(batch, runs = created.len(), delivered = delivery.delivered(), "batch routed");
            "routed"
        }
        Outcome::Poison(reason) => {
            tracing::error!(batch, reason, "batch set aside in DLQ: nobody can route it");
            "dead_lettered"
        }
        Outcome::Later { delay, reason } => {
            tracing::warn!(batch, reason, delay_seconds = delay.as_secs_f64(), "batch comes again later");
            "postponed"
        }
    }
}

fn seconds_since_sealed(delivery: &Delivery) -> Option<f64> {
    let subject = Subject { id: delivery.id(), priority: delivery.priority().as_str() };
    let ready = message::parse(subject, delivery.payload()).ok()?;
    Some(Timestamp::now().duration_since(ready.batch.ready_at).as_secs_f64().max(0.0))
}
