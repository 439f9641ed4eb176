//! The program as a pod runs it.

use std::{process::Output, time::Duration};

use serde::de::DeserializeOwned;
use tokio::process::{Child, Command};
use trackway_crds::contracts::{Assignment, ErrorClass, PodDigest, REVISION_KEY, ResultPhase, StageResult, TargetDigest};
use trackway_nats::{Credentials, Nats, NatsConfig, StreamSettings, ensure_streams, read_results, result_subject};
use trackway_scripted_llm::{Kind, When};
use trackway_store::PayloadStore;
use trackway_test_support::NatsServer;

use crate::{
    fan::{Fan, scope},
    world::{NAMESPACE, RUN_UID, World},
};

const LIMIT: Duration = Duration::from_secs(60);

/// A pod's folder: revision, termination log, store.
struct Pod {
    folder: tempfile::TempDir,
    world: World,
    assignment: Assignment,
}

impl Pod {
    async fn new() -> Self {
        Self::of(World::with_rules("").await).await
    }

    /// The pod of a wave with the four targets of `fan`.
    async fn of_wave(fan: Fan) -> Self {
        let wave = fan.job(&[(0, 1, 1), (1, 1, 1), (2, 1, 1), (3, 1, 1)], 4, 0).assignment;
        let output = fan.world.store.get_blob(&scope(), &fan.source).await.unwrap();
        let mut pod = Self::of(fan.world).await;
        pod.store().put_blob(&scope(), output).await.unwrap();
        pod.assignment = Assignment { batch: pod.assignment.batch, ..wave };
        pod
    }

    async fn of(world: World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let revision = folder.path().join("revision");
        std::fs::create_dir_all(revision.join("..data")).unwrap();
        std::fs::write(revision.join(REVISION_KEY), serde_json::to_string(&world.revision).unwrap()).unwrap();
        for (name, text) in &world.files {
            std::fs::write(revision.join(name), text).unwrap();
        }
        let assignment = world.assignment(1, 1);
        let document = world.store.get_batch(NAMESPACE, &world.batch).await.unwrap();
        let pod = Self { folder, world, assignment };
        pod.store().put_batch(NAMESPACE, document).await.unwrap();
        pod
    }

    fn store(&self) -> PayloadStore {
        PayloadStore::open(&format!("file://{}", self.path("store").display()), None).unwrap()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_trackway-worker"));
        command
            .env_clear()
            .env("TRACKWAY_ASSIGNMENT", serde_json::to_string(&self.assignment).unwrap())
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
        self.last_words().unwrap()
    }

    /// The termination message as it is now, if there is one.
    fn last_words<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(&std::fs::read_to_string(self.path("termination-log")).ok()?).ok()
    }
}

async fn ended(child: Child) -> (Option<i32>, Vec<serde_json::Value>) {
    let Output { status, stderr, .. } = tokio::time::timeout(LIMIT, child.wait_with_output()).await.unwrap().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    let lines = stderr.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {stderr}")));
    (status.code(), lines.collect())
}

async fn stream() -> (NatsServer, Nats) {
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
    (server, nats)
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
    let (server, nats) = stream().await;
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

const MIXED: &str = r#"
- {name: thin, when: {kind: judge, headers: {x-trackway-target: b}}, then: {scores: {relevance: 0.4, clarity: 0.6}}}
- {name: refused, when: {kind: generate, headers: {x-trackway-target: c}}, then: {status: 400}}
- {name: fine, when: {kind: judge}, then: {scores: {"*": 0.85}}}
"#;

/// What is said of the targets, by index, and without their tokens.
fn said(digest: PodDigest) -> Vec<TargetDigest> {
    let mut targets: Vec<_> = digest.targets.into_iter().map(|target| TargetDigest { n: 0, ..target }).collect();
    targets.sort_by_key(|target| target.i);
    targets
}

fn ended_as(i: u32, d: Option<[u16; 2]>, error: Option<&str>) -> TargetDigest {
    let e = error.map(|_| ErrorClass::Permanent);
    TargetDigest { i, a: 1, t: 1, d: d.map(|d| d.to_vec()), e, r: error.map(str::to_owned), n: 0 }
}

#[tokio::test]
async fn a_wave_pod_publishes_every_result_and_ends_with_their_digest() {
    let pod = Pod::of_wave(Fan::with_rules(MIXED).await).await;
    let (server, nats) = stream().await;
    let mut command = pod.command();
    command.env("JOB_COMPLETION_INDEX", "0").env("TRACKWAY_NATS_URL", server.url());
    let (code, log) = ended(command.spawn().unwrap()).await;
    assert_eq!(code, Some(0), "{log:?}");
    let subjects: Vec<_> = (0..4).map(|index| result_subject(NAMESPACE, RUN_UID, "insights", 1, 1, index).unwrap()).collect();
    let published = read_results(&nats, &subjects).await.unwrap();
    let published: Vec<StageResult> = published.iter().map(|(_, result)| serde_json::from_slice(result).unwrap()).collect();
    assert_eq!(published.iter().map(|result| result.score).collect::<Vec<_>>(), [Some(850), Some(467), None, Some(850)]);

    let digest: PodDigest = pod.last_words().unwrap();
    assert_eq!((digest.run.as_str(), digest.stage.as_str(), digest.pod.as_str()), (RUN_UID, "insights", "pod-uid"));
    assert!(digest.targets.iter().all(|target| target.n > 0 || target.e.is_some()), "{digest:?}");
    let refused = published[2].error.as_ref().unwrap().reason.as_str();
    let expected = [
        ended_as(0, Some([850, 850]), None),
        ended_as(1, Some([400, 600]), None),
        ended_as(2, None, Some(refused)),
        ended_as(3, Some([850, 850]), None),
    ];
    assert_eq!(said(digest), expected);
}

#[tokio::test]
async fn a_killed_pod_has_said_what_had_come_to_an_end() {
    let pod = Pod::of_wave(Fan::with_rules(MIXED).await).await;
    pod.world.llm.hold(When { headers: [("x-trackway-target".to_owned(), "d".to_owned())].into(), ..When::default() });
    let mut child = pod.command().env("JOB_COMPLETION_INDEX", "0").spawn().unwrap();
    let three_have_ended = async {
        while pod.last_words::<PodDigest>().is_none_or(|digest| digest.targets.len() < 3) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        pod.world.llm.until_held(1).await;
    };
    tokio::time::timeout(LIMIT, three_have_ended).await.unwrap();
    child.kill().await.unwrap();
    let targets = said(pod.last_words().unwrap());
    assert_eq!(targets.iter().map(|target| target.i).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(targets[1], ended_as(1, Some([400, 600]), None));
}

#[tokio::test]
async fn a_wave_pod_that_cannot_begin_tells_it_of_each_target() {
    let pod = Pod::of_wave(Fan::with_rules("").await).await;
    std::fs::remove_file(pod.path("revision").join(REVISION_KEY)).unwrap();
    let (code, log) = ended(pod.command().env("JOB_COMPLETION_INDEX", "0").spawn().unwrap()).await;
    assert_eq!(code, Some(0), "{log:?}");
    let targets = said(pod.last_words().unwrap());
    assert_eq!(targets, [0, 1, 2, 3].map(|index| ended_as(index, None, Some("RevisionInvalid"))));
}

#[tokio::test]
async fn a_wave_pod_must_know_which_one_it_is() {
    let pod = Pod::of_wave(Fan::with_rules("").await).await;
    let (code, log) = ended(pod.command().spawn().unwrap()).await;
    assert_eq!(code, Some(1));
    let last = log.last().unwrap()["fields"]["message"].as_str().unwrap();
    assert!(last.starts_with("no result: JOB_COMPLETION_INDEX is not set"), "{last}");
}
