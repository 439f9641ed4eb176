//! An API server and caches in memory, and a real stream of results.

use crate::{
    args::Args,
    metrics::Metrics,
    revisions::Revisions,
    run::{Context, Memory, reconcile},
};
use clap::Parser;
use http::{Method, Request, Response};
use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{
    Api, Client, ResourceExt,
    client::Body,
    runtime::{
        controller::Action,
        reflector::{self, store::Writer},
        watcher,
    },
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tower::service_fn;
use trackway_crds::{
    BatchRun, BatchRunStatus,
    contracts::{Assignment, REVISION_KEY, StageResult},
    labels,
};
use trackway_kubernetes::events::recorder;
use trackway_nats::{Kv, Nats, StreamSettings, ensure_streams, publish_result, result_subject};
use trackway_test_support::NatsServer;

const NAMESPACE: &str = "team-a";
const RUN: &str = "admin-b7k2f9q1";
pub(super) const RUN_UID: &str = "u-1";
const REVISION: &str = "admin-5d9c1a";

/// What the API server holds, by path, and the writes so far as `METHOD KIND`.
#[derive(Default)]
struct Cluster {
    objects: BTreeMap<String, Value>,
    version: u64,
    writes: Vec<String>,
}

/// One run of a namespace and everything around it.
pub(super) struct World {
    pub(super) nats: NatsServer,
    context: Arc<Context>,
    cluster: Arc<Mutex<Cluster>>,
    pods: Writer<Pod>,
    /// The run as the cache has it: as it was created.
    cached: Arc<BatchRun>,
}

impl World {
    /// A run of `revision` that has not begun.
    pub(super) async fn new(revision: &Value) -> Self {
        let nats = NatsServer::start().await.unwrap();
        let url = nats.url();
        let args = Args::parse_from([
            "trackway-operator",
            "--namespaces",
            NAMESPACE,
            "--nats-url",
            &url,
            "--store-url",
            "nats://",
            "--worker-image",
            "worker:1",
        ]);
        let connection = Nats::connect(&args.nats().unwrap(), None).await.unwrap();
        ensure_streams(&connection, StreamSettings::default()).await.unwrap();
        let cluster = Arc::new(Mutex::new(Cluster::default()));
        let run = cluster.lock().unwrap().put(format!("batchruns/{RUN}"), run());
        let data = json!({REVISION_KEY: revision.to_string()});
        cluster.lock().unwrap().put(format!("configmaps/{REVISION}"), json!({"metadata": {"name": REVISION}, "data": data}));
        let client = client(&cluster);
        let (pods, pod_writer) = reflector::store();
        let context = Context {
            namespace: NAMESPACE.into(),
            args,
            nats: connection,
            run_api: Api::namespaced(client.clone(), NAMESPACE),
            job_api: Api::namespaced(client.clone(), NAMESPACE),
            config_maps: Api::namespaced(client.clone(), NAMESPACE),
            questionnaires: Api::namespaced(client.clone(), NAMESPACE),
            jobs: reflector::store().0,
            pods,
            tracks: reflector::store().0,
            revisions: Revisions::default(),
            memory: Memory::default(),
            recorder: recorder(client, "trackway-operator", None),
            metrics: Arc::new(Metrics::default()),
        };
        let cached = Arc::new(serde_json::from_value(run).unwrap());
        Self { nats, context: Arc::new(context), cluster, pods: pod_writer, cached }
    }

    /// One reconcile; the cache of runs and Jobs is as far behind as it can be.
    pub(super) async fn reconcile(&self) -> Action {
        reconcile(Arc::clone(&self.cached), Arc::clone(&self.context)).await.unwrap()
    }

    /// The writes since the last call.
    pub(super) fn writes(&self) -> Vec<String> {
        std::mem::take(&mut self.cluster.lock().unwrap().writes)
    }

    pub(super) fn status(&self) -> BatchRunStatus {
        let run = self.cluster.lock().unwrap().objects[&format!("batchruns/{RUN}")].clone();
        serde_json::from_value(run["status"].clone()).unwrap()
    }

    /// The Job whose `stage` is so called, and what its pods are told.
    pub(super) fn job(&self, stage: &str) -> (Job, Assignment) {
        let cluster = self.cluster.lock().unwrap();
        let jobs = cluster.objects.iter().filter(|(path, _)| path.starts_with("jobs/"));
        let jobs = jobs.map(|(_, job)| serde_json::from_value::<Job>(job.clone()).unwrap());
        let job = jobs.into_iter().find(|job| job.labels()[labels::STAGE] == stage).unwrap();
        let worker = &job.spec.as_ref().unwrap().template.spec.as_ref().unwrap().containers[0];
        let told = worker.env.as_ref().unwrap().iter().find(|variable| variable.name == "TRACKWAY_ASSIGNMENT");
        let told = serde_json::from_str(told.unwrap().value.as_ref().unwrap()).unwrap();
        (job, told)
    }

    /// The pod of `job` with completion index `index`, with its worker in `state`, is seen.
    pub(super) fn see_pod(&mut self, job: &Job, index: usize, state: &Value) {
        let version = self.cluster.lock().unwrap().next_version();
        let pod = json!({
            "metadata": {"name": pod(job, index), "namespace": NAMESPACE, "uid": pod(job, index), "resourceVersion": version,
                "labels": {"batch.kubernetes.io/controller-uid": job.uid()},
                "annotations": {"batch.kubernetes.io/job-completion-index": index.to_string()}},
            "status": {"containerStatuses": [
                {"name": "worker", "image": "", "imageID": "", "ready": true, "restartCount": 0, "state": state}]}});
        self.pods.apply_watcher_event(&watcher::Event::Apply(serde_json::from_value(pod).unwrap()));
    }

    /// `result` is in the stream, and nobody was woken.
    pub(super) async fn publish(&self, result: &Value) {
        let payload = serde_json::to_vec(result).unwrap();
        publish_result(&self.context.nats, &subject(result), payload.into()).await.unwrap();
    }

    /// Somebody answers everything that is asked.
    pub(super) async fn answer(&self, name: &str) {
        let kv = Kv::questionnaires(&self.context.nats);
        let entry = kv.get(&format!("{NAMESPACE}.{name}")).await.unwrap().unwrap();
        let mut record: Value = serde_json::from_slice(&entry.value).unwrap();
        record["answeredAt"] = json!(Timestamp::now());
        let value = record.to_string().into_bytes().into();
        kv.update(&format!("{NAMESPACE}.{name}"), value, entry.revision).await.unwrap();
    }

    /// Another run has asked this, and one answer has come, to something else.
    pub(super) async fn asked_before(&self, name: &str, questions: &Value) {
        let record = json!({"contract": 1, "tenant": "octo-org", "questions": questions, "expiresAt": "2026-11-22T15:00:00Z",
            "answers": {"other": {"value": 7, "at": "2026-11-22T15:00:00Z"}}});
        let kv = Kv::questionnaires(&self.context.nats);
        kv.create(&format!("{NAMESPACE}.{name}"), record.to_string().into_bytes().into()).await.unwrap();
    }

    pub(super) async fn record(&self, name: &str) -> Value {
        let kv = Kv::questionnaires(&self.context.nats);
        let entry = kv.get(&format!("{NAMESPACE}.{name}")).await.unwrap().unwrap();
        serde_json::from_slice(&entry.value).unwrap()
    }

    /// `result` came with a wake.
    pub(super) fn wake(&self, result: &Value) {
        self.context.hear(RUN_UID, &subject(result), result.to_string().as_bytes());
    }
}

/// The uid of a pod of `job`.
pub(super) fn pod(job: &Job, index: usize) -> String {
    format!("{}-{index}", job.name_any())
}

fn subject(result: &Value) -> String {
    let StageResult { run, stage, attempt, try_, index, .. } = serde_json::from_value(result.clone()).unwrap();
    result_subject(NAMESPACE, &run, &stage, attempt, try_, index).unwrap()
}

fn run() -> Value {
    json!({
        "apiVersion": "trackway.dev/v1alpha1", "kind": "BatchRun",
        "metadata": {"name": RUN, "namespace": NAMESPACE, "uid": RUN_UID, "generation": 1,
            "creationTimestamp": Timestamp::from_second(Timestamp::now().as_second()).unwrap().to_string()},
        "spec": {"trackRef": {"name": "admin"}, "batch": {"id": "b7k2f9q1", "tenant": "octo-org", "level": "Tenant",
            "subject": "octo-org", "priority": "High", "events": 3, "readyAt": "2026-11-22T14:42:10.400000Z",
            "input": {"sha256": "0".repeat(64), "bytes": 1}}},
        "status": {"revision": REVISION},
    })
}

impl Cluster {
    fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    fn put(&mut self, path: String, mut object: Value) -> Value {
        object["metadata"]["resourceVersion"] = json!(self.next_version());
        self.objects.insert(path, object.clone());
        object
    }

    fn answer(&mut self, method: &Method, path: &str, body: &Value) -> (u16, Value) {
        let (kind, rest) = path.split_once('/').unwrap_or((path, ""));
        if kind == "events" {
            return (201, body.clone());
        }
        let name =
            rest.split('/').next().filter(|name| !name.is_empty()).or(body["metadata"]["name"].as_str()).unwrap_or_default();
        let key = format!("{kind}/{name}");
        if method != Method::GET {
            self.writes.push(format!("{method} {kind}"));
        }
        let found = self.objects.get(&key).cloned();
        match (method.as_str(), found) {
            ("GET", Some(found)) => (200, found),
            ("POST", None) => {
                let mut object = body.clone();
                object["metadata"]["uid"] = json!(format!("uid-of-{name}"));
                (201, self.put(key, object))
            }
            ("POST", Some(_)) => failure(409, "AlreadyExists"),
            ("PUT", Some(found)) if found["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"] => {
                failure(409, "Conflict")
            }
            ("PUT", Some(mut found)) => {
                found["status"] = body["status"].clone();
                (200, self.put(key, found))
            }
            ("PATCH", Some(mut found)) if found["metadata"]["uid"] == body["metadata"]["uid"] => {
                found["spec"]["suspend"] = body["spec"]["suspend"].clone();
                (200, self.put(key, found))
            }
            ("DELETE", Some(_)) => {
                self.objects.remove(&key);
                (200, json!({"kind": "Status", "status": "Success"}))
            }
            _ => failure(404, "NotFound"),
        }
    }
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason}))
}

fn client(cluster: &Arc<Mutex<Cluster>>) -> Client {
    let cluster = Arc::clone(cluster);
    let service = service_fn(move |request: Request<Body>| {
        let cluster = Arc::clone(&cluster);
        async move {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            let path = path.split_once(&format!("/namespaces/{NAMESPACE}/")).map_or("", |(_, rest)| rest).to_owned();
            let bytes = request.into_body().collect_bytes().await?;
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            let (code, answer) = cluster.lock().unwrap().answer(&method, &path, &body);
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(
                Response::builder().status(code).body(Body::from(serde_json::to_vec(&answer)?))?,
            )
        }
    });
    Client::new(service, NAMESPACE)
}
