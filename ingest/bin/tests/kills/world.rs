//! The parts as processes, and their deaths.

use crate::senders::{SENDERS, Senders, tenant, token};
use std::{
    collections::BTreeMap,
    fs::File,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use trackway_nats::{Credentials, Nats, NatsConfig, StreamSettings, ensure_streams};
use trackway_scripted_llm::{Rules, ScriptedLlm};
use trackway_test_support::{ApiServer, NatsServer, free_port, reqwest, until};

pub const NAMESPACE: &str = "team-a";
const START_LIMIT: Duration = Duration::from_secs(90);
const PARTS: [&str; 5] = ["gateway", "lake", "vectorizer", "batcher", "collector"];

/// Which of the things that are killed is NATS: the one after the parts.
const NATS: usize = PARTS.len();

pub struct World {
    folder: TempDir,
    nats: NatsServer,
    llm: ScriptedLlm,
    /// Where the runs are made.
    pub api: ApiServer,
    parts: BTreeMap<&'static str, Part>,
    /// How often each was killed.
    pub killed: BTreeMap<&'static str, u32>,
}

/// A process, which is started again when it ends, as a Deployment does.
struct Part {
    name: &'static str,
    port: u16,
    probes: u16,
    child: Option<Child>,
}

impl World {
    pub async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        let nats = NatsServer::start().await.unwrap();
        let llm = ScriptedLlm::start("127.0.0.1:0", Rules::from_yaml("[]").unwrap()).await.unwrap();
        let api = ApiServer::start().await.unwrap();
        let mut world = Self { folder, nats, llm, api, parts: BTreeMap::new(), killed: BTreeMap::new() };
        world.make_tracks().await;
        world.configure();
        ensure_streams(&world.connect().await, StreamSettings { replicas: 1, ..StreamSettings::default() }).await.unwrap();
        for name in PARTS {
            let (port, probes) = (free_port().unwrap(), free_port().unwrap());
            let mut part = Part { name, port, probes, child: None };
            world.spawn(&mut part);
            world.parts.insert(name, part);
        }
        for part in world.parts.values() {
            part.ready(world.folder.path()).await;
        }
        world
    }

    fn configure(&self) {
        let secrets = self.folder.path().join("secrets");
        let mut credentials = String::new();
        for sender in 0..SENDERS {
            let tenant = tenant(sender);
            std::fs::create_dir_all(secrets.join(&tenant)).unwrap();
            std::fs::write(secrets.join(&tenant).join("token"), token(sender)).unwrap();
            credentials.push_str(&format!("  - {{tenant: {tenant}, secretRef: {{name: {tenant}, key: token}}}}\n"));
        }
        let config = format!(
            "sources:\n- id: app\n  preset: CloudEvents\n  auth: {{kind: Bearer}}\n  credentials:\n{credentials}\
             \x20 map: {{user: /user, priority: {{from: /priority}}}}\n\
             \x20 limits: {{eventsPerSecond: 100000, burst: 100000}}\n\
             batching:\n\
             \x20 tenant: {{thresholds: {{high: 5, medium: 50, low: 200}}, maxAge: 5s, maxEvents: 500}}\n\
             \x20 user: {{thresholds: {{high: 3, medium: 20, low: 50}}, maxAge: 5s, maxEvents: 200}}\n\
             namespaces: [{{name: {NAMESPACE}}}]\n"
        );
        std::fs::write(self.folder.path().join("ingest.yaml"), config).unwrap();
        std::fs::write(self.folder.path().join("bindings.yaml"), format!("namespaces: [{{name: {NAMESPACE}}}]\n")).unwrap();
    }

    async fn make_tracks(&self) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let definitions = root.join("../../crds/manifests");
        self.api.kubectl(&["apply", "--server-side", "--filename", definitions.to_str().unwrap()]).await.unwrap();
        self.api.kubectl(&["wait", "--for=condition=Established", "crds", "--all", "--timeout=30s"]).await.unwrap();
        let tracks = root.join("tests/kills/tracks.yaml");
        self.api.kubectl(&["apply", "--filename", tracks.to_str().unwrap()]).await.unwrap();
    }

    pub async fn connect(&self) -> Nats {
        let config = NatsConfig {
            url: self.nats.url(),
            credentials: Credentials::None,
            inbox_prefix: "_INBOX_test".into(),
            ca_file: None,
            name: "test".into(),
        };
        Nats::connect(&config, Some(tokio::time::Instant::now() + START_LIMIT)).await.unwrap()
    }

    pub fn gateway_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.parts["gateway"].port)
    }

    pub fn lake_folder(&self) -> PathBuf {
        self.folder.path().join("lake")
    }

    /// Kills something each time another share of the events is acknowledged, and starts it again at once.
    pub async fn kill_at_random(&mut self, seed: u64, kills: usize, senders: &Senders) {
        let mut random = fastrand::Rng::with_seed(seed);
        for kill in 0..kills {
            let share = kill * 1_000 / kills;
            until("senders go on", Duration::from_secs(120), || async { (senders.progress() >= share).then_some(()) })
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(random.u64(0..200))).await;
            match random.usize(0..=PARTS.len()) {
                NATS => {
                    *self.killed.entry("nats").or_default() += 1;
                    self.nats.restart().await.unwrap();
                }
                part => {
                    let name = PARTS[part];
                    *self.killed.entry(name).or_default() += 1;
                    let mut part = self.parts.remove(name).unwrap();
                    part.kill().await;
                    self.spawn(&mut part);
                    self.parts.insert(name, part);
                }
            }
        }
    }

    fn spawn(&self, part: &mut Part) {
        let (folder, name) = (self.folder.path(), part.name);
        let log = File::options().create(true).append(true).open(folder.join(format!("{name}.log"))).unwrap();
        let mut command = program(name);
        command
            .env("TRACKWAY_NATS_URL", self.nats.url())
            .env("TRACKWAY_NATS_INBOX_PREFIX", format!("_INBOX_{name}"))
            .env("TRACKWAY_STORE_URL", "nats://")
            .env("TRACKWAY_LAKE_URL", format!("file://{}/lake", folder.display()))
            .env("TRACKWAY_INGEST_CONFIG", folder.join("ingest.yaml"))
            .env("TRACKWAY_SECRETS_DIR", folder.join("secrets"))
            .env("TRACKWAY_EMBEDDINGS_URL", self.llm.base_url())
            .env("TRACKWAY_EMBEDDINGS_MODEL", "embed-1")
            .env("TRACKWAY_EMBEDDINGS_DIMENSIONS", "16")
            .env("TRACKWAY_CONFIG", folder.join("bindings.yaml"))
            .env("KUBECONFIG", self.api.kubeconfig())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true);
        let here = |port: u16| format!("127.0.0.1:{port}");
        match name {
            "gateway" => command.args(["--listen", &here(part.port), "--metrics-listen", &here(part.probes)]),
            "lake" => command.args(["--listen", &here(part.probes), "--flush-age", "2s", "--flush-rows", "2000"]),
            "vectorizer" => command.args(["--listen", &here(part.probes), "--flush-age", "2s"]),
            _ => command.args(["--listen", &here(part.probes)]),
        };
        part.child = Some(command.spawn().unwrap());
    }

    pub async fn stop(&mut self) {
        for part in self.parts.values_mut() {
            part.kill().await;
        }
    }
}

/// The program of a part, with its subcommand.
fn program(part: &str) -> Command {
    let ingest = Path::new(env!("CARGO_BIN_EXE_trackway-ingest"));
    if part != "collector" {
        let mut command = Command::new(ingest);
        command.arg(part);
        return command;
    }
    // Another package's program: cargo names only this one's, and puts both into one folder.
    let collector = ingest.with_file_name("trackway-collector");
    assert!(collector.is_file(), "{} is missing: cargo build -p trackway-collector", collector.display());
    Command::new(collector)
}

impl Part {
    /// SIGKILL: no last words.
    async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    async fn ready(&self, folder: &Path) {
        let url = format!("http://127.0.0.1:{}/readyz", self.probes);
        let answers = || async { reqwest::get(&url).await.ok().filter(|answer| answer.status().is_success()) };
        if let Err(error) = until("the part is ready", START_LIMIT, answers).await {
            let log = std::fs::read_to_string(folder.join(format!("{}.log", self.name))).unwrap_or_default();
            panic!("{}: {error:#}\n{log}", self.name);
        }
    }
}
