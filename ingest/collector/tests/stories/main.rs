//! The collector as a process would run it, with a real NATS server that knows the users the chart makes, and an API server in
//! memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]

mod api_server;
mod rights;
mod routing;

use std::{future::Future, net::SocketAddr, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use trackway_collector::{
    config::Config,
    service::{Settings, run},
};
use trackway_crds::track::Priority;
use trackway_nats::{Credentials, Nats, NatsConfig, StreamSettings, ensure_streams, publish_batch_ready};
use trackway_test_support::{NatsServer, until};

use crate::api_server::ApiServer;

const LIMIT: Duration = Duration::from_secs(30);

/// Rendered by the chart for namespace team-a; charts/trackway/test keeps it so.
const CHART: &str = include_str!("../../../../charts/trackway/ci/nats.conf");
/// What it was rendered with.
const SEED: &str = "only-for-tests-0123456789";

/// A NATS server with the chart's users.
async fn nats_of_the_chart() -> NatsServer {
    let users = &CHART[CHART.find("authorization {").unwrap()..];
    NatsServer::start_with(users).await.unwrap()
}

fn config_of(server: &NatsServer, user: &str) -> NatsConfig {
    let mut password = trackway_crds::names::sha256_hex(format!("{SEED}/{user}").as_bytes());
    password.truncate(40);
    NatsConfig {
        url: server.url(),
        credentials: Credentials::UserPassword { user: user.to_owned(), password: password.into() },
        inbox_prefix: format!("_INBOX_{user}"),
        ca_file: None,
        name: user.to_owned(),
    }
}

async fn connect(server: &NatsServer, user: &str) -> Nats {
    Nats::connect(&config_of(server, user), None).await.unwrap()
}

async fn make_streams(server: &NatsServer) {
    ensure_streams(&connect(server, "operator").await, StreamSettings::default()).await.unwrap();
}

fn document(id: &str, priority: Priority) -> Value {
    json!({"contract": 1, "batch": {"id": id, "tenant": "octo-org", "level": "Tenant", "subject": "octo-org",
        "priority": priority.as_str(), "labels": {"plan": "pro"}, "counts": {"events": 37}, "from": "2026-11-22T14:00:00Z",
        "to": "2026-11-22T14:42:10Z", "readyAt": "2026-11-22T14:42:10.400Z"},
        "input": {"sha256": "a".repeat(64), "bytes": 48211}})
}

/// Seals a batch, as `kubectl trackway submit` does.
async fn publish(server: &NatsServer, id: &str, priority: Priority) {
    publish_text(server, id, priority, document(id, priority).to_string()).await;
}

async fn publish_text(server: &NatsServer, id: &str, priority: Priority, text: String) {
    let client = connect(server, "client-team-a").await;
    publish_batch_ready(&client, priority, id, Bytes::from(text)).await.unwrap();
}

/// A running collector.
struct Collector {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Collector {
    async fn start(server: &NatsServer, api: &ApiServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let config = Config::only("team-a");
        let settings = Settings { nats: config_of(server, "collector"), config, listener };
        let task = tokio::spawn(run(api.client(), settings, stop.clone()));
        Self { address, stop, task }
    }

    /// As SIGTERM does.
    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(LIMIT, self.task).await.expect("it stops").unwrap().unwrap();
    }

    /// The answer to a GET, head and body.
    async fn get(&self, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    async fn shows(&self, path: &str, text: &str) {
        soon(text, || async { self.get(path).await.filter(|answer| answer.contains(text)) }).await;
    }
}

async fn soon<T, F, Fut>(what: &str, condition: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    until(what, LIMIT, condition).await.unwrap()
}
