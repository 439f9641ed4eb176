//! A vectorizer and those who send events to it and ask it.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trackway_crds::contracts::{RetrieveAnswer, StoredEvent};
use trackway_crds::names::event_key;
use trackway_llm::{EmbeddingModel, Endpoint};
use trackway_nats::{
    Credentials, Nats, NatsConfig, StreamSettings, ask, ensure_streams, event_subject, publish_event, with_retry,
};
use trackway_scripted_llm::{Rules, ScriptedLlm};
use trackway_sources::Binding;
use trackway_store::Files;
use trackway_test_support::NatsServer;
use trackway_vectors::{Settings, run, tenant_prefix};

const LIMIT: Duration = Duration::from_secs(60);

pub struct World {
    _server: NatsServer,
    pub llm: ScriptedLlm,
    pub nats: Nats,
    config: NatsConfig,
    folder: tempfile::TempDir,
    running: Option<(CancellationToken, JoinHandle<anyhow::Result<()>>)>,
    starts: usize,
}

impl World {
    /// `team-a` is bound to `octo-*`, `team-b` to `acme`.
    pub async fn new(rules: &str) -> Self {
        // Fails only when another test was first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = NatsServer::start().await.unwrap();
        let config = NatsConfig {
            url: server.url(),
            credentials: Credentials::None,
            inbox_prefix: "_INBOX_test".to_owned(),
            ca_file: None,
            name: "test".to_owned(),
        };
        let nats = Nats::connect(&config, None).await.unwrap();
        ensure_streams(&nats, StreamSettings::default()).await.unwrap();
        let llm = ScriptedLlm::start("127.0.0.1:0", Rules::from_yaml(rules).unwrap()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut world = Self { _server: server, llm, nats, config, folder, running: None, starts: 0 };
        world.start().await;
        world
    }

    pub async fn start(&mut self) {
        self.starts += 1;
        let binding = |name: &str, tenant: &str| Binding { name: name.to_owned(), tenants: vec![tenant.to_owned()] };
        let settings = Settings {
            nats: self.config.clone(),
            lake_url: self.lake_url(),
            bindings: vec![binding("team-a", "octo-*"), binding("team-b", "acme")],
            model: EmbeddingModel {
                endpoint: Endpoint::at(self.llm.base_url()),
                model: "embed-1".to_owned(),
                dimensions: Some(256),
            },
            flush_age: Duration::from_millis(100),
            cache_bytes: 64 << 20,
            instance: format!("v{}", self.starts),
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        };
        let stop = CancellationToken::new();
        self.running = Some((stop.clone(), tokio::spawn(run(settings, stop))));
    }

    /// Ends the vectorizer as Kubernetes would.
    pub async fn stop(&mut self) {
        if let Some((stop, task)) = self.running.take() {
            stop.cancel();
            soon(task).await.unwrap().unwrap();
        }
    }

    fn lake_url(&self) -> String {
        format!("file://{}", self.folder.path().display())
    }

    pub async fn segments(&self, tenant: &str) -> Vec<String> {
        let files = Files::open(&self.lake_url(), None, []).unwrap();
        files.list(&tenant_prefix(tenant)).await.unwrap().into_iter().map(|file| file.path).collect()
    }

    /// An event of `tenant` with this title, received at second `second` of the hour.
    pub async fn event(&self, tenant: &str, title: &str, second: i64) {
        let event = event(tenant, title, second);
        let subject = event_subject(&event).unwrap();
        publish_event(&self.nats, &subject, serde_json::to_vec(&event).unwrap().into()).await.unwrap();
    }

    /// What `namespace` is told.
    pub async fn ask(&self, namespace: &str, question: &Value) -> RetrieveAnswer {
        let question = Bytes::from(question.to_string());
        let once = || ask(&self.nats, namespace, question.clone(), Duration::from_secs(10));
        let answer = soon(with_retry(None, "ask", once)).await.unwrap();
        serde_json::from_slice(&answer).unwrap()
    }

    /// Titles and similarities found for `team-a`, once there are `count` of them.
    pub async fn found(&self, question: &Value, count: usize) -> Vec<(String, i32)> {
        let enough = async {
            loop {
                let answer = self.ask("team-a", question).await;
                if answer.error.is_none() && answer.events.len() >= count {
                    return titles(&answer);
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        soon(enough).await
    }
}

pub fn titles(answer: &RetrieveAnswer) -> Vec<(String, i32)> {
    let title = |data: &Value| data["title"].as_str().unwrap().to_owned();
    answer.events.iter().map(|found| (title(&found.event.data), found.similarity)).collect()
}

/// A question of octo-org's events received before the end of the hour.
pub fn question(text: &str) -> Value {
    json!({"contract": 1, "tenant": "octo-org", "before": at(3600), "text": text, "topK": 10})
}

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_000_000 + second).unwrap()
}

pub fn event(tenant: &str, title: &str, second: i64) -> StoredEvent {
    serde_json::from_value(json!({
        "contract": 1, "id": event_key(tenant, "test", "test", title), "tenant": tenant, "origin": "test", "source": "test",
        "ceId": title, "type": "issue", "time": at(second), "receivedAt": at(second), "priority": "Low",
        "data": {"title": title}, "bodySha256": "0",
    }))
    .unwrap()
}

pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.expect("it takes too long")
}
