//! `webhook-sink`: the receiver of notices as a program.

use anyhow::Context as _;
use clap::Parser;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use trackway_webhook_sink::{WebhookSink, log_line};

const AFTER_HELP: &str = "\
Any POST is a notice, but to these:
  GET  /received   what came: {\"requests\", \"answered\", \"received\": [{id, key, path, verified, times, accepted, sameBody, event}]}
  POST /behave     how to answer instead of 204: {\"key\", \"path\", \"times\", \"status\", \"body\", \"retryAfter\", \"delayMillis\"}
  POST /reset      forget what came and how to behave
  GET  /healthz    ok

Example:
  webhook-sink --port 8090 --secret whsec_c3RhbmQtaW4tZm9yLWEtcmVjZWl2ZXItb2Ytbm90aWNlcw==
  curl -d '{\"key\": \"hubot\", \"status\": 503, \"times\": 2, \"retryAfter\": \"1\"}' localhost:8090/behave
  curl localhost:8090/received";

/// A stand-in for whoever receives notices: verifies signatures, counts what came per id, misbehaves on request.
#[derive(Parser)]
#[command(name = "webhook-sink", version, after_help = AFTER_HELP)]
struct Arguments {
    /// Port to listen on, at every address.
    #[arg(long, env = "WEBHOOK_SINK_PORT", default_value_t = 8090)]
    port: u16,
    /// A signing secret, whsec_…; several may be given. In the variable they are parted by commas.
    #[arg(long = "secret", env = "WEBHOOK_SINK_SECRET", value_delimiter = ',', required = true, hide_env_values = true)]
    secrets: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let Arguments { port, secrets } = Arguments::parse();
    // Before listening: as the first process of a container, a signal without a handler is ignored.
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let sink = WebhookSink::start(("0.0.0.0", port), &secrets, true).await.with_context(|| format!("port {port}"))?;
    log_line(&json!({"listening": sink.address().to_string()}));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}
