//! A Kubernetes API server with its etcd, and nothing that would act on what it keeps.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::process::{free_port, still_running, until};
use crate::tools::tool;

const START_LIMIT: Duration = Duration::from_secs(90);
/// Nobody serves there; the API server wants one for itself.
const SERVICES: &str = "10.254.0.0/24";
const FIRST_SERVICE: &str = "10.254.0.1";
/// The port that the written kubeconfigs name.
const USUAL_PORT: &str = "127.0.0.1:6443";

/// A running API server: real admission, validation, conflicts and watches; no controllers, no nodes.
#[derive(Debug)]
pub struct ApiServer {
    folder: TempDir,
    _children: [Child; 2],
}

impl ApiServer {
    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// When a program is missing or does not start; the text holds its log.
    pub async fn start() -> Result<Self> {
        let program = tool("kubernetes")?;
        let folder = tempfile::tempdir()?;
        let credentials = folder.path().join("credentials");
        let arguments = ["--cluster", "test", "--node", "test", "--address", "127.0.0.1", "--service-address", FIRST_SERVICE];
        run(Command::new(&program).arg("credentials").arg("--dir").arg(&credentials).args(arguments)).await?;
        let port = free_port()?;
        let written = std::fs::read_to_string(credentials.join("admin.kubeconfig"))?;
        std::fs::write(folder.path().join("kubeconfig"), written.replace(USUAL_PORT, &format!("127.0.0.1:{port}")))?;

        let store = format!("http://127.0.0.1:{}", free_port()?);
        let etcd = etcd(&program, folder.path(), &store)?;
        let mut api = api_server(&program, folder.path(), &credentials, &store, port)?;
        let kubeconfig = folder.path().join("kubeconfig");
        let ready = || async { kubectl(&kubeconfig, &["get", "--raw", "/readyz"]).await.ok() };
        let ready = until("the API server is ready", START_LIMIT, ready).await;
        let log = folder.path().join("kube-apiserver.log");
        still_running("kube-apiserver", &mut api, &log)?;
        if let Err(error) = ready {
            bail!("{error:#}\n{}", std::fs::read_to_string(&log).unwrap_or_default());
        }
        Ok(Self { folder, _children: [etcd, api] })
    }

    /// The kubeconfig of its administrator.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// What `kubectl` prints for these arguments.
    ///
    /// # Errors
    /// With its own complaint.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        kubectl(&self.kubeconfig(), arguments).await
    }
}

fn etcd(program: &Path, folder: &Path, store: &str) -> Result<Child> {
    let peer = format!("http://127.0.0.1:{}", free_port()?);
    let mut command = Command::new(program);
    // Nothing here has to survive a power cut.
    command.args(["etcd", "--unsafe-no-fsync", "--log-level", "warn", "--data-dir"]).arg(folder.join("etcd"));
    command.args(["--listen-client-urls", store, "--advertise-client-urls", store]);
    command.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
    command.args(["--initial-cluster", &format!("default={peer}")]);
    spawn(command, folder.join("etcd.log"))
}

fn api_server(program: &Path, folder: &Path, credentials: &Path, store: &str, port: u16) -> Result<Child> {
    let mut command = Command::new(program);
    command.args(["kube-apiserver", "--etcd-servers", store, "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1"]);
    command.args(["--secure-port", &port.to_string(), "--service-cluster-ip-range", SERVICES, "--authorization-mode", "RBAC"]);
    command.args(["--service-account-issuer", "https://kubernetes.default.svc.cluster.local"]);
    // Whoever creates pods would need an account first; nobody does.
    command.args(["--disable-admission-plugins", "ServiceAccount"]);
    for (flag, file) in [
        ("--tls-cert-file", "apiserver.crt"),
        ("--tls-private-key-file", "apiserver.key"),
        ("--client-ca-file", "ca.crt"),
        ("--service-account-key-file", "service-accounts.crt"),
        ("--service-account-signing-key-file", "service-accounts.key"),
    ] {
        command.arg(flag).arg(credentials.join(file));
    }
    spawn(command, folder.join("kube-apiserver.log"))
}

fn spawn(mut command: Command, log: PathBuf) -> Result<Child> {
    let output = File::create(&log)?;
    let command = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).kill_on_drop(true);
    command.spawn().with_context(|| format!("cannot start what logs to {}", log.display()))
}

async fn kubectl(kubeconfig: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(tool("kubectl")?);
    // Without the preferences and the cache of the user's home.
    command.env("KUBERC", "off").arg("--kubeconfig").arg(kubeconfig);
    command.arg("--cache-dir").arg(kubeconfig.with_file_name("discovery"));
    run(command.args(arguments)).await
}

async fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().await?;
    if !output.status.success() {
        bail!("{:?}: {}", command.as_std(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
