//! A program that runs for as long as it is held.

use crate::memory::{self, Memory};
use anyhow::{Context as _, ensure};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::process::{Child, Command};
use trackway_test_support::{reqwest, until};

const START_LIMIT: Duration = Duration::from_secs(30);

/// One of the programs that are measured, or that measuring needs.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; what it says goes to a file in `folder`.
    pub(crate) fn start(name: &'static str, mut command: Command, folder: &Path) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        command.stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child, log })
    }

    /// Waits until `url` answers with success.
    pub(crate) async fn ready(&mut self, url: &str) -> anyhow::Result<()> {
        let answers = || async { reqwest::get(url).await.ok().filter(|answer| answer.status().is_success()) };
        let ready = until("it is ready", START_LIMIT, answers).await.map(drop);
        ready.with_context(|| format!("{}: {}", self.name, self.last_words()))
    }

    /// Waits until `condition`, asked again and again, for at most `limit`; fails at once when the program ends.
    pub(crate) async fn until<F>(&mut self, what: &str, limit: Duration, condition: impl Fn() -> F) -> anyhow::Result<()>
    where
        F: Future<Output = Option<()>>,
    {
        let ended = async {
            let status = self.child.wait().await?;
            anyhow::bail!("{} ended: {status}", self.name)
        };
        let waited = tokio::select! {
            waited = until(what, limit, condition) => waited,
            ended = ended => ended,
        };
        waited.with_context(|| self.last_words())
    }

    /// What it holds and has held.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let id = self.child.id().with_context(|| format!("{} has ended: {}", self.name, self.last_words()))?;
        memory::of_process(id)
    }

    /// Ends it and waits for that.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        let running = self.child.try_wait()?.is_none();
        ensure!(running, "{} has ended by itself: {}", self.name, self.last_words());
        self.child.kill().await.with_context(|| format!("cannot end {}", self.name))
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        format!("its log ends with:\n{}", lines[lines.len().saturating_sub(10)..].join("\n"))
    }
}
