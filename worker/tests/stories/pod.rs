//! The program as a pod runs it.

use std::{path::Path, process::Output, time::Duration};

use tokio::process::{Child, Command};
use trackway_crds::contracts::{REVISION_KEY, ResultPhase, StageResult};
use trackway_nats::{Credentials, Nats, NatsConfig, StreamSettings, ensure_streams, read_results, result_subject};
use trackway_scripted_llm::{Kind, When};
use trackway_store::PayloadStore;
use trackway_test_support::NatsServer;

use crate::world::{NAMESPACE, RUN_UID, World};

const LIMIT: Duration = Duration::from_secs(60);

/// A pod's folder: revision, termination log, store.
struct Pod {
    folder: tempfile::TempDir,
    world: World,
}

impl Pod {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut world = World::with_rules("").await;
        let revision = folder.path().join("revision");
        std::fs::create_dir_all(revision.join("..data")).unwrap();
        std::fs::write(revision.join(REVISION_KEY), serde_json::to_string(&world.revision).unwrap()).unwrap();
        for (name, text) in &world.files {
            std::fs::write(revision.join(name), text).unwrap();
        }
        let store = PayloadStore::open(&format!("file://{}", folder.path().join("store").display()), None).unwrap();
        let document = world.store.get_batch(NAMESPACE, &world.batch).await.unwrap();
        world.batch = store.put_batch(NAMESPACE, document).await.unwrap();
        Self { folder, world }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trackway-worker"));
        command
            .env_clear()
            .env("TRACKWAY_ASSIGNMENT", serde_json::to_string(&self.world.assignment(1, 1)).unwrap())
            .env("TRACKWAY_REVISION_DIR", self.path("revision"))
            .env("TRACKWAY_STORE_URL", format!("file://{}", self.path("store").display()))
            .env("TRACKWAY_POD_UID", "pod-uid")
            .env("TRACKWAY_TERMINATION_LOG", self.path("termination-log"))
            .env("TRACKWAY_API_KEY_GENERATE", "sk-generate")
            .kill_on_drop(true)
            .stderr(std::process::Stdio::piped());
        command
    }

    fn result(&self) -> StageResult {
        result_in(&self.path("termination-log"))
    }
}

fn result_in(file: &Path) -> StageResult {
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

async fn ended(child: Child) -> (Option<i32>, Vec<serde_json::Value>) {
    let Output { status, stderr, .. } = tokio::time::timeout(LIMIT, child.wait_with_output()).await.unwrap().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    let lines = stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {stderr}")));
    (status.code(), lines.collect())
}

#[tokio::test]
async fn a_pod_without_nats_tells_its_result_by_its_termination_message() {
    let pod = Pod::new().await;
    let (code, log) = ended(pod.command().spawn().unwrap()).await;
    assert_eq!(code, Some(0), "{log:?}");
    let result = pod.result();
    assert_eq!((result.phase, result.pod.as_str(), result.error), (ResultPhase::Judged, "pod-uid", None));

    let first = &log[0]["fields"];
    assert_eq!((&first["message"], &first["stage"]), (&"worker started".into(), &"insights".into()));
    assert_eq!((&first["attempt"], &first["try"]), (&1.into(), &1.into()));
    let text = serde_json::to_string(&log).unwrap();
    assert!(!text.contains("hello-world") && !text.contains("sk-generate"), "no text of tenants and no key: {text}");
}

#[tokio::test]
async fn a_result_is_published_on_its_subject_and_payloads_are_kept_in_nats() {
    let pod = Pod::new().await;
    let server = NatsServer::start().await.unwrap();
    let config = NatsConfig {
        url: server.url(),
        credentials: Credentials::None,
        inbox_prefix: "_INBOX_test".to_owned(),
        ca_file: None,
        name: "test".to_owned(),
    };
    let nats = Nats::connect(&config, None).await.unwrap();
    ensure_streams(&nats, StreamSettings { replicas: 1 }).await.unwrap();
    let store = PayloadStore::open("nats://", Some(&nats)).unwrap();
    let document = pod.world.store.get_batch(NAMESPACE, &pod.world.batch).await.unwrap();
    store.put_batch(NAMESPACE, document).await.unwrap();

    let mut command = pod.command();
    command.env("TRACKWAY_NATS_URL", server.url()).env("TRACKWAY_STORE_URL", server.url());
    let (code, log) = ended(command.spawn().unwrap()).await;
    assert_eq!(code, Some(0), "{log:?}");
    let subject = result_subject(NAMESPACE, RUN_UID, "insights", 1, 1, 0).unwrap();
    let published = read_results(&nats, &[subject]).await.unwrap();
    assert_eq!(published.len(), 1);
    let published: StageResult = serde_json::from_slice(&published[0].1).unwrap();
    assert_eq!((&published, published.phase), (&pod.result(), ResultPhase::Judged));
}

#[tokio::test]
async fn a_pod_whose_nats_is_away_does_not_wait_for_it_long() {
    let pod = Pod::new().await;
    let mut command = pod.command();
    command.env("TRACKWAY_NATS_URL", "nats://127.0.0.1:9");
    let started = std::time::Instant::now();
    let (code, log) = ended(command.spawn().unwrap()).await;
    assert_eq!((code, pod.result().phase), (Some(0), ResultPhase::Judged), "{log:?}");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_pod_that_is_asked_to_end_reports_nothing() {
    let pod = Pod::new().await;
    pod.world.llm.hold(When::default());
    let child = pod.command().spawn().unwrap();
    pod.world.llm.until_held(1).await;
    let id = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    let (code, log) = ended(child).await;
    assert_eq!(code, Some(143), "{log:?}");
    assert!(!pod.path("termination-log").exists());
    assert_eq!(pod.world.calls(Kind::Generate), 1);
}

#[tokio::test]
async fn what_a_pod_cannot_begin_with_is_a_result_too() {
    let pod = Pod::new().await;
    std::fs::remove_file(pod.path("revision").join(REVISION_KEY)).unwrap();
    let (code, log) = ended(pod.command().spawn().unwrap()).await;
    assert_eq!(code, Some(0), "{log:?}");
    let error = pod.result().error.unwrap();
    assert_eq!((error.class.as_str(), error.reason.as_str()), ("permanent", "RevisionInvalid"));
    assert!(error.message.contains(REVISION_KEY), "{}", error.message);
}

#[tokio::test]
async fn without_an_assignment_nobody_can_be_told_and_the_last_line_says_why() {
    let pod = Pod::new().await;
    let mut command = pod.command();
    command.env("TRACKWAY_ASSIGNMENT", "{}");
    let (code, log) = ended(command.spawn().unwrap()).await;
    assert_eq!(code, Some(1));
    let last = log.last().unwrap()["fields"]["message"].as_str().unwrap();
    assert!(last.starts_with("no result: TRACKWAY_ASSIGNMENT is not an Assignment"), "{last}");
}
