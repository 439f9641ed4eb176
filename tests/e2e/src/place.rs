//! A namespace in which a story plays, with a scripted LLM that is its own.

use crate::{
    Cluster, batch, cluster,
    cluster::{MANAGER, RELEASE_NAMESPACE},
    diagnosis,
    json::merge,
};
use anyhow::{Context, bail};
use k8s_openapi::{
    api::core::v1::{ConfigMap, Secret, Service, ServiceAccount},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::wait::await_condition,
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fmt::Debug,
    path::PathBuf,
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::{sync::Mutex, time::timeout};
use trackway_crds::{
    BatchRun, ModelEndpoint, Track,
    batch_run::{BatchSpec, TrackRef},
    contracts::BatchDocument,
    labels,
    status::Phase,
};
use trackway_nats::{Credentials, Nats, NatsConfig};
use trackway_scripted_llm::{Count, Rules, ScriptedLlm};
use trackway_store::PayloadStore;
use trackway_test_support::{MINIO_PASSWORD, MINIO_USER, Minio, NatsServer};

/// How long a run may take that nothing holds up.
pub const RUN_LIMIT: Duration = Duration::from_secs(90);
const TRACK_LIMIT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// How long a call may be waited for.
pub const CALL_LIMIT: Duration = Duration::from_secs(60);

/// A namespace, a model and a way to the payloads.
pub struct Place {
    /// Where it is.
    pub cluster: &'static Cluster,
    /// Its name.
    pub namespace: String,
    /// The model of every Track here.
    pub llm: ScriptedLlm,
    /// The payloads of its runs.
    pub store: PayloadStore,
    /// Servers of its own, if it has any.
    pub hosted: Option<Hosted>,
}

/// Servers on this machine that one place has for itself.
pub struct Hosted {
    /// To be stopped and started again.
    pub nats: Mutex<NatsServer>,
    /// Address for operator and workers alike.
    pub nats_url: String,
    /// Payload store for operator and workers.
    pub store_url: String,
    _minio: Option<Minio>,
}

/// Which payload store a hosted place uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// In its NATS.
    Nats,
    /// In an S3 server of its own.
    S3,
}

/// Where the log of a namespace's own operator is kept.
#[must_use]
pub fn operator_log(namespace: &str) -> PathBuf {
    std::env::temp_dir().join(format!("trackway-operator-{namespace}.log"))
}

impl Place {
    /// One of the namespaces the chart's release works in, emptied when the first story of this process comes there. Stories
    /// that share it tell themselves apart by the names of their Tracks.
    ///
    /// # Errors
    /// No cluster, or no way to its NATS.
    pub async fn bound(namespace: &'static str) -> anyhow::Result<Arc<Self>> {
        static PLACES: LazyLock<Mutex<BTreeMap<&str, Arc<Place>>>> = LazyLock::new(Mutex::default);
        let mut places = PLACES.lock().await;
        if let Some(place) = places.get(namespace) {
            return Ok(Arc::clone(place));
        }
        let cluster = Cluster::shared().await?;
        let store = PayloadStore::open("nats://", Some(&client_of(cluster, namespace).await?))?;
        let place = Arc::new(Self::new(cluster, namespace, store, None).await?);
        places.insert(namespace, Arc::clone(&place));
        Ok(place)
    }

    /// A namespace the release does not know, with a NATS (and an S3 server) of its own.
    ///
    /// # Errors
    /// No cluster, or a server that does not start.
    pub async fn hosted(namespace: &str, kind: StoreKind) -> anyhow::Result<Self> {
        let cluster = Cluster::shared().await?;
        cluster.namespace(namespace).await?;
        // A log of an earlier story of that name would only confuse.
        let _ = std::fs::remove_file(operator_log(namespace));
        // Pods reach it under the host's address; what stands later in the file wins.
        let nats = NatsServer::start_with("host: 0.0.0.0\n").await?;
        let port = port_of(&nats.url())?;
        let nats_url = format!("nats://{}:{port}", cluster.host_address);
        let (minio, store_url) = match kind {
            StoreKind::Nats => (None, "nats://".to_owned()),
            StoreKind::S3 => {
                let minio = Minio::start_on("0.0.0.0").await?;
                let endpoint = format!("http://{}:{}", cluster.host_address, port_of(&minio.endpoint())?);
                (Some(minio), format!("s3://payloads/e2e?endpoint={endpoint}&region=us-east-1&allow_http=true"))
            }
        };
        let connection = connect(&nats_url, Credentials::None, "_INBOX_client").await?;
        // The operator makes them too; the store is used before it runs.
        trackway_nats::ensure_streams(&connection, trackway_nats::StreamSettings::default()).await?;
        let keys = [("AWS_ACCESS_KEY_ID", MINIO_USER), ("AWS_SECRET_ACCESS_KEY", MINIO_PASSWORD)];
        let variables = keys.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let store = PayloadStore::open_with(&store_url, Some(&connection), variables)?;
        let hosted = Hosted { nats: nats.into(), nats_url, store_url, _minio: minio };
        let place = Self::new(cluster, namespace, store, Some(hosted)).await?;
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "trackway-worker"}});
        place.apply::<ServiceAccount>(&account).await?;
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "trackway-worker"}, "stringData": BTreeMap::from(keys)});
        place.apply::<Secret>(&secret).await?;
        Ok(place)
    }

    async fn new(
        cluster: &'static Cluster,
        namespace: &str,
        store: PayloadStore,
        hosted: Option<Hosted>,
    ) -> anyhow::Result<Self> {
        let llm = ScriptedLlm::start("0.0.0.0:0", Rules::none()).await?;
        let place = Self { cluster, namespace: namespace.to_owned(), llm, store, hosted };
        place.clear::<BatchRun>().await?;
        place.clear::<Track>().await?;
        place.endpoint("main", json!({})).await?;
        Ok(place)
    }

    /// Objects of a kind, here.
    #[must_use]
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.cluster.client.clone(), &self.namespace)
    }

    /// Log of this place's own operator.
    #[must_use]
    pub fn operator_log(&self) -> PathBuf {
        operator_log(&self.namespace)
    }

    /// `namespace/name` of a run.
    #[must_use]
    pub fn name(&self, run: &BatchRun) -> String {
        format!("{}/{}", self.namespace, run.name_any())
    }

    /// Applies `object`.
    ///
    /// # Errors
    /// As the API server answers.
    pub async fn apply<K>(&self, object: &Value) -> anyhow::Result<K>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
    {
        let name = object.pointer("/metadata/name").and_then(Value::as_str).context("an object without name")?;
        let applied = self.api::<K>().patch(name, &PatchParams::apply(MANAGER).force(), &Patch::Apply(object)).await;
        applied.with_context(|| format!("cannot apply {} {}/{name}", K::kind(&()), self.namespace))
    }

    /// Base URL of the scripted LLM as pods reach it.
    #[must_use]
    pub fn llm_url(&self) -> String {
        format!("http://{}:{}/v1", self.cluster.host_address, self.llm.address().port())
    }

    /// A ModelEndpoint that leads to the scripted LLM, with `patch` merged into its spec.
    ///
    /// # Errors
    /// As the API server answers.
    pub async fn endpoint(&self, name: &str, patch: Value) -> anyhow::Result<()> {
        let mut spec = json!({"baseURL": self.llm_url()});
        merge(&mut spec, &patch);
        let object =
            json!({"apiVersion": "trackway.dev/v1alpha1", "kind": "ModelEndpoint", "metadata": {"name": name}, "spec": spec});
        self.apply::<ModelEndpoint>(&object).await.map(drop)
    }

    /// Sets the rules of the scripted LLM.
    ///
    /// # Errors
    /// Rules it does not understand.
    pub fn rules(&self, rules: &str) -> anyhow::Result<()> {
        let rules = Rules::from_yaml(rules).map_err(|error| anyhow::anyhow!("{error}"))?;
        self.llm.set_rules(&rules);
        Ok(())
    }

    /// The small Track of `track.yaml` under `name`, with `patch` merged into it and `prompts` into its prompts. Not applied.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn small_track(&self, name: &str, patch: &Value, prompts: &Value) -> anyhow::Result<(Value, Value)> {
        let parts: BTreeMap<String, Value> = cluster::file("track.yaml")?;
        let part = |key: &str| parts.get(key).cloned().with_context(|| format!("track.yaml has no {key}"));
        let (mut track, mut map) = (part("track")?, part("prompts")?);
        let prompts_name = format!("{name}-prompts");
        merge(
            &mut track,
            &json!({"metadata": {"name": name}, "spec": {"promptsFrom": {"configMapRef": {"name": prompts_name}}}}),
        );
        merge(&mut track, patch);
        merge(&mut map, &json!({"metadata": {"name": prompts_name}, "data": prompts}));
        Ok((track, map))
    }

    /// Applies the small Track of `track.yaml` under `name`, with `patch` merged into it, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn track(&self, name: &str, patch: &Value) -> anyhow::Result<Track> {
        self.track_with(name, patch, &json!({})).await
    }

    /// As [`Place::track`], with `prompts` merged into its prompts.
    ///
    /// # Errors
    /// When it does not become ready.
    pub async fn track_with(&self, name: &str, patch: &Value, prompts: &Value) -> anyhow::Result<Track> {
        let (track, prompts) = self.small_track(name, patch, prompts)?;
        self.apply::<ConfigMap>(&prompts).await?;
        let applied = self.apply::<Track>(&track).await?;
        self.until_track(name, "is ready", |track| {
            let status = track.status.clone().unwrap_or_default();
            let ready = status.conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
            ready && status.observed_generation >= applied.metadata.generation
        })
        .await
    }

    /// Stores a batch document; what a run says of it.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn batch(&self, document: &BatchDocument) -> anyhow::Result<BatchSpec> {
        let input = self.store.put_batch(&self.namespace, serde_json::to_vec(document)?.into()).await?;
        let info = &document.batch;
        Ok(BatchSpec {
            id: info.id.clone(),
            tenant: info.tenant.clone(),
            level: info.level,
            subject: info.subject.clone(),
            priority: info.priority,
            events: info.counts.events,
            ready_at: MicroTime(info.ready_at),
            input,
        })
    }

    /// Starts a run by hand.
    ///
    /// # Errors
    /// As the API server answers.
    pub async fn start(&self, name: &str, track: &str, batch: BatchSpec) -> anyhow::Result<BatchRun> {
        let spec =
            trackway_crds::BatchRunSpec { track_ref: TrackRef { name: track.into() }, batch, suspend: false, cancel: false };
        let mut run = BatchRun::new(name, spec);
        run.metadata.labels = Some([(labels::TRACK.to_owned(), track.to_owned())].into());
        let created = self.api::<BatchRun>().create(&PostParams::default(), &run).await;
        created.with_context(|| format!("cannot create run {name}"))
    }

    /// Starts a run of a fresh small batch.
    ///
    /// # Errors
    /// As store and API server answer.
    pub async fn start_fresh(&self, track: &str) -> anyhow::Result<BatchRun> {
        let id = batch::fresh_id();
        let batch = self.batch(&batch::document(&id, 3)).await?;
        self.start(&trackway_crds::names::run_name(track, &id), track, batch).await
    }

    /// Merges `patch` into a run.
    ///
    /// # Errors
    /// As the API server answers.
    pub async fn patch(&self, run: &str, patch: &Value) -> anyhow::Result<BatchRun> {
        Ok(self.api::<BatchRun>().patch(run, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    /// Waits until `holds` says so of the run.
    ///
    /// # Errors
    /// When it does not after `limit`, with the run as a picture.
    pub async fn until(
        &self,
        run: &str,
        what: &str,
        limit: Duration,
        holds: impl Fn(&BatchRun) -> bool + Send + Sync,
    ) -> anyhow::Result<BatchRun> {
        let api = self.api::<BatchRun>();
        let condition = |found: Option<&BatchRun>| found.is_some_and(&holds);
        match timeout(limit, await_condition(api.clone(), run, condition)).await {
            Ok(found) => found?.with_context(|| format!("run {run} vanished")),
            Err(_) => {
                let found = api.get_opt(run).await?.map(|run| diagnosis::tree(&run));
                bail!(
                    "{}/{run}: not so after {limit:?}: {what}\n{}",
                    self.namespace,
                    found.unwrap_or_else(|| "no such run".into())
                )
            }
        }
    }

    /// Waits until the run has ended.
    ///
    /// # Errors
    /// When it has not after [`RUN_LIMIT`].
    pub async fn until_finished(&self, run: &str) -> anyhow::Result<BatchRun> {
        self.until(run, "has ended", RUN_LIMIT, |run| phase(run).is_some_and(Phase::is_finished)).await
    }

    /// Waits until the run has succeeded.
    ///
    /// # Errors
    /// When it has not after [`RUN_LIMIT`], or ended otherwise.
    pub async fn until_succeeded(&self, run: &str) -> anyhow::Result<BatchRun> {
        let ended = self.until_finished(run).await?;
        anyhow::ensure!(phase(&ended) == Some(Phase::Succeeded), "did not succeed:\n{}", diagnosis::tree(&ended));
        Ok(ended)
    }

    /// Waits until `holds` says so of the Track.
    ///
    /// # Errors
    /// When it does not in time, with what the Track says.
    pub async fn until_track(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&Track) -> bool + Send + Sync,
    ) -> anyhow::Result<Track> {
        let condition = |found: Option<&Track>| found.is_some_and(&holds);
        match timeout(TRACK_LIMIT, await_condition(self.api::<Track>(), name, condition)).await {
            Ok(found) => found?.with_context(|| format!("track {name} vanished")),
            Err(_) => {
                let status = self.api::<Track>().get(name).await?.status;
                bail!("track {}/{name}: not so after {TRACK_LIMIT:?}: {what}: {status:?}", self.namespace)
            }
        }
    }

    /// Deletes every object of a kind and waits until none is left.
    ///
    /// # Errors
    /// As the API server answers.
    pub async fn clear<K>(&self) -> anyhow::Result<()>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + 'static,
    {
        let api = self.api::<K>();
        let old = api.list(&ListParams::default()).await?;
        api.delete_collection(&DeleteParams::background(), &ListParams::default()).await?;
        for object in old {
            let gone = |found: Option<&K>| found.is_none();
            timeout(TRACK_LIMIT, await_condition(api.clone(), &object.name_any(), gone))
                .await
                .context("an old object stays")??;
        }
        Ok(())
    }

    /// Waits until the scripted LLM holds a call of a run of `track`.
    ///
    /// # Errors
    /// When none came in time.
    pub async fn until_held(&self, track: &str) -> anyhow::Result<()> {
        let prefix = format!("{track}-");
        self.until_call_held(&format!("of track {track}"), |call| call.trackway.run_name.starts_with(&prefix)).await
    }

    /// Calls the scripted LLM answered well for `run`, by kind, stage and attempt, and the index of a target but for the first's.
    #[must_use]
    pub fn answered(&self, run: &BatchRun) -> BTreeMap<String, u64> {
        let uid = run.metadata.uid.clone().unwrap_or_default();
        let counts = self.llm.counts().into_iter().filter(|count| count.run == uid);
        let target = |index: &str| if index == "0" { String::new() } else { format!("#{index}") };
        let name = |count: &Count| format!("{:?} {}/{}{}", count.kind, count.stage, count.attempt, target(&count.index));
        counts.map(|count| (name(&count), count.ok)).collect()
    }
}

/// Phase of a run.
#[must_use]
pub fn phase(run: &BatchRun) -> Option<Phase> {
    run.status.as_ref()?.phase
}

fn port_of(url: &str) -> anyhow::Result<u16> {
    let port = url.rsplit_once(':').map(|(_, port)| port).with_context(|| format!("{url} has no port"))?;
    Ok(port.parse()?)
}

/// A connection to the release's NATS with the rights of a client of `namespace`.
async fn client_of(cluster: &Cluster, namespace: &str) -> anyhow::Result<Nats> {
    let services: Api<Service> = Api::namespaced(cluster.client.clone(), RELEASE_NAMESPACE);
    let address = services.get("trackway-nats").await?.spec.and_then(|spec| spec.cluster_ip);
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), namespace);
    let secret = secrets.get("trackway-client").await?.data.unwrap_or_default();
    let value = |key: &str| {
        let found = secret.get(key).with_context(|| format!("Secret trackway-client has no {key}"))?;
        anyhow::Ok(String::from_utf8(found.0.clone())?)
    };
    let credentials = Credentials::UserPassword { user: value("user")?, password: value("password")?.into() };
    let url = format!("nats://{}:4222", address.context("Service trackway-nats has no address")?);
    connect(&url, credentials, &value("inboxPrefix")?).await
}

async fn connect(url: &str, credentials: Credentials, inbox_prefix: &str) -> anyhow::Result<Nats> {
    let config =
        NatsConfig { url: url.to_owned(), credentials, inbox_prefix: inbox_prefix.to_owned(), ca_file: None, name: "e2e".into() };
    Ok(Nats::connect(&config, Some(tokio::time::Instant::now() + CONNECT_LIMIT)).await?)
}
