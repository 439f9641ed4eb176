use std::{path::Path, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::process::Command;
use trackway_crds::contracts::{
    AttemptRecord, ErrorClass, NameKind, REVISION_KEY, ResultPhase, StageInput, StageResult, StoredName,
};
use trackway_scripted_llm::Kind;
use trackway_store::{Name, PayloadStore, Scope};
use trackway_worker::{AttemptJob, Outside, Retriever, Webhooks, container};

use crate::world::{NAMESPACE, RUN_UID, Setup, World, retry};

const SCHEMA: &str =
    r#"{"type": "object", "required": ["found"], "properties": {"found": {"type": "array", "items": {"type": "object"}}}}"#;

/// A stage that runs a program, and the folder it shares with us.
struct Scene {
    world: World,
    folder: tempfile::TempDir,
}

impl Scene {
    async fn new(rules: &str) -> Self {
        let setup = Setup { rules: rules.to_owned(), schema: Some(SCHEMA.to_owned()), ..Setup::default() };
        let mut world = World::new(setup).await;
        let mut stage = json!(world.revision.stages[0]);
        stage["work"] = json!({
            "kind": "Container", "image": "registry.example/pii-scan:1.4", "args": ["--strict"], "outputSchema": "out.json",
        });
        stage["vars"] = json!({"words": ["secret"]});
        world.revision.stages = serde_json::from_value(json!([stage])).unwrap();
        Self { world, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    async fn fetch_of(&self, job: &AttemptJob) -> Option<StageResult> {
        let outside = Outside {
            models: &self.world.models,
            webhooks: &Webhooks::DryRun,
            retriever: &Retriever::offline(),
            answers: &self.world.answers,
        };
        container::fetch(job, &self.world.store, &outside, jiff::Timestamp::now, self.folder.path()).await
    }

    async fn fetch(&self, attempt: u32, try_: u32) -> Value {
        assert_eq!(self.fetch_of(&self.world.job(attempt, try_)).await, None);
        serde_json::from_slice(&std::fs::read(self.path("input.json")).unwrap()).unwrap()
    }

    /// What the program does.
    fn leave(&self, output: &Value) {
        std::fs::write(self.path("output.json"), output.to_string()).unwrap();
    }

    async fn report_of(&self, job: &AttemptJob) -> StageResult {
        let outside = Outside {
            models: &self.world.models,
            webhooks: &Webhooks::DryRun,
            retriever: &Retriever::offline(),
            answers: &self.world.answers,
        };
        container::report(job, &self.world.store, &outside, jiff::Timestamp::now, self.folder.path()).await
    }

    async fn report(&self, attempt: u32, try_: u32) -> StageResult {
        self.report_of(&self.world.job(attempt, try_)).await
    }
}

#[tokio::test]
async fn a_program_gets_what_a_prompt_may_name_and_its_output_is_judged() {
    let scene = Scene::new("").await;
    let input = scene.fetch(1, 1).await;
    assert_eq!(input["track"], json!({"name": "admin", "audience": "Org admin", "vars": {"words": ["secret"]}}));
    assert_eq!((&input["batch"]["id"], &input["batch"]["labels"]), (&json!("b7k2f9q1"), &json!({"plan": "pro"})));
    assert_eq!((&input["events"][0]["id"], &input["context"], &input["stages"]), (&json!("e1"), &json!({}), &json!({})));
    assert_eq!(input.get("feedback"), None, "attempt 1 has none");

    scene.leave(&json!({"found": [{"id": "e1"}]}));
    let result = scene.report(1, 1).await;
    assert_eq!((result.phase, result.error.as_ref()), (ResultPhase::Judged, None));
    assert_eq!((scene.world.calls(Kind::Generate), scene.world.calls(Kind::Judge)), (0, 1));
    let output: Value = scene.world.read(result.output.as_ref().unwrap()).await;
    assert_eq!(output, json!({"found": [{"id": "e1"}]}));
    let record: AttemptRecord = scene.world.read(&result.record.unwrap()).await;
    assert!(record.verdict.is_some());
    let stored: StageInput = scene.world.read(&record.input).await;
    assert_eq!(serde_json::from_str::<Value>(&stored.user).unwrap(), input, "the input is kept as it was given");
}

#[tokio::test]
async fn the_judge_is_told_which_program_wrote_it_from_what() {
    let seen = ["A program wrote the output", "registry.example/pii-scan:1.4", "--strict", "hello-world", "<<<output "];
    let rules = format!("- {{name: seen, when: {{kind: judge, contains: {}}}, then: {{scores: {{'*': 0.3}}}}}}", json!(seen));
    let scene = Scene::new(&rules).await;
    scene.fetch(1, 1).await;
    scene.leave(&json!({"found": []}));
    assert_eq!(scene.report(1, 1).await.score, Some(300));

    let feedback = &scene.fetch(2, 1).await["feedback"];
    assert_eq!((&feedback["score"], feedback["dimensions"][0]["name"].as_str()), (&json!(0.3), Some("relevance")));
}

#[tokio::test]
async fn inv03_a_second_pod_of_the_same_attempt_adopts_the_first_ones_output() {
    let scene = Scene::new("").await;
    scene.fetch(1, 1).await;
    scene.leave(&json!({"found": []}));
    let first = scene.report(1, 1).await;
    scene.fetch(1, 2).await;
    scene.leave(&json!({"found": [{"id": "another"}]}));
    let second = scene.report(1, 2).await;
    assert_eq!((&second.output, &second.record, second.try_), (&first.output, &first.record, 2));
    assert_eq!(scene.world.calls(Kind::Judge), 1);
}

#[tokio::test]
async fn an_output_that_is_none_is_permanent_and_says_what_is_wrong() {
    let scene = Scene::new("").await;
    scene.fetch(1, 1).await;
    let error = scene.report(1, 1).await.error.unwrap();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Permanent, "OutputMissing"));

    scene.leave(&json!({"found": "nothing"}));
    let error = scene.report(1, 2).await.error.unwrap();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Permanent, "OutputInvalid"));
    assert!(error.message.contains("output.json") && error.message.contains("/found"), "{}", error.message);
    assert!(!error.message.contains("nothing"), "no text of the output: {}", error.message);
    assert_eq!(scene.world.name(1, NameKind::Output).await, None);
}

#[tokio::test]
async fn lists_that_are_fanned_out_over_are_told() {
    let mut scene = Scene::new("").await;
    let mut later = json!(scene.world.revision.stages[0]);
    later["name"] = json!("notices");
    later["forEach"] = json!({
        "stage": "insights", "field": "found", "key": "id", "maxConcurrency": 40, "targetsPerPod": 10, "toleratedFailures": 0,
    });
    scene.world.revision.stages.push(serde_json::from_value(later).unwrap());
    scene.fetch(1, 1).await;
    scene.leave(&json!({"found": [{"id": "a"}, {"id": "b"}]}));
    assert_eq!(scene.report(1, 1).await.lists["found"].count, 2);

    let scene = Scene { folder: tempfile::tempdir().unwrap(), ..scene };
    scene.world.llm.reset();
    scene.leave(&json!({"found": [{"id": "a"}, {"id": "a"}]}));
    let mut job = scene.world.job(1, 1);
    job.assignment.run.uid = "another-run".to_owned();
    assert_eq!(scene.fetch_of(&job).await, None);
    let error = scene.report_of(&job).await.error.unwrap();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Permanent, "OutputInvalid"));
    assert!(error.message.contains("insights.found"), "{}", error.message);
}

#[tokio::test]
async fn a_fetch_that_fails_is_a_result_and_the_program_gets_nothing() {
    let scene = Scene::new("").await;
    let mut job = scene.world.job(1, 1);
    job.assignment.batch.input.sha256 = "0".repeat(64);
    let result = scene.fetch_of(&job).await.unwrap();
    let error = result.error.unwrap();
    assert_eq!(
        (result.phase, error.class, error.reason.as_str()),
        (ResultPhase::Error, ErrorClass::Infrastructure, "PayloadNotFound")
    );
    assert!(!scene.path("input.json").exists());
}

#[tokio::test]
async fn another_input_under_the_same_attempt_is_refused() {
    let mut scene = Scene::new("").await;
    scene.fetch(1, 1).await;
    let scope = Scope::run(NAMESPACE, RUN_UID).unwrap();
    let name = Name { stage: "insights".to_owned(), attempt: 1, index: 0, kind: NameKind::Input };
    let named: StoredName = scene.world.store.get_name(&scope, &name).await.unwrap().unwrap();
    assert!(named.request_hash.is_some());
    scene.world.revision.stages[0].vars.clear();
    let error = scene.fetch_of(&scene.world.job(1, 2)).await.unwrap().error.unwrap();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Permanent, "RequestMismatch"));
}

#[tokio::test]
async fn without_its_containers_a_program_cannot_be_run() {
    let scene = Scene::new("").await;
    let error = scene.world.run(1, 1).await.error.unwrap();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Permanent, "ContainerNeeded"));
}

#[tokio::test]
async fn a_program_without_a_judge_and_a_schema_is_done_with_any_object() {
    let mut scene = Scene::new("").await;
    let work = json!({"kind": "Container", "image": "registry.example/copy:1"});
    let stage = json!({"name": "insights", "work": work, "retry": retry(), "timeoutMillis": 60_000});
    scene.world.revision.stages = serde_json::from_value(json!([stage])).unwrap();
    scene.fetch(1, 1).await;
    scene.leave(&json!({"anything": 1}));
    let result = scene.report(1, 1).await;
    assert_eq!((result.phase, result.error), (ResultPhase::Done, None));
}

/// The three containers of a pod, as Kubernetes runs them one after the other.
#[tokio::test]
async fn the_steps_around_a_program_are_two_runs_of_the_worker() {
    let mut scene = Scene::new("").await;
    let revision = scene.path("revision");
    std::fs::create_dir_all(&revision).unwrap();
    std::fs::write(revision.join(REVISION_KEY), json!(scene.world.revision).to_string()).unwrap();
    for (name, text) in &scene.world.files {
        std::fs::write(revision.join(name), text).unwrap();
    }
    let store = PayloadStore::open(&format!("file://{}", scene.path("store").display()), None).unwrap();
    let document = scene.world.store.get_batch(NAMESPACE, &scene.world.batch).await.unwrap();
    scene.world.batch = store.put_batch(NAMESPACE, document).await.unwrap();
    let io = scene.path("io");
    std::fs::create_dir(&io).unwrap();

    let assignment = serde_json::to_string(&scene.world.assignment(1, 1)).unwrap();
    assert_eq!(step(&scene, "fetch", &assignment).await, Some(0));
    assert!(!scene.path("fetch.log").exists(), "a fetch that went well says nothing");
    assert!(io.join("input.json").exists());
    std::fs::write(io.join("output.json"), r#"{"found": []}"#).unwrap();
    assert_eq!(step(&scene, "report", &assignment).await, Some(0));
    assert_eq!(told(&scene.path("report.log")).phase, ResultPhase::Judged);

    std::fs::remove_dir_all(&revision).unwrap();
    assert_eq!(step(&scene, "fetch", &assignment).await, Some(1), "the program must not run");
    assert_eq!(told(&scene.path("fetch.log")).error.unwrap().reason, "RevisionInvalid");
}

async fn step(scene: &Scene, step: &str, assignment: &str) -> Option<i32> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_trackway-worker"));
    command
        .arg(step)
        .env_clear()
        .env("TRACKWAY_ASSIGNMENT", assignment)
        .env("TRACKWAY_REVISION_DIR", scene.path("revision"))
        .env("TRACKWAY_STORE_URL", format!("file://{}", scene.path("store").display()))
        .env("TRACKWAY_POD_UID", "pod-uid")
        .env("TRACKWAY_IO_DIR", scene.path("io"))
        .env("TRACKWAY_TERMINATION_LOG", scene.path(&format!("{step}.log")))
        .stderr(Stdio::null())
        .kill_on_drop(true);
    tokio::time::timeout(Duration::from_secs(60), command.status()).await.unwrap().unwrap().code()
}

fn told(file: &Path) -> StageResult {
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}
