//! The lake writer as a running process.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, value_parser};
use jiff::Timestamp;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trackway_crds::GoDuration;
use trackway_crds::names::label_hash;
use trackway_nats::{Kv, Nats, NatsConfig, with_retry};
use trackway_service::{Probes, serve, unless};
use trackway_store::{Files, StoreError};

use crate::partitions::{Component, FlushPolicy, Metrics, write_owned};
use crate::writer::LakeWriter;

/// Name among the members.
const COMPONENT: &str = "lake";
/// Each holds its range's events and files in memory while it writes.
const FLUSHES_AT_ONCE: usize = 2;
const MIB: u64 = 1 << 20;

/// What the lake writer is told.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Where the lake lies: s3://BUCKET/PREFIX?endpoint=…&region=…&allow_http=true, file:///PATH, or nats:// (a bucket of the NATS
    /// that is used anyway).
    #[arg(long, env = "TRACKWAY_LAKE_URL")]
    pub lake_url: String,
    /// A partition's events are written as soon as there are so many…
    #[arg(long, env = "TRACKWAY_LAKE_FLUSH_ROWS", default_value_t = 50_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub flush_rows: u32,
    /// … or they have so many bytes…
    #[arg(long, env = "TRACKWAY_LAKE_FLUSH_BYTES", default_value_t = 64 * MIB, value_parser = value_parser!(u64).range(1..=128 * MIB))]
    pub flush_bytes: u64,
    /// … or the first of them was read so long ago: 1s to 1h.
    #[arg(long, env = "TRACKWAY_LAKE_FLUSH_AGE", default_value = "60s", value_parser = flush_age)]
    pub flush_age: Duration,
    /// Bytes of events that may wait in memory over all partitions; beyond it larger partitions are written sooner. The process
    /// takes up to about five times as much.
    #[arg(long, env = "TRACKWAY_LAKE_MEMORY_BYTES", default_value_t = 64 * MIB, value_parser = value_parser!(u64).range(MIB..=1024 * MIB))]
    pub memory_bytes: u64,
    /// Where probes and metrics are served.
    #[arg(long, env = "TRACKWAY_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
}

/// What a lake writer needs.
#[derive(Debug)]
pub struct Settings {
    /// How NATS is reached.
    pub nats: NatsConfig,
    /// Where the lake lies, see [`Files::open`].
    pub lake_url: String,
    /// How large a file becomes.
    pub policy: FlushPolicy,
    /// Bytes of events that may wait in memory.
    pub memory_bytes: u64,
    /// This process among its replicas; new with every start. Letters, digits, `-` and `_`.
    pub instance: String,
    /// Where probes and metrics are served.
    pub listener: TcpListener,
}

impl Arguments {
    /// What they come to, with NATS' variables from the environment.
    ///
    /// # Errors
    /// When NATS' variables are missing or contradict each other, or the address cannot be listened on.
    pub async fn settings(self) -> anyhow::Result<Settings> {
        let nats = NatsConfig::from_env(COMPONENT)?;
        let Self { lake_url, flush_rows, flush_bytes, flush_age, memory_bytes, listen } = self;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let policy = FlushPolicy { rows: flush_rows as usize, bytes: flush_bytes, age: flush_age };
        Ok(Settings { nats, lake_url, policy, memory_bytes, instance: new_instance(), listener })
    }
}

/// No two processes have the same, on whichever machines.
fn new_instance() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_default();
    label_hash(&format!("{host} {} {}", std::process::id(), Timestamp::now()))
}

/// Runs until `stop` is cancelled. What was read and is not written yet is read again by whoever has the partition next.
///
/// # Errors
/// What a person must mend: NATS or the store refuse what they are asked, the listener breaks.
pub async fn run(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let Settings { nats, lake_url, policy, memory_bytes, instance, listener } = settings;
    let mut registry = Registry::with_prefix("trackway_lake");
    let metrics = Metrics::register(&mut registry);
    let probes = Probes::new(registry, "the stream of events");
    // Before anything is waited for: a process that waits for NATS is alive, and killing it mends nothing.
    let server = tokio::spawn(serve(listener, probes.clone(), stop.clone()));
    let work = async {
        let Some(nats) = unless(&stop, Nats::connect(&nats, None)).await else { return Ok(()) };
        let nats = nats.context("cannot use NATS")?;
        probes.connected(nats.clone());
        let Some(files) = unless(&stop, open_lake(&lake_url, &nats)).await else { return Ok(()) };
        let writer = Arc::new(LakeWriter::new(files.context("cannot use the lake")?));
        let checkpoints = Kv::lake(&nats);
        let flushes_at_once = FLUSHES_AT_ONCE;
        let component = Component { name: COMPONENT, instance, checkpoints, policy, memory_bytes, flushes_at_once, metrics };
        write_owned(&nats, component, writer, || probes.working(), &stop).await
    };
    let written = work.await;
    // Also when it ended by itself, so that the server ends with it.
    stop.cancel();
    server.await.context("the server of probes broke")?.context("cannot serve probes")?;
    written
}

fn flush_age(text: &str) -> Result<Duration, String> {
    let age = Duration::from_millis(text.parse::<GoDuration>().map_err(|error| error.to_string())?.millis());
    let allowed = Duration::from_secs(1)..=Duration::from_secs(3600);
    if allowed.contains(&age) { Ok(age) } else { Err(format!("{text} is not allowed: use 1s to 1h")) }
}

/// Asks once, so that wrong credentials are told at the start and not at the first flush.
async fn open_lake(url: &str, nats: &Nats) -> Result<Files, StoreError> {
    let files = Files::open_from_env(url, Some(nats))?;
    with_retry(None, "look into the lake", || files.list("events/tenant=-/date=-")).await?;
    Ok(files)
}
