//! The one cluster of a test run, with Trackway installed as users install it.

use crate::json;
use anyhow::{Context, bail};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Namespace};
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use std::{
    fs::File,
    path::{Path, PathBuf},
};
use tokio::{process::Command, sync::OnceCell};

/// Name of the cluster.
pub const CLUSTER: &str = "e2e";
/// Namespace of the chart's release.
pub const RELEASE_NAMESPACE: &str = "trackway";
/// Namespaces the release works in, and the tenants whose batches go there.
pub const BOUND: [(&str, &str); 10] = [
    ("e2e-demo", "*"),
    ("e2e-bad", "nobody"),
    ("e2e-box", "nobody"),
    ("e2e-cast", "nobody"),
    ("e2e-catch", "nobody"),
    ("e2e-fan", "nobody"),
    ("e2e-life", "nobody"),
    ("e2e-limits", "nobody"),
    ("e2e-quota", "nobody"),
    ("e2e-secrets", "nobody"),
];
/// Field manager of everything tests apply.
pub const MANAGER: &str = "e2e";

/// The cluster, up and installed into.
pub struct Cluster {
    /// As its administrator.
    pub client: Client,
    /// For kubectl and other programs.
    pub kubeconfig: PathBuf,
    /// Address of this machine as pods reach it.
    pub host_address: String,
    /// See [`crate::audit`].
    pub audit_log: PathBuf,
    /// Image of the workers the release runs.
    pub worker_image: String,
    /// Two runs of the tests would clear each other's namespaces.
    _alone: File,
}

impl Cluster {
    /// The cluster all stories share; the first one brings it up and installs.
    ///
    /// # Errors
    /// What kept it from coming up; every later story gets the same.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<Result<Cluster, String>> = OnceCell::const_new();
        let shared = SHARED.get_or_init(|| async { Self::up().await.map_err(|error| format!("{error:#}")) });
        shared.await.as_ref().map_err(|error| anyhow::anyhow!("no cluster to tell stories in: {error}"))
    }

    async fn up() -> anyhow::Result<Self> {
        // Another test of this process may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let cluster = repository().join("tests/cluster/cluster");
        run(&cluster, &["up", "--name", CLUSTER], &[]).await?;
        let kubeconfig = PathBuf::from(run(&cluster, &["kubeconfig", "--name", CLUSTER], &[]).await?);
        let host_address = run(&cluster, &["host-address", "--name", CLUSTER], &[]).await?;
        let audit_log = PathBuf::from(run(&cluster, &["audit", "--name", CLUSTER], &[]).await?);
        let alone = File::create(kubeconfig.with_file_name("e2e.lock"))?;
        tokio::task::block_in_place(|| alone.lock())?;
        let config = Kubeconfig::read_from(&kubeconfig)?;
        let client = Client::try_from(Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?)?;
        for (name, _) in BOUND {
            make_namespace(&client, name).await?;
        }
        let worker_image = install(&client, &kubeconfig, &host_address).await?;
        Ok(Self { client, kubeconfig, host_address, audit_log, worker_image, _alone: alone })
    }

    /// Runs the real kubectl; what it printed.
    ///
    /// # Errors
    /// Anything but exit code 0, with what it said.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let kubectl = trackway_test_support::tools::tool("kubectl")?;
        run(&kubectl, arguments, &[("KUBECONFIG", &self.kubeconfig.to_string_lossy())]).await
    }

    /// Runs a program of this workspace, built for the images, against the cluster; what it printed.
    ///
    /// # Errors
    /// Anything but exit code 0, with what it said.
    pub async fn trackway(&self, program: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let beside = std::env::current_exe()?;
        let folder = beside.ancestors().nth(2).context("a test program lies in target/…/deps")?;
        run(&folder.join(program), arguments, &[("KUBECONFIG", &self.kubeconfig.to_string_lossy())]).await
    }

    /// As [`Cluster::trackway`] with the CLI, about a run that failed: its exit code must say so.
    ///
    /// # Errors
    /// Anything but exit code 1, with what it said.
    pub async fn of_failed_run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let beside = std::env::current_exe()?;
        let program = beside.ancestors().nth(2).context("a test program lies in target/…/deps")?.join("kubectl-trackway");
        let mut command = Command::new(&program);
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig).stdin(std::process::Stdio::null()).kill_on_drop(true);
        let output = command.output().await.with_context(|| format!("cannot run {}", program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.code() == Some(1), "kubectl trackway {}: {}: {said}", arguments.join(" "), output.status);
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a program inside the node's namespaces, as root.
    ///
    /// # Errors
    /// Anything but exit code 0, with what it said.
    pub async fn on_node(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let cluster = repository().join("tests/cluster/cluster");
        run(&cluster, &[&["exec", "--name", CLUSTER], arguments].concat(), &[]).await
    }

    /// Makes sure `name` exists and enforces restricted pod security.
    ///
    /// # Errors
    /// As the API server answers.
    pub async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        make_namespace(&self.client, name).await
    }
}

/// The folder of the whole repository.
#[must_use]
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Runs `program`; what it printed, without the last line's end.
///
/// # Errors
/// Anything but exit code 0, with what it printed and said.
pub async fn run(program: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).envs(variables.iter().copied()).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = command.output().await.with_context(|| format!("cannot run {}", program.display()))?;
    let printed = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} {}: {}\n{said}\n{printed}", program.display(), arguments.join(" "), output.status);
    }
    Ok(printed)
}

async fn make_namespace(client: &Client, name: &str) -> anyhow::Result<()> {
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}});
    Api::<Namespace>::all(client.clone()).patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(namespace)).await?;
    Ok(())
}

/// Installs the chart by the demo's script; the image its workers run.
async fn install(client: &Client, kubeconfig: &Path, host_address: &str) -> anyhow::Result<String> {
    let namespaces: Vec<_> = BOUND.iter().map(|(name, tenants)| json!({"name": name, "tenants": [tenants]})).collect();
    let values = tempfile::Builder::new().suffix(".yaml").tempfile()?;
    // Every story has a model of its own; nobody listens here.
    let nobody = format!("http://{host_address}:9/v1");
    std::fs::write(values.path(), json!({"namespaces": namespaces}).to_string())?;
    let script = repository().join("tests/demo/install");
    let variables =
        [("KUBECONFIG", &*kubeconfig.to_string_lossy()), ("NAMESPACE", RELEASE_NAMESPACE), ("LLM_URL", nobody.as_str())];
    run(&script, &["--values", &values.path().to_string_lossy()], &variables).await?;
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), RELEASE_NAMESPACE);
    let operator = serde_json::to_value(deployments.get("trackway-operator").await?)?;
    let variables = operator.pointer("/spec/template/spec/containers/0/env").and_then(|list| list.as_array()).cloned();
    let image = variables.unwrap_or_default().into_iter().find(|variable| variable["name"] == "TRACKWAY_WORKER_IMAGE");
    let image = image.context("the operator's Deployment names no TRACKWAY_WORKER_IMAGE")?;
    Ok(image["value"].as_str().unwrap_or_default().to_owned())
}

/// Reads a YAML file of this crate's folder.
///
/// # Errors
/// A file that cannot be read as `T`.
pub fn file<T: serde::de::DeserializeOwned>(name: &str) -> anyhow::Result<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    json::yaml(name, &text)
}
