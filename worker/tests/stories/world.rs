//! A batch, a track of one or two stages, a scripted LLM and a store.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;
use trackway_crds::contracts::{Assignment, NameKind, Reference, Revision, StageResult, StoredName};
use trackway_scripted_llm::{Kind, Rules, ScriptedLlm};
use trackway_store::{Name, PayloadStore, Scope};
use trackway_worker::{Access, Answers, AttemptJob, Models, Outside, Retriever, Webhooks, attempt_deadline, run_pod};

/// The key every endpoint of these tests gets; it may appear nowhere.
pub const API_KEY: &str = "sk-never-to-be-seen";
pub const NAMESPACE: &str = "team-a";
pub const RUN_UID: &str = "0b1f2c3d-run";

pub struct World {
    pub llm: ScriptedLlm,
    pub store: PayloadStore,
    pub models: Models,
    pub retriever: Retriever,
    pub answers: Answers,
    pub files: BTreeMap<String, String>,
    pub revision: Revision,
    pub batch: Reference,
}

/// What a test changes before the world is made.
pub struct Setup {
    pub rules: String,
    pub prompt: String,
    pub schema: Option<String>,
    pub body: String,
    pub timeout_millis: u64,
    pub judged: bool,
    pub context: bool,
    pub secret: bool,
}

impl Default for Setup {
    fn default() -> Self {
        let prompt = "You write for {{ track.audience }}.\n<!-- user -->\nBatch {{ batch.id }}: {{ events | tojson }}\n\
                      {% if feedback %}Last time the judge said: {{ feedback.text }}{% endif %}\n";
        Self {
            rules: String::new(),
            prompt: prompt.to_owned(),
            schema: None,
            body: "short".to_owned(),
            timeout_millis: 60_000,
            judged: true,
            context: false,
            secret: false,
        }
    }
}

impl World {
    pub async fn with_rules(rules: &str) -> Self {
        Self::new(Setup { rules: rules.to_owned(), ..Setup::default() }).await
    }

    pub async fn new(setup: Setup) -> Self {
        // Fails only when another test was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let llm = ScriptedLlm::start("127.0.0.1:0", Rules::from_yaml(&setup.rules).unwrap()).await.unwrap();
        let store = PayloadStore::open("memory://", None).unwrap();
        let document = serde_json::to_vec(&batch_document(&setup.body)).unwrap();
        let batch = store.put_batch(NAMESPACE, document.into()).await.unwrap();
        let mut files = BTreeMap::from([("insights.md".to_owned(), setup.prompt.clone())]);
        files.extend(setup.schema.clone().map(|schema| ("out.json".to_owned(), schema)));
        let revision = serde_json::from_value(revision(&llm.base_url(), &setup)).unwrap();
        let with_key = !setup.secret;
        let models =
            Models::new(move |_, _| Access { api_key: with_key.then(|| API_KEY.to_owned().into()), ..Access::default() });
        Self {
            llm,
            store,
            models,
            retriever: Retriever::offline(),
            answers: Answers::given(BTreeMap::new()),
            files,
            revision,
            batch,
        }
    }

    pub fn assignment(&self, attempt: u32, try_: u32) -> Assignment {
        serde_json::from_value(json!({
            "contract": 1, "run": {"namespace": NAMESPACE, "name": "admin-b7k2f9q1", "uid": RUN_UID}, "revision": "admin-5d9c1a",
            "batch": {
                "id": "b7k2f9q1", "tenant": "octo-org", "level": "Tenant", "subject": "octo-org", "priority": "High", "events": 1,
                "readyAt": "2026-11-22T14:42:10.400000Z", "input": self.batch,
            },
            "stage": "insights", "attempt": attempt, "try": try_, "stages": {},
        }))
        .unwrap()
    }

    pub fn job(&self, attempt: u32, try_: u32) -> AttemptJob {
        let timeout = self.revision.stage("insights").map_or(0, |stage| stage.timeout_millis);
        AttemptJob {
            assignment: self.assignment(attempt, try_),
            revision: self.revision.clone(),
            files: self.files.clone(),
            pod_uid: format!("pod-{attempt}-{try_}"),
            pod_index: 0,
            deadline: attempt_deadline(Instant::now(), timeout),
        }
    }

    pub async fn run(&self, attempt: u32, try_: u32) -> StageResult {
        self.run_job(&self.job(attempt, try_)).await
    }

    pub async fn run_job(&self, job: &AttemptJob) -> StageResult {
        let mut results = self.run_pod(job).await;
        assert_eq!(results.len(), 1, "a stage that is no fan-out has one result");
        results.remove(0)
    }

    /// What a pod tells, in the order in which it tells it.
    pub async fn run_pod(&self, job: &AttemptJob) -> Vec<StageResult> {
        self.run_pod_on(job, &self.store).await
    }

    pub async fn run_pod_on(&self, job: &AttemptJob, store: &PayloadStore) -> Vec<StageResult> {
        let told = Mutex::new(Vec::new());
        let tell = |result| told.lock().unwrap().push(result);
        let outside =
            Outside { models: &self.models, webhooks: &Webhooks::DryRun, retriever: &self.retriever, answers: &self.answers };
        let pod = run_pod(job, store, &outside, clock, &tell);
        tokio::time::timeout(Duration::from_secs(30), pod).await.expect("the pod does not end");
        told.into_inner().unwrap()
    }

    /// Calls of `kind` that came so far.
    pub fn calls(&self, kind: Kind) -> usize {
        self.llm.calls().iter().filter(|call| call.kind == kind).count()
    }

    pub async fn read<T: DeserializeOwned>(&self, reference: &Reference) -> T {
        let scope = Scope::run(NAMESPACE, RUN_UID).unwrap();
        serde_json::from_slice(&self.store.get_blob(&scope, reference).await.unwrap()).unwrap()
    }

    pub async fn name(&self, attempt: u32, kind: NameKind) -> Option<StoredName> {
        let scope = Scope::run(NAMESPACE, RUN_UID).unwrap();
        let name = Name { stage: "insights".to_owned(), attempt, index: 0, kind };
        self.store.get_name(&scope, &name).await.unwrap()
    }
}

/// Budgets as they are by default.
pub fn retry() -> Value {
    json!({
        "qualityMaxAttempts": 3, "infrastructureMaxTries": 5, "modelMaxTries": 6, "judgeMaxTries": 5,
        "modelBackoff": {"initialMillis": 1000, "factor": 2, "maxMillis": 30_000},
    })
}

fn clock() -> jiff::Timestamp {
    jiff::Timestamp::UNIX_EPOCH
}

fn batch_document(body: &str) -> Value {
    json!({
        "contract": 1,
        "batch": {
            "id": "b7k2f9q1", "tenant": "octo-org", "level": "Tenant", "subject": "octo-org", "priority": "High",
            "labels": {"plan": "pro"}, "counts": {"events": 1}, "from": "2026-11-22T14:00:00Z", "to": "2026-11-22T14:42:10Z",
            "readyAt": "2026-11-22T14:42:10.400Z", "reason": "threshold High 1",
        },
        "events": [{
            "id": "e1", "source": "github", "type": "push", "time": "2026-11-22T14:00:00Z", "priority": "High",
            "data": {"repository": {"name": "hello-world"}, "body": body},
        }],
    })
}

fn revision(base_url: &str, setup: &Setup) -> Value {
    let secret = setup.secret.then(|| json!({"name": "llm", "key": "apiKey"}));
    let model = |role: &str, model: &str| {
        let mut resolved = json!({
            "role": role, "endpoint": "main", "baseURL": base_url, "model": model, "timeoutMillis": 30_000, "parameters": {},
        });
        if let Some(secret) = &secret {
            resolved["apiKeySecretRef"] = secret.clone();
        }
        resolved
    };
    let work = match (setup.context, &setup.schema) {
        (true, _) => {
            json!({"kind": "ValidateContext", "onMissing": "Fail", "model": model("writer", "m"), "prompt": "insights.md"})
        }
        (false, schema) => json!({
            "kind": "Generate", "model": model("writer", "m"), "prompt": "insights.md",
            "outputSchema": schema.as_ref().map(|_| "out.json"),
        }),
    };
    let mut stage = json!({
        "name": "insights", "work": work,
        "retry": retry(),
        "timeoutMillis": setup.timeout_millis,
    });
    if setup.judged {
        stage["judge"] = json!({
            "model": model("critic", "j"), "threshold": 0.7,
            "dimensions": [
                {"name": "relevance", "weight": 2, "minimum": 0.0, "criterion": "Every claim is supported by an event."},
                {"name": "clarity", "weight": 1, "minimum": 0.0, "criterion": "Easy to read."},
            ],
        });
    }
    json!({
        "contract": 1, "track": "admin", "audience": "Org admin", "stages": [stage],
        "limits": {"startTimeoutMillis": 300_000, "activeDeadlineMillis": 7_200_000, "deadlineMillis": 604_800_000},
    })
}
