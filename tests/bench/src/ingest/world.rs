//! The parts of ingest as processes of this machine, on loopback, with a NATS server and a folder of their own.

use super::{Args, process::Process, sender};
use anyhow::Context as _;
use std::{fs, path::Path, time::Duration};
use tempfile::TempDir;
use tokio::{net::TcpStream, process::Command, time::Instant};
use trackway_crds::names::EVENT_PARTITIONS;
use trackway_nats::{Credentials, EventReader, Nats, NatsConfig, StreamSettings, ensure_streams};
use trackway_test_support::{free_port, reqwest, tools::tool};

const LIMIT: Duration = Duration::from_secs(30);
/// Dimensions of the vectors the scripted model is asked for.
pub(crate) const DIMENSIONS: usize = 384;

/// How often NATS syncs what it has acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Before it acknowledges, as the chart has it.
    Always,
    /// As NATS does by default; a power cut loses what was acknowledged meanwhile.
    EveryTwoMinutes,
}

/// A part of ingest that runs.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) process: Process,
    /// Where its events go in; the gateway's only.
    pub(crate) port: u16,
    probes: u16,
}

/// Where everything runs.
#[derive(Debug)]
pub(crate) struct World {
    // Before the folder: dropped in this order.
    pub(crate) nats: Process,
    nats_port: u16,
    args: Args,
    folder: TempDir,
}

impl World {
    /// A NATS server with Trackway's streams, and the configuration of the parts.
    pub(crate) async fn start(args: Args) -> anyhow::Result<Self> {
        let (folder, nats_port) = (tempfile::tempdir()?, free_port()?);
        let nats = start_nats(folder.path(), nats_port, Sync::Always).await?;
        let world = Self { nats, nats_port, args, folder };
        ensure_streams(&world.connect().await?, StreamSettings::default()).await?;
        configure(world.folder())?;
        Ok(world)
    }

    /// Its folder, on the disk that NATS syncs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn nats_url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.nats_port)
    }

    /// Starts NATS again with the same data.
    pub(crate) async fn restart_nats(&mut self, sync: Sync) -> anyhow::Result<()> {
        self.nats.stop().await?;
        self.nats = start_nats(self.folder.path(), self.nats_port, sync).await?;
        self.connect().await.map(drop)
    }

    async fn connect(&self) -> anyhow::Result<Nats> {
        let config = NatsConfig {
            url: self.nats_url(),
            credentials: Credentials::None,
            inbox_prefix: "_INBOX_bench".into(),
            ca_file: None,
            name: "bench".into(),
        };
        Ok(Nats::connect(&config, Some(Instant::now() + LIMIT)).await?)
    }

    /// Bytes of the first event as it is stored.
    pub(crate) async fn stored_size(&self) -> anyhow::Result<usize> {
        let partitions: Vec<u8> = (0..EVENT_PARTITIONS).collect();
        let mut reader = EventReader::open(&self.connect().await?, &partitions, 0).await?;
        Ok(reader.next().await?.payload.len())
    }

    /// Starts a part as the chart does, but for addresses and `more`, and waits until it is ready.
    pub(crate) async fn start_part(&self, name: &'static str, more: &[&str]) -> anyhow::Result<Part> {
        let (port, probes) = (free_port()?, free_port()?);
        let here = |port: u16| format!("127.0.0.1:{port}");
        let mut command = Command::new(self.args.binaries.join("trackway-ingest"));
        command
            .arg(name)
            .args(more)
            .env("TRACKWAY_NATS_URL", self.nats_url())
            .env("TRACKWAY_NATS_INBOX_PREFIX", format!("_INBOX_{name}"))
            .env("TRACKWAY_STORE_URL", "nats://")
            .env("TRACKWAY_LAKE_URL", format!("file://{}", self.folder().join("lake").display()))
            .env("TRACKWAY_INGEST_CONFIG", self.folder().join("ingest.yaml"))
            .env("TRACKWAY_SECRETS_DIR", self.folder().join("secrets"));
        match name {
            "gateway" => command.args(["--listen", &here(port), "--metrics-listen", &here(probes)]),
            _ => command.args(["--listen", &here(probes)]),
        };
        let mut part = Part { process: Process::start(name, command, self.folder())?, port, probes };
        part.ready().await?;
        Ok(part)
    }

    /// Starts a server that answers requests for embeddings; returns its address too.
    pub(crate) async fn start_model(&self) -> anyhow::Result<(Process, String)> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut command = Command::new(self.args.binaries.join("scripted-llm"));
        command.args(["--listen", &address]);
        let mut process = Process::start("scripted-llm", command, self.folder())?;
        process.ready(&format!("http://{address}/healthz")).await?;
        Ok((process, format!("http://{address}/v1")))
    }
}

impl Part {
    /// Waits until it says that it is ready.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<()> {
        self.process.ready(&format!("http://127.0.0.1:{}/readyz", self.probes)).await
    }

    /// Where its metrics are.
    pub(crate) fn metrics(&self) -> Metrics {
        Metrics(format!("http://127.0.0.1:{}/metrics", self.probes))
    }
}

/// What a part counts.
#[derive(Debug)]
pub(crate) struct Metrics(String);

impl Metrics {
    /// As they are now.
    pub(crate) async fn read(&self) -> anyhow::Result<String> {
        Ok(reqwest::get(&self.0).await?.error_for_status()?.text().await?)
    }
}

/// Sum over all labels of the metric `name` in `text`; 0 when it is not there.
pub(crate) fn sum(text: &str, name: &str) -> f64 {
    let of_name = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let value = |line: &str| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok());
    text.lines().filter(of_name).filter_map(value).sum()
}

async fn start_nats(folder: &Path, port: u16, sync: Sync) -> anyhow::Result<Process> {
    let (program, config) = (tool("nats-server")?, folder.join("nats.conf"));
    let interval = match sync {
        Sync::Always => "always",
        Sync::EveryTwoMinutes => "2m",
    };
    let data = folder.join("nats");
    fs::write(&config, format!("host: 127.0.0.1\njetstream {{store_dir: {data:?}, sync_interval: {interval}}}\n"))?;
    let mut command = Command::new(program);
    command.arg("--config").arg(config).args(["--port", &port.to_string()]);
    let mut process = Process::start("nats-server", command, folder)?;
    let listens = || async { TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop) };
    process.until("nats-server listens", LIMIT, listens).await?;
    Ok(process)
}

fn configure(folder: &Path) -> anyhow::Result<()> {
    let secrets = folder.join("secrets");
    fs::create_dir_all(folder.join("lake"))?;
    let mut credentials = String::new();
    for tenant in 0..sender::TENANTS {
        let name = format!("tenant-{tenant}");
        fs::create_dir_all(secrets.join(&name))?;
        fs::write(secrets.join(&name).join("token"), sender::token(tenant))?;
        credentials.push_str(&format!("  - {{tenant: {name}, secretRef: {{name: {name}, key: token}}}}\n"));
    }
    // Batches as large as they may be: sealing many small ones would measure NATS.
    let config = format!(
        "sources:\n- id: bench\n  preset: CloudEvents\n  auth: {{kind: Bearer}}\n  credentials:\n{credentials}\
         \x20 map: {{user: /user}}\n\
         \x20 limits: {{eventsPerSecond: 1000000, burst: 1000000}}\n\
         batching:\n\
         \x20 tenant: {{thresholds: {{high: 0, medium: 0, low: 500}}, maxEvents: 500}}\n\
         \x20 user: {{thresholds: {{high: 0, medium: 0, low: 100}}, maxEvents: 100}}\n\
         namespaces: [{{name: bench}}]\n"
    );
    fs::write(folder.join("ingest.yaml"), config).context("cannot write the configuration")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_labels_and_not_mixed_with_others() {
        let text = "# TYPE rows counter\nrows_total 3\nlag{partition=\"1\"} 4\nlag{partition=\"2\"} 5\nlag_seconds 7\n# EOF\n";
        assert_eq!((sum(text, "rows_total"), sum(text, "lag"), sum(text, "none")), (3.0, 9.0, 0.0));
    }
}
