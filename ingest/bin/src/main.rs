//! `trackway-ingest`: the gateway, the lake writer, the vectorizer and the batcher, a subcommand each.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

const AFTER_HELP: &str = "\
Also read, from the environment only, so that no secret stands in a command line:
  TRACKWAY_NATS_URL, TRACKWAY_NATS_USER, TRACKWAY_NATS_PASSWORD, TRACKWAY_NATS_INBOX_PREFIX, TRACKWAY_NATS_CA_FILE
  TRACKWAY_EMBEDDINGS_API_KEY   of the vectorizer's model; AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of an s3:// lake or store
  RUST_LOG   what to log: error, warn, info, debug, or by module";

/// Takes events, keeps them and gathers them into batches.
#[derive(Parser, Debug)]
#[command(name = "trackway-ingest", version, after_help = AFTER_HELP)]
struct Arguments {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand, Debug)]
enum Part {
    /// Takes events and answers over HTTP.
    Gateway(trackway_gateway::Arguments),
    /// Writes events to the lake.
    Lake(trackway_lake::Arguments),
    /// Makes vectors of events, and finds the nearest for workers.
    Vectorizer(trackway_vectors::Arguments),
    /// Gathers events into batches and seals them.
    Batcher(trackway_batcher::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    trackway_service::log();
    match start(arguments.part).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "ending");
            ExitCode::FAILURE
        }
    }
}

async fn start(part: Part) -> anyhow::Result<()> {
    trackway_service::ready_tls()?;
    let stop = CancellationToken::new();
    trackway_service::stop_on_signal(stop.clone())?;
    match part {
        Part::Gateway(arguments) => trackway_gateway::run(arguments.settings().await?, stop).await,
        Part::Lake(arguments) => trackway_lake::run(arguments.settings().await?, stop).await,
        Part::Vectorizer(arguments) => {
            trackway_vectors::run(trackway_vectors::Settings::new(arguments, instance()).await?, stop).await
        }
        Part::Batcher(arguments) => {
            trackway_batcher::run(trackway_batcher::Settings::new(arguments, instance()).await?, stop).await
        }
    }
}

/// This process among its replicas: no two have the same, on whichever machines.
fn instance() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
