//! Whole reconciles, each after what would have woken it.

mod world;

use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};
use trackway_crds::{
    names,
    status::{Phase, StagePhase},
};
use world::{RUN_UID, World, pod};

const TARGETS: u32 = 24;
/// What a Job costs the API server: it is created suspended, recorded, and released.
const THREE_WRITES: [&str; 3] = ["POST jobs", "PUT batchruns", "PATCH jobs"];

fn revision() -> Value {
    let model = json!({"role": "writer", "endpoint": "main", "baseURL": "https://llm", "model": "m", "timeoutMillis": 90_000});
    let stage = |name: &str| {
        json!({"name": name, "work": {"kind": "Generate", "model": model, "prompt": "p.md"}, "timeoutMillis": 600_000,
            "retry": {"qualityMaxAttempts": 3, "infrastructureMaxTries": 5, "modelMaxTries": 6, "judgeMaxTries": 5,
                "modelBackoff": {"initialMillis": 1000, "factor": 2, "maxMillis": 30_000}}})
    };
    let mut notices = stage("notices");
    notices["forEach"] = json!({"stage": "solutions", "field": "targets", "key": "id", "maxConcurrency": 40, "targetsPerPod": 10,
        "toleratedFailures": 0});
    json!({"contract": 1, "track": "admin", "audience": "a", "stages": [stage("solutions"), notices],
        "debugger": {"model": model, "timeoutMillis": 120_000},
        "limits": {"startTimeoutMillis": 300_000, "activeDeadlineMillis": 7_200_000, "deadlineMillis": 604_800_000_u64}})
}

fn result(job: &Job, stage: &str, index: u32) -> Value {
    let reference = json!({"sha256": "0".repeat(64), "bytes": 2});
    let of_pod = usize::try_from(index / 10).unwrap();
    json!({"contract": 1, "run": RUN_UID, "stage": stage, "index": index, "attempt": 1, "try": 1, "pod": pod(job, of_pod),
        "phase": "Done", "input": reference, "output": reference, "record": reference})
}

/// A track whose first stage asks for what is missing.
fn asking() -> Value {
    let mut revision = revision();
    let mut context = revision["stages"][0].clone();
    context["name"] = json!("context");
    context["work"]["kind"] = json!("ValidateContext");
    context["work"]["onMissing"] = json!("Ask");
    context["work"]["ask"] = json!({"answerWithinMillis": 3_600_000, "onTimeout": "Proceed"});
    revision["stages"].as_array_mut().unwrap().insert(0, context);
    revision
}

/// What the pod of `job` says of one gap.
fn gap(job: &Job) -> Value {
    let mut result = result(job, "context", 0);
    result["gaps"] = json!(1);
    result["questions"] =
        json!([{"id": "plan", "question": "Which plan?", "why": "It decides the tone.", "answer": {"type": "string"}}]);
    result
}

#[tokio::test]
async fn a_run_that_asks_waits_without_a_job_and_goes_on_when_it_is_answered() {
    let mut world = World::new(&asking()).await;
    world.reconcile().await;
    let (job, _) = world.job("context");
    world.see_pod(&job, 0, &running());
    world.wake(&gap(&job));
    world.writes();
    world.reconcile().await;
    assert_eq!(world.writes(), ["POST questionnaires", "PUT batchruns"], "what is waited for is there before it is waited for");
    let status = world.status();
    assert_eq!((status.phase, status.deadline_at.is_none()), (Some(Phase::WaitingForContext), true));
    let asked = status.stages[0].questionnaire.clone().unwrap();

    world.reconcile().await;
    assert_eq!(world.writes(), [""; 0], "nobody has answered");
    world.answer(&asked.name).await;
    world.reconcile().await;
    assert_eq!(world.writes(), THREE_WRITES);
    let status = world.status();
    assert_eq!((status.phase, status.stages[0].attempts.last().unwrap().attempt), (Some(Phase::Running), 2));
}

#[tokio::test]
async fn a_second_run_that_asks_the_same_joins_the_questionnaire_and_keeps_its_answers() {
    let mut world = World::new(&asking()).await;
    world.reconcile().await;
    let (job, _) = world.job("context");
    world.see_pod(&job, 0, &running());
    world.wake(&gap(&job));
    let name = names::questionnaire_name("octo-org", "octo-org", &[("plan", "Which plan?", r#"{"type":"string"}"#)]);
    world.asked_before(&name, &gap(&job)["questions"]).await;
    world.reconcile().await;
    let asked = world.status().stages[0].questionnaire.clone().unwrap();
    assert_eq!(asked.name, name);
    let record = world.record(&asked.name).await;
    assert_eq!(record["answers"], json!({"other": {"value": 7, "at": "2026-11-22T15:00:00Z"}}), "they are carried over");
    assert_eq!(record["expiresAt"], json!(asked.expires_at.0), "it stays open as long as this run waits");
}

#[tokio::test]
async fn last_words_without_questions_are_no_result_of_a_stage_that_asks() {
    let mut world = World::new(&asking()).await;
    world.reconcile().await;
    let (job, _) = world.job("context");
    let mut words = gap(&job);
    words.as_object_mut().unwrap().remove("questions");
    world.publish(&gap(&job)).await;
    let message = words.to_string();
    let over = json!({"terminated": {"exitCode": 0, "reason": "Completed", "message": message}});
    world.see_pod(&job, 0, &over);
    world.reconcile().await;
    assert_eq!(world.status().phase, Some(Phase::WaitingForContext), "the stream has the questions");
}

fn running() -> Value {
    json!({"running": {}})
}

fn ended() -> Value {
    json!({"terminated": {"exitCode": 0, "reason": "Completed"}})
}

/// A world whose fan-out has its wave running, with the wave's Job.
async fn fanned_out() -> (World, Job) {
    let mut world = World::new(&revision()).await;
    world.reconcile().await;
    assert_eq!(world.writes(), THREE_WRITES);
    let (job, _) = world.job("solutions");
    world.see_pod(&job, 0, &running());
    let mut solutions = result(&job, "solutions", 0);
    solutions["lists"] = json!({"targets": {"count": TARGETS, "keysSha256": "0".repeat(64)}});
    world.wake(&solutions);
    world.reconcile().await;
    assert_eq!(world.writes(), THREE_WRITES, "the end of a stage and the wave of the next are one write");
    let (job, told) = world.job("notices");
    let wave = told.wave.unwrap();
    assert_eq!((wave.targets.len(), wave.pods()), (24, 3));
    for index in 0..3 {
        world.see_pod(&job, index, &running());
    }
    (world, job)
}

#[tokio::test]
async fn inv01_a_wave_costs_three_writes_whatever_its_size() {
    let (world, job) = fanned_out().await;
    assert_eq!(world.job("notices").0.spec.unwrap().suspend, Some(false));
    world.wake(&result(&job, "notices", 7));
    world.reconcile().await;
    assert_eq!(world.writes(), [""; 0], "progress alone is not written within a second");
}

#[tokio::test]
async fn what_was_heard_is_enough_with_the_stream_away() {
    let (mut world, job) = fanned_out().await;
    world.nats.stop().await.unwrap();
    for index in 0..TARGETS {
        world.wake(&result(&job, "notices", index));
    }
    world.reconcile().await;
    assert_eq!(world.writes(), ["PUT batchruns"]);
    assert_eq!(world.status().phase, Some(Phase::Succeeded));
}

#[tokio::test]
async fn a_wake_that_was_lost_is_made_good_when_its_pod_is_over() {
    let (mut world, job) = fanned_out().await;
    for index in 0..TARGETS - 1 {
        world.wake(&result(&job, "notices", index));
    }
    world.reconcile().await;
    world.publish(&result(&job, "notices", TARGETS - 1)).await;
    world.reconcile().await;
    assert_eq!(world.status().phase, Some(Phase::Running), "nothing says that the last one has come");
    world.see_pod(&job, 2, &ended());
    world.reconcile().await;
    assert_eq!(world.status().phase, Some(Phase::Succeeded));
}

#[tokio::test]
async fn inv03_a_target_whose_pod_died_unheard_is_given_to_another_pod_only_once_the_stream_was_asked() {
    let (mut world, job) = fanned_out().await;
    let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    world.nats.stop().await.unwrap();
    world.see_pod(&job, 1, &killed);
    world.reconcile().await;
    let running = |world: &World| world.status().stages[1].targets.as_ref().unwrap().running;
    assert_eq!((running(&world), world.writes().len()), (TARGETS, 0), "they may have reported before");

    world.nats.restart().await.unwrap();
    let lost = async {
        while world.status().stages[1].used.infrastructure == 0 {
            world.reconcile().await;
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(30), lost).await.unwrap();
    assert_eq!(world.status().stages[1].used.infrastructure, 10);
}

#[tokio::test]
async fn inv11_a_failed_stage_is_looked_at_by_the_debugger_and_then_failed() {
    let mut world = World::new(&revision()).await;
    world.reconcile().await;
    let (job, _) = world.job("solutions");
    world.see_pod(&job, 0, &running());
    let mut refused = result(&job, "solutions", 0);
    refused["phase"] = json!("Error");
    refused["error"] = json!({"class": "permanent", "reason": "Unauthorized", "message": "401"});
    world.wake(&refused);
    world.reconcile().await;
    assert_eq!(world.status().phase, Some(Phase::Diagnosing), "the failure is written before anything is done about it");
    world.writes();
    world.reconcile().await;
    assert_eq!(world.writes(), THREE_WRITES);

    let (job, told) = world.job(names::DEBUGGER);
    assert_eq!(told.failure.unwrap().reason, "Unauthorized");
    world.see_pod(&job, 0, &running());
    let mut diagnosis = result(&job, names::DEBUGGER, 0);
    diagnosis["diagnosis"] = json!({"rootCause": "the key expired", "suggestedFix": "renew it", "continuationPrompt": "p",
        "evidence": [], "droppedEvidence": 0, "confidence": 0.9, "model": "m", "full": {"sha256": "0".repeat(64), "bytes": 2}});
    // Published while nobody listened: the first look at a try reads the stream.
    world.publish(&diagnosis).await;
    world.see_pod(&job, 0, &ended());
    world.reconcile().await;
    let status = world.status();
    assert_eq!((status.phase, status.stages[0].phase), (Some(Phase::Failed), StagePhase::Failed));
    assert_eq!(status.diagnosis.unwrap().root_cause, "the key expired");
}
