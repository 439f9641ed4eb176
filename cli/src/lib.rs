//! The command line of Trackway: what people ask of it, and how it shows what happened.
//!
//! Two programs, `trackway` and `kubectl-trackway`, are this one. Commands gather (files, cluster, payload store), hand what
//! they found to pure code that decides and renders, and end with an exit code.

pub mod args;
mod cluster;
pub mod diagnosis;
mod dlq;
pub mod exit;
mod label;
pub mod lint;
mod output;
mod payloads;
mod reach;
pub mod screen;
pub mod simulate;
mod source;
pub mod sources;
pub mod submit;
mod table;
pub mod tree;
mod watch;
pub mod why;

use args::{Cli, Command};
use clap::Parser;
use exit::{CANNOT, Outcome};
use screen::Screen;
use std::{io::Write, process::ExitCode};

/// Both programs: reads the command line, does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match start(&cli) {
        Ok(outcome) => outcome.into(),
        // The reader has seen enough, for example `head`.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Without stderr there is nobody left to tell.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::from(CANNOT)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    causes.any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe)
}

fn start(cli: &Cli) -> anyhow::Result<Outcome> {
    // A provider that is installed already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let filter = tracing_subscriber::EnvFilter::try_from_env("TRACKWAY_LOG").unwrap_or_else(|_| "error".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(cli, &mut Screen::stdout(cli.global.output)))
}

async fn run(cli: &Cli, screen: &mut Screen) -> anyhow::Result<Outcome> {
    let global = &cli.global;
    match &cli.command {
        Command::Lint(args) => lint::run(args, screen),
        Command::Simulate(args) => simulate::run(args, screen).await,
        Command::Tree(args) => tree::run(global, args, screen).await,
        Command::Output(args) => output::run(global, args, screen).await,
        Command::Why(args) => why::run(global, args, screen).await,
        Command::Diagnosis(args) => diagnosis::run(global, args, screen).await,
        Command::Watch(args) => watch::run(global, args, screen).await,
        Command::Submit(args) => submit::run(global, args, screen).await,
        Command::Source(args) => source::run(global, args, screen).await,
        Command::Dlq(args) => dlq::run(global, args, screen).await,
    }
}
