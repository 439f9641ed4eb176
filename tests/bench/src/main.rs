//! `trackway-bench`: measures and prints figures. Goals are printed as met or missed and never decide the exit code.

mod cluster;
mod ingest;
mod machine;
mod memory;
mod table;

use anyhow::bail;
use clap::Parser;
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

/// Measures Trackway and prints figures with their goals.
#[derive(Parser, Debug)]
#[command(version, about, after_help = "Example:\n  make bench")]
enum Args {
    /// Runs: batches through the installed Trackway of the current kubeconfig.
    Cluster(cluster::Args),
    /// Events: the parts of ingest as processes of this machine, without a cluster.
    Ingest(ingest::Args),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Fails only when one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut terminate = signal(SignalKind::terminate())?;
    let measuring = async {
        match Args::parse() {
            Args::Cluster(args) => cluster::run(args).await,
            Args::Ingest(args) => ingest::run(args).await,
        }
    };
    // What it has started ends with it.
    tokio::select! {
        outcome = measuring => outcome,
        _ = terminate.recv() => bail!("told to end"),
        _ = ctrl_c() => bail!("interrupted"),
    }
}
