//! `trackway-collector`: settings, signals, exit code.

use anyhow::Context;
use clap::Parser;
use kube::Client;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trackway_collector::{
    config::Config,
    service::{Settings, run},
};
use trackway_nats::NatsConfig;

const AFTER_HELP: &str = "\
Also read, from the environment only, so that no secret stands in a command line:
  TRACKWAY_NATS_URL, TRACKWAY_NATS_USER, TRACKWAY_NATS_PASSWORD, TRACKWAY_NATS_INBOX_PREFIX, TRACKWAY_NATS_CA_FILE
  RUST_LOG   what to log: error, warn, info, debug, or by module";

/// Makes one BatchRun per sealed batch and matching Track.
#[derive(Parser, Debug)]
#[command(name = "trackway-collector", version, after_help = AFTER_HELP)]
struct Arguments {
    /// YAML file that binds tenants to namespaces. Left out: all tenants to the namespace this runs in.
    #[arg(long, env = "TRACKWAY_CONFIG")]
    config: Option<PathBuf>,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "TRACKWAY_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// Context of the kubeconfig, outside a cluster.
    #[arg(long, env = "TRACKWAY_CONTEXT")]
    context: Option<String>,
}

#[tokio::main]
async fn main() -> ExitCode {
    trackway_service::log();
    match start(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "ending");
            ExitCode::FAILURE
        }
    }
}

async fn start(arguments: Arguments) -> anyhow::Result<()> {
    trackway_service::ready_tls()?;
    let agent = concat!("trackway-collector/", env!("CARGO_PKG_VERSION"));
    let client = trackway_kubernetes::client(arguments.context.as_deref(), agent).await?;
    let config = read_config(arguments.config, &client)?;
    let nats = NatsConfig::from_env("collector")?;
    let listener = TcpListener::bind(arguments.listen).await.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let stop = CancellationToken::new();
    trackway_service::stop_on_signal(stop.clone())?;
    run(client, Settings { nats, config, listener }, stop).await
}

fn read_config(path: Option<PathBuf>, client: &Client) -> anyhow::Result<Config> {
    let Some(path) = path else { return Ok(Config::only(client.default_namespace())) };
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Config::parse(&text).with_context(|| format!("{}", path.display()))
}
