//! What commands read from the cluster.

use crate::args::Global;
use anyhow::{Context, anyhow, bail};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, api::ListParams};
use trackway_crds::{
    BatchRun, BatchRunStatus, Track,
    contracts::{REVISION_KEY, Revision},
};
use trackway_kubernetes::{ApiError, within};

/// A cluster and the namespace commands work in.
pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl Cluster {
    pub(crate) async fn connect(global: &Global) -> anyhow::Result<Self> {
        let agent = concat!("kubectl-trackway/", env!("CARGO_PKG_VERSION"));
        let client = trackway_kubernetes::client(global.context.as_deref(), agent).await?;
        let namespace = global.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        Ok(Self { client, namespace })
    }

    pub(crate) fn runs(&self) -> Api<BatchRun> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The run `name`; when there is none, the error names those there are.
    pub(crate) async fn run(&self, name: &str) -> anyhow::Result<BatchRun> {
        let action = format!("get BatchRun {}/{name}", self.namespace);
        match within(&action, self.runs().get(name)).await {
            Err(ApiError::NotFound { .. }) => Err(self.no_such_run(name).await),
            outcome => Ok(outcome?),
        }
    }

    async fn no_such_run(&self, name: &str) -> anyhow::Error {
        let action = format!("list BatchRuns of {}", self.namespace);
        let list = within(&action, self.runs().list(&ListParams::default().limit(100))).await;
        let names: Vec<_> = list.into_iter().flat_map(|list| list.items).filter_map(|run| run.metadata.name).collect();
        let there_are = match names.as_slice() {
            [] => "it has none; is it the right namespace (-n)?".to_owned(),
            [some @ .., last] if some.len() < 5 => format!("it has {}", [some, std::slice::from_ref(last)].concat().join(", ")),
            many => format!("it has {}, among them {}", many.len(), many[many.len() - 5..].join(", ")),
        };
        anyhow!("no BatchRun {name} in namespace {}: {there_are}", self.namespace)
    }

    /// The revision a run executes; `None` before it has one, or when it is gone.
    pub(crate) async fn revision(&self, status: &BatchRunStatus) -> anyhow::Result<Option<Revision>> {
        let Some(name) = &status.revision else { return Ok(None) };
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let map = within(&format!("get ConfigMap {}/{name}", self.namespace), maps.get_opt(name)).await?;
        let Some(text) = map.and_then(|map| map.data?.remove(REVISION_KEY)) else { return Ok(None) };
        serde_json::from_str(&text).map(Some).with_context(|| format!("ConfigMap {name} holds no revision this version can read"))
    }

    /// What the Track of a waiting run says about itself: reason and message of its Ready condition.
    pub(crate) async fn track_complaint(&self, track: &str) -> anyhow::Result<Option<String>> {
        let tracks: Api<Track> = Api::namespaced(self.client.clone(), &self.namespace);
        let Some(found) = within(&format!("get Track {}/{track}", self.namespace), tracks.get_opt(track)).await? else {
            return Ok(Some(format!("there is no Track {track} in namespace {}", self.namespace)));
        };
        let conditions = found.status.map(|status| status.conditions).unwrap_or_default();
        let unready = conditions.into_iter().find(|condition| condition.type_ == "Ready" && condition.status != "True");
        Ok(unready.map(|condition| format!("Track {track} is not ready: {}: {}", condition.reason, condition.message)))
    }
}

/// Name and uid of a run, which the API server always gives.
pub(crate) fn identity(run: &BatchRun) -> anyhow::Result<(&str, &str)> {
    match (&run.metadata.name, &run.metadata.uid) {
        (Some(name), Some(uid)) => Ok((name, uid)),
        _ => bail!("the API server gave a BatchRun without name or uid"),
    }
}
