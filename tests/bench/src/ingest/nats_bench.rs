//! `nats bench js pub` on the same server: what the server acknowledges when nothing of Trackway is in between.

use super::world::World;
use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use std::{fs, path::PathBuf};
use tokio::process::Command;
use trackway_test_support::tools::tool;

const STREAM: &str = "BENCH";

/// The program, and a stream that has the configuration of EVENTS.
#[derive(Debug)]
pub(crate) struct NatsBench {
    program: PathBuf,
    url: String,
    /// So that it finds nobody's settings and leaves none.
    home: PathBuf,
    /// Bytes of each message.
    size: usize,
    runs: u32,
}

/// How it publishes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Publish {
    /// So many connections, each with one message on its way.
    Sync(usize),
    /// One connection that sends so many messages and waits for all their acknowledgements.
    Async(usize),
}

impl NatsBench {
    /// Makes the stream.
    pub(crate) async fn prepare(world: &World, size: usize) -> anyhow::Result<Self> {
        let bench = Self { program: tool("nats")?, url: world.nats_url(), home: world.folder().to_owned(), size, runs: 0 };
        let info: Value = serde_json::from_str(&bench.run(&["stream", "info", "EVENTS", "--json"]).await?)?;
        let mut config = info.get("config").cloned().context("stream info without config")?;
        config["name"] = json!(STREAM);
        config["subjects"] = json!([format!("{STREAM}.>")]);
        let file = world.folder().join("stream.json");
        fs::write(&file, config.to_string())?;
        bench.run(&["stream", "add", "--config", &file.to_string_lossy()]).await?;
        Ok(bench)
    }

    /// Publishes `count` messages, a subject each, and returns how many a second were acknowledged.
    pub(crate) async fn publish(&mut self, how: Publish, count: usize) -> anyhow::Result<f64> {
        self.runs += 1;
        let (kind, clients, batch) = match how {
            Publish::Sync(clients) => ("sync", clients, None),
            Publish::Async(batch) => ("async", 1, Some(batch)),
        };
        let (clients, size, messages) = (clients.to_string(), self.size.to_string(), count.to_string());
        // Subjects of an earlier run are taken.
        let (subject, batch) = (format!("{STREAM}.{}", self.runs), batch.map(|batch| batch.to_string()));
        let mut arguments = vec!["bench", "js", "pub", kind, &subject, "--stream", STREAM, "--multisubject"];
        arguments.extend(["--multisubjectmax", "0", "--no-progress"]);
        arguments.extend(["--clients", &clients, "--size", &size, "--msgs", &messages]);
        arguments.extend(batch.iter().flat_map(|batch| ["--batch", batch]));
        let output = self.run(&arguments).await?;
        rate(&output).with_context(|| format!("nats bench told no rate:\n{output}"))
    }

    async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(&self.program);
        command.args(["--server", &self.url]).args(arguments).env("HOME", &self.home).env("XDG_CONFIG_HOME", &self.home);
        let output = command.kill_on_drop(true).output().await.context("cannot run nats")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ensure!(output.status.success(), "nats {}: {}{}", arguments.join(" "), text(&output.stdout), text(&output.stderr));
        Ok(text(&output.stdout))
    }
}

/// Of one client its own, of several that of all.
fn rate(output: &str) -> Option<f64> {
    let of_all = output.lines().filter(|line| line.contains(" stats: ")).find_map(|line| line.split_once("stats: "));
    let (number, _) = of_all?.1.split_once(" msgs/sec")?;
    number.replace(',', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_of_all_clients_is_read() {
        let one =
            "\n12:00:00 [1] Starting\nNATS JetStream synchronous publisher stats: 1,882 msgs/sec ~ 2.5 MiB/sec ~ min: 2us\n";
        assert_eq!(rate(one), Some(1882.0));
        let several =
            "\n  [1] 74 msgs/sec ~ 102 KiB/sec\n NATS JetStream publisher aggregated stats: 597 msgs/sec ~ 817 KiB/sec\n";
        assert_eq!(rate(several), Some(597.0));
        assert_eq!(rate("nats: error"), None);
    }
}
