//! A NATS server with JetStream.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::process::{free_port, still_running, until};
use crate::tools::tool;

const START_LIMIT: Duration = Duration::from_secs(20);

/// A running (or stopped) NATS server whose port and data outlive [`NatsServer::stop`] and [`NatsServer::restart`].
#[derive(Debug)]
pub struct NatsServer {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl NatsServer {
    /// A server that lets everybody do everything.
    ///
    /// # Errors
    /// When the program is missing or does not start; the text holds its log.
    pub async fn start() -> Result<Self> {
        Self::start_with("").await
    }

    /// A server with `settings` (the server's own configuration syntax, for users and permissions) added to ours.
    ///
    /// # Errors
    /// As [`NatsServer::start`].
    pub async fn start_with(settings: &str) -> Result<Self> {
        let program = tool("nats-server")?;
        let folder = tempfile::tempdir()?;
        let mut server = Self { program, folder, port: free_port()?, child: None };
        server.configure(settings)?;
        server.spawn().await?;
        Ok(server)
    }

    /// `nats://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills the server as a power cut would; port and data stay for [`NatsServer::restart`].
    ///
    /// # Errors
    /// When the process cannot be ended.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.context("cannot end nats-server")?;
        }
        Ok(())
    }

    /// Stops the server if it runs and starts it again with the same port and data.
    ///
    /// # Errors
    /// As [`NatsServer::start`].
    pub async fn restart(&mut self) -> Result<()> {
        self.stop().await?;
        self.spawn().await
    }

    /// Replaces the settings given to [`NatsServer::start_with`]; they hold from the next [`NatsServer::restart`] on.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn configure(&self, settings: &str) -> Result<()> {
        let data = self.folder.path().join("data");
        // A killed server must have what it acknowledged, as in production.
        let ours =
            format!("server_name: {}\nhost: 127.0.0.1\njetstream {{store_dir: {data:?}, sync_interval: always}}\n", self.name());
        std::fs::write(self.configuration(), ours + settings)?;
        Ok(())
    }

    /// Unique, so that a greeting is known to be ours.
    fn name(&self) -> String {
        format!("test-{}", self.port) + &self.folder.path().file_name().unwrap_or_default().to_string_lossy()
    }

    fn configuration(&self) -> PathBuf {
        self.folder.path().join("nats.conf")
    }

    async fn spawn(&mut self) -> Result<()> {
        let log = self.folder.path().join("log");
        let output = File::create(&log)?;
        let mut child = Command::new(&self.program)
            .arg("--config")
            .arg(self.configuration())
            .args(["--port", &self.port.to_string()])
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let name = self.name();
        let ready = until("nats-server answers", START_LIMIT, || async { greets(self.port, &name).await.ok() }).await;
        still_running("nats-server", &mut child, &log)?;
        if let Err(error) = ready {
            bail!("{error:#}\n{}", std::fs::read_to_string(&log).unwrap_or_default());
        }
        self.child = Some(child);
        Ok(())
    }
}

/// The server greets every connection with a line that begins with INFO and holds its name.
async fn greets(port: u16, name: &str) -> Result<()> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await?;
    if !line.starts_with("INFO") || !line.contains(name) {
        bail!("unexpected greeting {line:?}");
    }
    Ok(())
}
