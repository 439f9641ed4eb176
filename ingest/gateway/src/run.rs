//! The gateway as a process.

use crate::{app::App, finish::keep_finished, keys::Keys, metrics::Metrics, patience::Patience, routes::router, serve::serve};
use anyhow::Context as _;
use prometheus_client::registry::Registry;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trackway_nats::{Nats, NatsConfig};
use trackway_service::{Probes, unless};
use trackway_sources::IngestConfig;

/// Settings as a command line gives them.
#[derive(clap::Args, Clone, Debug)]
pub struct Arguments {
    /// YAML file with the sources.
    #[arg(long, env = "TRACKWAY_INGEST_CONFIG")]
    config: PathBuf,
    /// Folder with the sources' secrets: secretRef {name, key} is the file NAME/KEY in it. Changes count within seconds.
    #[arg(long, env = "TRACKWAY_SECRETS_DIR")]
    secrets: PathBuf,
    /// Where events are taken.
    #[arg(long, env = "TRACKWAY_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "TRACKWAY_METRICS_LISTEN", default_value = "0.0.0.0:9090")]
    metrics_listen: SocketAddr,
}

/// What a gateway needs.
#[derive(Debug)]
pub struct Settings {
    /// The sources.
    pub config: IngestConfig,
    /// Folder with their secrets.
    pub secrets: PathBuf,
    /// How NATS is reached.
    pub nats: NatsConfig,
    /// Where events are taken.
    pub listener: TcpListener,
    /// Where the probes are served.
    pub probes: TcpListener,
    /// Limits of time.
    pub patience: Patience,
}

impl Arguments {
    /// Reads the configuration and the environment, and takes the ports.
    ///
    /// # Errors
    /// When a file, a variable or a port cannot be used; the text says which and why.
    pub async fn settings(self) -> anyhow::Result<Settings> {
        let nats = NatsConfig::from_env("gateway")?;
        Ok(Settings {
            config: read_config(&self.config)?,
            secrets: self.secrets,
            nats,
            listener: bind(self.listen).await?,
            probes: bind(self.metrics_listen).await?,
            patience: Patience::default(),
        })
    }
}

fn read_config(path: &Path) -> anyhow::Result<IngestConfig> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    IngestConfig::parse(&text).with_context(|| format!("{}", path.display()))
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Takes events until `stop`, then finishes what is in hand, for at most [`Patience::drain`].
///
/// # Errors
/// When NATS refuses us for good, or the probes cannot be served.
pub async fn run(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let mut registry = Registry::with_prefix("trackway_gateway");
    let metrics = Metrics::new(&mut registry);
    let probes = Probes::new(registry, "NATS");
    let config = Arc::new(settings.config);
    let keys = Keys::read(Arc::clone(&config), &settings.secrets);
    // The probes answer until the last request is finished.
    let ended = CancellationToken::new();
    let _ended = ended.clone().drop_guard();
    let probing = trackway_service::serve(settings.probes, probes.clone(), ended);
    let working = async {
        let Some(nats) = unless(&stop, Nats::connect(&settings.nats, None)).await else { return Ok(()) };
        let nats = nats?;
        probes.connected(nats.clone());
        probes.working();
        tokio::spawn(keys.clone().keep_fresh(stop.clone()));
        tokio::spawn(keep_finished(nats.clone(), stop.clone()));
        tokio::spawn(leave(probes.clone(), stop.clone()));
        let app = Arc::new(App::new(config, keys, nats, metrics.clone()));
        tracing::info!(sources = app.config.sources.len(), "takes events");
        serve(settings.listener, router(app), metrics, settings.patience, stop.clone()).await;
        Ok(())
    };
    tokio::select! {
        outcome = working => outcome,
        served = probing => served.context("cannot serve the probes"),
    }
}

/// No new requests are sent to who is not ready.
async fn leave(probes: Probes, stop: CancellationToken) {
    stop.cancelled().await;
    probes.leaving();
}
