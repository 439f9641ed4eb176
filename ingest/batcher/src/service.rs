//! The batcher as a running process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trackway_nats::{Membership, Nats, NatsConfig, with_retry};
use trackway_service::{Probes, serve, unless};
use trackway_sources::IngestConfig;
use trackway_store::PayloadStore;

use crate::metrics::Metrics;
use crate::outside::Real;
use crate::owned::{Batcher, work};

/// Name among the members.
const COMPONENT: &str = "batcher";

/// What the batcher is told.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// YAML file with sources, tenants, batching and the namespaces that are bound to tenants.
    #[arg(long, env = "TRACKWAY_INGEST_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
    /// Where batch documents go: nats://HOST:PORT, s3://BUCKET/PREFIX?endpoint=…&region=…&allow_http=true or file:///PATH. The
    /// same as the workers'.
    #[arg(long, env = "TRACKWAY_STORE_URL", value_name = "URL")]
    pub store_url: String,
    /// Where probes and metrics are served.
    #[arg(long, env = "TRACKWAY_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
}

/// What a batcher needs.
#[derive(Debug)]
pub struct Settings {
    /// How NATS is reached.
    pub nats: NatsConfig,
    /// When batches are sealed, and to whom they go.
    pub config: IngestConfig,
    /// Where batch documents go, see [`PayloadStore::open`].
    pub store_url: String,
    /// This process among its replicas; new with every start. Letters, digits, `-` and `_`.
    pub instance: String,
    /// Where probes and metrics are served.
    pub listener: TcpListener,
}

impl Settings {
    /// Settings of a process told `arguments`.
    ///
    /// # Errors
    /// When the file or NATS' variables are missing or wrong, or the address cannot be listened on.
    pub async fn new(arguments: Arguments, instance: String) -> anyhow::Result<Self> {
        let Arguments { config: path, store_url, listen } = arguments;
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let config = IngestConfig::parse(&text).with_context(|| format!("{}", path.display()))?;
        let nats = NatsConfig::from_env(COMPONENT)?;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        Ok(Self { nats, config, store_url, instance, listener })
    }
}

/// Runs until `stop` is cancelled. What was begun and is not finished then, the next owner of the partition repeats.
///
/// # Errors
/// What a person must mend: NATS refuses what it is asked, a stored state cannot be read, the listener breaks.
pub async fn run(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let Settings { nats, config, store_url, instance, listener } = settings;
    let (metrics, registry) = Metrics::new();
    let probes = Probes::new(registry, "its partitions of the events");
    // Before anything is waited for: a process that waits for NATS is alive, and killing it mends nothing.
    let server = tokio::spawn(serve(listener, probes.clone(), stop.clone()));
    let batching = async {
        let Some(nats) = unless(&stop, Nats::connect(&nats, None)).await else { return Ok(()) };
        let nats = nats.context("cannot use NATS")?;
        probes.connected(nats.clone());
        let store = PayloadStore::open(&store_url, Some(&nats)).context("TRACKWAY_STORE_URL")?;
        let join = with_retry(None, "join the other batchers", || Membership::join(&nats, COMPONENT, &instance));
        let Some(membership) = unless(&stop, join).await else { return Ok(()) };
        let membership = membership?;
        let batcher = Batcher::new(Real::new(&nats, store), Arc::new(config), metrics);
        let worked = work(batcher, membership.partitions(), || probes.working(), &stop).await;
        membership.leave().await;
        worked
    };
    let outcome = batching.await;
    // Also when it ended by itself, so that the server ends with it.
    stop.cancel();
    server.await.context("the server of probes broke")?.context("cannot serve probes")?;
    outcome
}
