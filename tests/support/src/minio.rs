//! An S3 server.

use std::fs::File;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::process::{free_port, still_running, until};
use crate::tools::tool;

/// The access key id of every [`Minio`].
pub const MINIO_USER: &str = "trackway-tests";
/// The secret access key of every [`Minio`].
pub const MINIO_PASSWORD: &str = "trackway-tests-only";

const START_LIMIT: Duration = Duration::from_secs(60);

/// A running MinIO server with one bucket, `payloads`.
#[derive(Debug)]
pub struct Minio {
    _folder: TempDir,
    _child: Child,
    port: u16,
}

impl Minio {
    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// When the program is missing or does not start; the text holds its log.
    pub async fn start() -> Result<Self> {
        Self::start_on("127.0.0.1").await
    }

    /// As [`Minio::start`], listening on `address`, so that pods of a local cluster reach it too.
    ///
    /// # Errors
    /// As [`Minio::start`].
    pub async fn start_on(address: &str) -> Result<Self> {
        let program = tool("minio")?;
        let folder = tempfile::tempdir()?;
        let data = folder.path().join("data");
        // A folder of the data directory is a bucket.
        std::fs::create_dir_all(data.join("payloads"))?;
        let log = folder.path().join("log");
        let output = File::create(&log)?;
        let port = free_port()?;
        let mut child = Command::new(&program)
            .args(["server", "--quiet", "--address", &format!("{address}:{port}")])
            .args(["--console-address", &format!("127.0.0.1:{}", free_port()?)])
            .arg(&data)
            .env("MINIO_ROOT_USER", MINIO_USER)
            .env("MINIO_ROOT_PASSWORD", MINIO_PASSWORD)
            .env("HOME", folder.path())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let ready = until("minio is ready", START_LIMIT, || async move { healthy(port).await.ok() }).await;
        still_running("minio", &mut child, &log)?;
        if let Err(error) = ready {
            bail!("{error:#}\n{}", std::fs::read_to_string(&log).unwrap_or_default());
        }
        Ok(Self { _folder: folder, _child: child, port })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

async fn healthy(port: u16) -> Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET /minio/health/ready HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    if !answer.starts_with(b"HTTP/1.0 200") && !answer.starts_with(b"HTTP/1.1 200") {
        bail!("not ready: {}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}
