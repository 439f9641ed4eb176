//! An operator as a process of this machine.

use crate::Place;
use anyhow::Context;
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::process::{Child, Command};

/// When the operator ends as if killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kill {
    /// At which of its writes to the API, from 1.
    pub at_write: u64,
    /// Before it is sent, or after it was answered.
    pub mode: Mode,
}

/// Where in a write the operator ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Nothing was sent.
    Before,
    /// The answer has come, nobody has seen it.
    After,
}

/// What a process killed by SIGKILL leaves as exit code.
pub const KILLED: i32 = 137;

/// A running operator; it is killed with the value that holds it.
pub struct HostOperator {
    child: Child,
    log: PathBuf,
}

impl HostOperator {
    /// Starts `program` for `place`, as `identity` among its like, to be ended by `kill`.
    ///
    /// # Errors
    /// A place without servers of its own; a program that cannot be started.
    pub fn start(program: &Path, place: &Place, identity: &str, kill: Option<Kill>) -> anyhow::Result<Self> {
        let hosted = place.hosted.as_ref().context("only a hosted place has room for an operator of its own")?;
        let log = place.operator_log();
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", &place.cluster.kubeconfig)
            .args(["--namespaces", &place.namespace, "--lease-namespace", &place.namespace, "--identity", identity])
            .args(["--lease-seconds", "3", "--listen", "127.0.0.1:0", "--store-url", &hosted.store_url])
            .args(["--nats-url", &hosted.nats_url, "--worker-image", &place.cluster.worker_image])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true);
        if let Some(Kill { at_write, mode }) = kill {
            let mode = if mode == Mode::Before { "before" } else { "after" };
            command.env("TRACKWAY_FAULT_EXIT_AFTER_WRITES", at_write.to_string()).env("TRACKWAY_FAULT_EXIT_MODE", mode);
        }
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child, log })
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// When it still runs after `limit`, with the end of its log.
    pub async fn ended(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => anyhow::bail!("the operator still runs after {limit:?}; its log:\n{}", tail(&self.log, 20)),
        }
    }

    /// Kills it.
    ///
    /// # Errors
    /// As the system says.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        Ok(self.child.kill().await?)
    }
}

/// The last `lines` lines of a file.
#[must_use]
pub fn tail(path: &Path, lines: usize) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
