//! What is kept of a try that went wrong, and what keeps one from going on.

use serde_json::json;
use trackway_crds::contracts::{ErrorClass, FailureRecord};
use trackway_scripted_llm::Kind;

use crate::world::{API_KEY, Setup, World};

#[tokio::test]
async fn a_failed_try_keeps_how_it_went_wrong() {
    let rule = format!("- {{name: echo, then: {{status: 401, error: {{message: 'no such key: {API_KEY}'}}}}}}");
    let world = World::with_rules(&rule).await;
    let result = world.run(2, 3).await;
    assert_eq!(result.error.unwrap().reason, "PayloadNotFound", "attempt 2 has no verdict to learn from");
    let record: FailureRecord = world.read(&result.record.unwrap()).await;
    assert_eq!((record.attempt, record.try_, record.index, record.calls.len()), (2, 3, 0, 0));

    let result = world.run(1, 1).await;
    let record: FailureRecord = world.read(&result.record.unwrap()).await;
    assert_eq!(
        (record.class, record.reason.as_str(), record.stage.as_str()),
        (ErrorClass::Permanent, "Unauthorized", "insights")
    );
    assert!(record.chain[0].contains("no such key: [redacted]"), "{:?}", record.chain);
    assert!(record.location.starts_with("worker/src/") && record.location.contains(".rs:"), "{}", record.location);
    let call = &record.calls[0];
    assert_eq!((call.purpose.as_str(), call.model_answered.as_deref(), call.input_tokens), ("generate", None, 0));
    assert!(!serde_json::to_string(&record).unwrap().contains(API_KEY));
}

#[tokio::test]
async fn a_failed_judge_leaves_the_calls_before_it_on_record() {
    let world = World::with_rules("- {name: prose, when: {kind: judge}, then: {prose: Lovely.}}").await;
    let result = world.run(1, 1).await;
    let record: FailureRecord = world.read(&result.record.unwrap()).await;
    assert_eq!(record.calls.iter().map(|call| call.purpose.as_str()).collect::<Vec<_>>(), ["generate", "judge", "repair"]);
    assert!(record.location.starts_with("worker/src/judge.rs:"), "{}", record.location);
}

#[tokio::test]
async fn no_call_is_begun_when_the_tokens_are_used_up() {
    let world = World::with_rules("").await;
    let mut job = world.job(1, 1);
    job.assignment.tokens_left = Some(0);
    let error = world.run_job(&job).await.error.unwrap();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Permanent, "TokenBudgetExhausted"));
    assert!(error.message.contains("limits.tokens"), "{}", error.message);
    assert_eq!(world.llm.calls().len(), 0);

    job.assignment.tokens_left = Some(1);
    let result = world.run_job(&job).await;
    assert_eq!(result.error.unwrap().reason, "TokenBudgetExhausted");
    assert_eq!((world.calls(Kind::Generate), world.calls(Kind::Judge)), (1, 0), "checked before each call");
    let bought = result.output.unwrap();

    job.assignment.tokens_left = Some(1_000_000);
    let result = world.run_job(&job).await;
    assert_eq!((result.error, result.output, world.calls(Kind::Generate)), (None, Some(bought), 1));
}

#[tokio::test]
async fn a_repair_is_a_call_like_any_other() {
    let world = World::with_rules("- {name: torn, when: {kind: generate}, then: {malformed: true}}").await;
    let mut job = world.job(1, 1);
    job.assignment.tokens_left = Some(1);
    assert_eq!(world.run_job(&job).await.error.unwrap().reason, "TokenBudgetExhausted");
    assert_eq!(world.calls(Kind::Generate), 1);
}

#[tokio::test]
async fn authorities_that_are_named_must_be_there() {
    let mut world = World::new(Setup::default()).await;
    let mut revision = json!(world.revision);
    revision["stages"][0]["work"]["model"]["caBundleRef"] = json!({"name": "company-ca", "key": "ca.pem"});
    world.revision = serde_json::from_value(revision).unwrap();
    let error = world.run(1, 1).await.error.unwrap();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Permanent, "CaBundleUnreadable"));
    assert!(error.message.contains("ConfigMap company-ca key ca.pem"), "{}", error.message);
    assert_eq!(world.llm.calls().len(), 0);
}
