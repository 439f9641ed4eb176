//! The cluster measured in: batches go in through the CLI, runs are watched until they end.

use super::Args;
use crate::memory::{self, Memory};
use anyhow::{Context, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kube::{Api, Client, ResourceExt, api::ListParams, runtime::wait::await_condition};
use std::{process::Stdio, time::Duration};
use tokio::{
    process::Command,
    time::{Instant, timeout},
};
use trackway_crds::{BatchRun, Track, names, status::Phase, track::Level};
use trackway_nats::{Credentials, Nats, NatsConfig};

/// More than any run takes here.
const RUN_LIMIT: Duration = Duration::from_secs(180);
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// Name of the operator's Secret, and what its pods' names begin with.
const OPERATOR: &str = "trackway-operator";

/// A batch to be sent.
pub(crate) struct Batch {
    pub(crate) id: String,
    pub(crate) level: Level,
    /// Value of its label `bench`.
    pub(crate) bench: &'static str,
}

/// A cluster with Trackway in it.
pub(crate) struct Place {
    pub(crate) client: Client,
    pub(crate) nats: Nats,
    args: Args,
}

impl Place {
    /// Connects to the cluster of the current kubeconfig and to its NATS, as the operator does.
    pub(crate) async fn open(args: Args) -> anyhow::Result<Self> {
        let client = trackway_kubernetes::client(None, concat!("trackway-bench/", env!("CARGO_PKG_VERSION"))).await?;
        let nats = nats(&client, &args.namespace).await?;
        Ok(Self { client, nats, args })
    }

    /// Hands a batch to the cluster and waits until its runs have ended.
    pub(crate) async fn run_batch(&self, batch: &Batch) -> anyhow::Result<Vec<BatchRun>> {
        let labels = [("bench".to_owned(), batch.bench.to_owned())].into();
        let tracks = Api::<Track>::namespaced(self.client.clone(), &self.args.namespace).list(&ListParams::default()).await?;
        let takes = |track: &&Track| {
            let selector = &track.spec.selector;
            let level = selector.levels.is_empty() || selector.levels.contains(&batch.level);
            level && selector.label_selector.as_ref().is_none_or(|labeled| labeled.matches(&labels))
        };
        let names: Vec<String> = tracks.iter().filter(takes).map(|track| names::run_name(&track.name_any(), &batch.id)).collect();
        ensure!(!names.is_empty(), "no Track in namespace {} takes batches with bench={}", self.args.namespace, batch.bench);
        self.submit(batch).await?;
        try_join_all(names.iter().map(|name| self.until_succeeded(name))).await
    }

    async fn submit(&self, batch: &Batch) -> anyhow::Result<()> {
        let Batch { id, level, bench } = batch;
        let mut command = Command::new(&self.args.cli);
        command.args([
            "submit",
            "--namespace",
            &self.args.namespace,
            "--output",
            "json",
            "--tenant",
            "bench",
            "--subject",
            "bench",
        ]);
        command.args(["--label", &format!("bench={bench}")]);
        command.args(["--level", level.as_str(), "--priority", "High", "--batch-id", id, "--events"]).arg(&self.args.events);
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output.with_context(|| format!("cannot run {}", self.args.cli.display()))?;
        ensure!(output.status.success(), "batch {id} was not taken: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    async fn until_succeeded(&self, name: &str) -> anyhow::Result<BatchRun> {
        let phase = |run: &BatchRun| run.status.as_ref().and_then(|status| status.phase);
        let ended = |run: Option<&BatchRun>| run.and_then(phase).is_some_and(Phase::is_finished);
        let api = Api::<BatchRun>::namespaced(self.client.clone(), &self.args.namespace);
        let run = timeout(RUN_LIMIT, await_condition(api, name, ended)).await;
        let run = run.with_context(|| format!("run {name} has not ended after {RUN_LIMIT:?}"))??;
        let run = run.with_context(|| format!("run {name} vanished"))?;
        ensure!(phase(&run) == Some(Phase::Succeeded), "run {name} did not succeed; why: kubectl trackway why {name}");
        Ok(run)
    }

    /// Memory of the operator's process.
    pub(crate) async fn operator_memory(&self) -> anyhow::Result<Memory> {
        let pods = Api::<Pod>::namespaced(self.client.clone(), &self.args.namespace).list(&ListParams::default()).await?;
        let of_operator = |pod: &&Pod| pod.name_any().starts_with(OPERATOR) && pod.metadata.deletion_timestamp.is_none();
        let uid = pods.iter().find(of_operator).and_then(ResourceExt::uid);
        memory::of_operator(&uid.with_context(|| format!("no pod {OPERATOR}-… in namespace {}", self.args.namespace))?)
    }
}

/// With the operator's rights: only its user may read results.
async fn nats(client: &Client, namespace: &str) -> anyhow::Result<Nats> {
    let service = Api::<Service>::namespaced(client.clone(), namespace).get("trackway-nats").await?;
    let address = service.spec.and_then(|spec| spec.cluster_ip).context("Service trackway-nats has no address")?;
    let secret = Api::<Secret>::namespaced(client.clone(), namespace).get(OPERATOR).await?.data.unwrap_or_default();
    let value = |key: &str| {
        let found = secret.get(key).with_context(|| format!("Secret {OPERATOR} has no {key}"))?;
        String::from_utf8(found.0.clone()).with_context(|| format!("Secret {OPERATOR}: {key} is not text"))
    };
    let config = NatsConfig {
        url: format!("nats://{address}:4222"),
        credentials: Credentials::UserPassword { user: value("nats-user")?, password: value("nats-password")?.into() },
        inbox_prefix: value("nats-inbox-prefix")?,
        ca_file: None,
        name: "bench".into(),
    };
    Ok(Nats::connect(&config, Some(Instant::now() + CONNECT_LIMIT)).await?)
}
