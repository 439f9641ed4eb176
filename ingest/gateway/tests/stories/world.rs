//! A gateway in this process and a NATS server of its own.

use jiff::Timestamp;
use std::{net::SocketAddr, path::Path, time::Duration};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use trackway_gateway::{Patience, Settings, run};
use trackway_nats::{Credentials, Nats, NatsConfig, StreamSettings, ensure_streams};
use trackway_sources::IngestConfig;
use trackway_test_support::{NatsServer, until};

pub const LIMIT: Duration = Duration::from_secs(30);
pub const OCTO: &str = "Bearer token-of-octo-org";
pub const ACME: &str = "Bearer token-of-acme";
pub const OLD_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub const NEW_KEY: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
pub const HUB_SECRET: &str = "It's a Secret to Everybody";

const CONFIG: &str = r"
sources:
- id: app
  preset: CloudEvents
  credentials:
  - {tenant: octo-org, secretRef: {name: octo, key: token}}
  - {tenant: acme, secretRef: {name: acme, key: token}}
- id: plain
  auth: {kind: Bearer}
  map: {id: /id, user: /user}
  credentials:
  - {tenant: octo-org, secretRef: {name: octo, key: token}}
- id: hooks
  auth: {kind: StandardWebhooks}
  credentials:
  - {tenant: octo-org, secretRef: {name: octo, key: old}}
  - {tenant: octo-org, secretRef: {name: octo, key: new}}
- id: github
  preset: GitHub
  credentials:
  - {tenant: octo-org, secretRef: {name: octo, key: hub}}
- id: slow
  preset: CloudEvents
  credentials:
  - {tenant: octo-org, secretRef: {name: octo, key: token}}
  - {tenant: acme, secretRef: {name: acme, key: token}}
  limits: {eventsPerSecond: 1, burst: 2}
- id: small
  preset: CloudEvents
  credentials:
  - {tenant: octo-org, secretRef: {name: octo, key: token}}
  limits: {maxEventBytes: 1024}
- id: unreadable
  preset: CloudEvents
  credentials:
  - {tenant: octo-org, secretRef: {name: octo, key: none}}
namespaces: [{name: team-a}]
";

pub struct World {
    pub server: NatsServer,
    pub nats: Nats,
    pub gateway: SocketAddr,
    pub probes: SocketAddr,
    pub stop: CancellationToken,
    pub ended: JoinHandle<anyhow::Result<()>>,
    secrets: TempDir,
}

impl World {
    pub async fn start() -> Self {
        Self::start_with(Patience { request: Duration::from_secs(2), ..Patience::default() }).await
    }

    pub async fn start_with(patience: Patience) -> Self {
        Self::start_after(patience, async |_| ()).await
    }

    /// A gateway that starts when `before` has done something to NATS.
    pub async fn start_after(patience: Patience, before: impl AsyncFnOnce(&Nats)) -> Self {
        let server = NatsServer::start().await.unwrap();
        let nats = connect(&server, "test").await;
        ensure_streams(&nats, StreamSettings::default()).await.unwrap();
        before(&nats).await;
        let secrets = tempfile::tempdir().unwrap();
        for (name, key, secret) in [
            ("octo", "token", "token-of-octo-org"),
            ("acme", "token", "token-of-acme\n"),
            ("octo", "old", OLD_KEY),
            ("octo", "new", NEW_KEY),
            ("octo", "hub", HUB_SECRET),
        ] {
            write_secret(secrets.path(), name, key, secret);
        }
        let (listener, probes) = (listen().await, listen().await);
        let (gateway, probes_at) = (listener.local_addr().unwrap(), probes.local_addr().unwrap());
        let settings = Settings {
            config: IngestConfig::parse(CONFIG).unwrap(),
            secrets: secrets.path().to_owned(),
            nats: config(&server, "gateway"),
            listener,
            probes,
            patience,
        };
        let stop = CancellationToken::new();
        let ended = tokio::spawn(run(settings, stop.clone()));
        let world = Self { server, nats, gateway, probes: probes_at, stop, ended, secrets };
        until("the gateway is ready", LIMIT, || async { (world.readiness().await == 200).then_some(()) }).await.unwrap();
        world
    }

    pub fn write_secret(&self, name: &str, key: &str, secret: &str) {
        write_secret(self.secrets.path(), name, key, secret);
    }

    pub async fn readiness(&self) -> u16 {
        crate::client::get(self.probes, "/readyz", &[]).await.status.as_u16()
    }

    /// Events stored so far.
    pub async fn stored(&self) -> u64 {
        trackway_nats::last_sequence(&self.nats).await.unwrap()
    }

    /// The value of a metric, by its name and labels as they are shown.
    pub async fn metric(&self, line: &str) -> f64 {
        let shown = crate::client::get(self.probes, "/metrics", &[]).await.body;
        let shown = String::from_utf8(shown.to_vec()).unwrap();
        let value = shown.lines().find_map(|shown| shown.strip_prefix(line)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{line} is not in\n{shown}")).parse().unwrap()
    }
}

fn write_secret(folder: &Path, name: &str, key: &str, secret: &str) {
    std::fs::create_dir_all(folder.join(name)).unwrap();
    std::fs::write(folder.join(name).join(key), secret).unwrap();
}

async fn listen() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.unwrap()
}

fn config(server: &NatsServer, name: &str) -> NatsConfig {
    NatsConfig {
        url: server.url(),
        credentials: Credentials::None,
        inbox_prefix: format!("_INBOX_{name}"),
        ca_file: None,
        name: name.to_owned(),
    }
}

async fn connect(server: &NatsServer, name: &str) -> Nats {
    Nats::connect(&config(server, name), Some(Instant::now() + LIMIT)).await.unwrap()
}

/// A structured CloudEvent.
pub fn event(id: &str, data: &str) -> String {
    format!(r#"{{"specversion": "1.0", "id": "{id}", "source": "/shop", "type": "order.made", "data": {data}}}"#)
}

pub const STRUCTURED: (&str, &str) = ("content-type", "application/cloudevents+json");
pub const BATCH: (&str, &str) = ("content-type", "application/cloudevents-batch+json");
pub const JSON: (&str, &str) = ("content-type", "application/json");

pub fn as_octo() -> (&'static str, &'static str) {
    ("authorization", OCTO)
}

/// The headers of a Standard Webhooks request, signed by the reference implementation.
pub fn signed(key: &str, id: &str, at: Timestamp, body: &str) -> [(&'static str, String); 3] {
    let signature = standardwebhooks::Webhook::new(key).unwrap().sign(id, at.as_second(), body.as_bytes()).unwrap();
    [("webhook-id", id.to_owned()), ("webhook-timestamp", at.as_second().to_string()), ("webhook-signature", signature)]
}
