//! `scripted-llm`: the scripted LLM as a program.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use clap::Parser;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use trackway_scripted_llm::{Options, Rules, ScriptedLlm, log_line};

/// An OpenAI-compatible server whose answers are derived from the request. Outcomes come from a rules file.
#[derive(Parser)]
#[command(name = "scripted-llm", version)]
struct Arguments {
    /// Address to listen on.
    #[arg(long, env = "SCRIPTED_LLM_LISTEN", default_value = "127.0.0.1:8089")]
    listen: String,
    /// Rules file (YAML); without one, every answer is derived from its request.
    #[arg(long, env = "SCRIPTED_LLM_RULES")]
    rules: Option<PathBuf>,
    /// Entries of a list named "targets".
    #[arg(long, env = "SCRIPTED_LLM_TARGETS", default_value_t = 5)]
    targets: usize,
    /// Time before each answer but a judge's, as 300ms or 2s.
    #[arg(long, env = "SCRIPTED_LLM_LATENCY_GENERATE", default_value = "0ms", value_parser = duration)]
    latency_generate: Duration,
    /// Time before each verdict, as 150ms.
    #[arg(long, env = "SCRIPTED_LLM_LATENCY_JUDGE", default_value = "0ms", value_parser = duration)]
    latency_judge: Duration,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let rules = match &arguments.rules {
        None => Rules::none(),
        Some(path) => {
            let yaml = std::fs::read_to_string(path).with_context(|| format!("--rules {}", path.display()))?;
            Rules::from_yaml(&yaml).with_context(|| format!("--rules {}", path.display()))?
        }
    };
    for (number, rule) in rules.iter().enumerate() {
        log_line(&json!({"rule": number + 1, "name": rule.name, "when": rule.when, "then": rule.then, "times": rule.times}));
    }
    let Arguments { listen, targets, latency_generate, latency_judge, .. } = arguments;
    let options = Options { rules, targets, latency_generate, latency_judge, log: true };
    // Before listening: as the first process of a container, a signal without a handler is ignored.
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let llm = ScriptedLlm::start_with(&listen, options).await.with_context(|| format!("--listen {listen}"))?;
    log_line(&json!({"listening": llm.base_url()}));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(())
}

/// Milliseconds or seconds: `150ms`, `2s`, `1.5s`.
fn duration(text: &str) -> anyhow::Result<Duration> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').with_context(|| format!("{text:?} has no unit; write 150ms or 2s"))?, 1.0),
    };
    match Duration::try_from_secs_f64(number.parse::<f64>().with_context(|| format!("{text:?} is no duration"))? * unit) {
        Ok(duration) => Ok(duration),
        Err(error) => bail!("{text:?} is no duration: {error}"),
    }
}
