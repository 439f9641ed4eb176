//! The whole output of a fan-out, as whoever comes next puts it together.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use trackway_crds::{
    contracts::{ErrorClass, FanOutOutput, FanOutPhase, FanOutState, Reference, StageInput},
    ledger::{Ledger, Target, TargetState},
};
use trackway_worker::{Failure, compose};

use crate::fan::Fan;

const RULES: &str = r#"
- {name: a, when: {kind: judge, headers: {x-trackway-target: a}}, then: {scores: {relevance: 0.851, clarity: 0.9}}}
- {name: fine, when: {kind: judge}, then: {scores: {"*": 0.85}}}
"#;

/// Two accepted, one never good enough, one whose model stayed away.
fn ledger() -> Ledger {
    let target = |state, attempt| Target { state, attempt, ..Target::default() };
    Ledger(vec![
        Target { best: Some(86), ..target(TargetState::Succeeded, 1) },
        Target { best: Some(66), ..target(TargetState::FailedQuality, 5) },
        Target { model: 6, ..target(TargetState::FailedModel, 2) },
        Target { best: Some(85), ..target(TargetState::Succeeded, 1) },
    ])
}

async fn composed(fan: &Fan, ledger: &Ledger) -> Result<(FanOutOutput, Reference), Failure> {
    let job = fan.job(&[], 1, 0);
    let source = json!({"targets": fan.list});
    let deadline = Instant::now() + Duration::from_secs(30);
    compose(&fan.world.store, &job.assignment.run, &fan.world.revision.stages[1], ledger, &source, deadline).await
}

#[tokio::test]
async fn every_target_is_in_the_output_failures_too() {
    let fan = Fan::with_rules(RULES).await;
    let results = fan.run(&[(0, 1, 1), (3, 1, 1)]).await;
    let (output, _) = composed(&fan, &ledger()).await.unwrap();
    let counts = output.counts;
    assert_eq!((counts.total, counts.succeeded, counts.failed), (4, 2, 2));
    assert_eq!(output.items.iter().map(|item| item.key.as_str()).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    assert_eq!(output.items[0].output, fan.world.read::<Value>(results[0].output.as_ref().unwrap()).await);
    assert_eq!(output.items[0].score.unwrap().thousandths(), 867, "in full, not in the ledger's hundredths");

    let quality = output.items[1].error.as_ref().unwrap();
    assert_eq!((output.items[1].phase, &output.items[1].output), (FanOutPhase::Failed, &Value::Null));
    assert_eq!((quality.class, quality.reason.as_str()), (ErrorClass::Quality, "QualityExhausted"));
    assert_eq!(quality.message, "5 attempts, best 0.66, needs 0.70");
    let model = output.items[2].error.as_ref().unwrap();
    assert_eq!((model.class, model.reason.as_str()), (ErrorClass::Model, "ModelExhausted"));
    assert_eq!(model.message, "6 failures of the model, the last in attempt 2");
}

#[tokio::test]
async fn who_comes_second_finds_it_put_together() {
    let fan = Fan::with_rules(RULES).await;
    fan.run(&[(0, 1, 1), (3, 1, 1)]).await;
    let (first, second) = (ledger(), ledger());
    let (first, second) = tokio::join!(composed(&fan, &first), composed(&fan, &second));
    assert_eq!(first.unwrap(), second.unwrap());
    let later = composed(&fan, &Ledger::new(4)).await.unwrap();
    assert_eq!(later, composed(&fan, &ledger()).await.unwrap(), "what has its name is never made again");
}

#[tokio::test]
async fn an_empty_list_has_an_empty_output() {
    let fan = Fan::over(json!([]), "").await;
    let (output, _) = composed(&fan, &Ledger::new(0)).await.unwrap();
    assert_eq!(json!(output), json!({"items": [], "counts": {"total": 0, "succeeded": 0, "failed": 0}}));
}

#[tokio::test]
async fn a_fan_out_that_goes_on_has_no_output() {
    let fan = Fan::with_rules("").await;
    let failure = composed(&fan, &Ledger::new(4)).await.unwrap_err();
    assert_eq!((failure.class, failure.reason), (ErrorClass::Permanent, "FanOutNotEnded"));
    let failure = composed(&fan, &Ledger::new(3)).await.unwrap_err();
    assert_eq!(failure.reason, "LedgerInvalid", "{failure}");
}

#[tokio::test]
async fn the_next_stage_sees_the_output_under_the_fan_outs_name() {
    let mut fan = Fan::with_rules(RULES).await;
    fan.run(&[(0, 1, 1), (3, 1, 1)]).await;
    let mut review = fan.world.revision.stages[0].clone();
    review.name = "review".to_owned();
    fan.world.revision.stages.push(review);
    let prompt = "{% for item in stages.insights['items'] %}{{ item.key }} {{ item.phase }} {{ item.error.reason if item.error }}; {% endfor %}";
    fan.world.files.insert("insights.md".to_owned(), prompt.to_owned());
    let mut job = fan.job(&[], 1, 0);
    job.assignment.stage = "review".to_owned();
    job.assignment.wave = None;
    job.assignment.fan_outs.insert("insights".to_owned(), FanOutState { ledger: ledger().encode() });
    let result = fan.world.run_job(&job).await;
    assert_eq!(result.error, None);
    let input: StageInput = fan.world.read(result.input.as_ref().unwrap()).await;
    assert_eq!(input.user, "a Succeeded ; b Failed QualityExhausted; c Failed ModelExhausted; d Succeeded ;");
    let (_, reference) = composed(&fan, &ledger()).await.unwrap();
    assert_eq!(input.stages.get("insights"), Some(&reference), "what it saw is on record");
}
