use serde_json::json;
use tokio::sync::mpsc;
use trackway_crds::contracts::{ErrorClass, NameKind, ResultPhase, StageInput};
use trackway_scripted_llm::{Kind, When};
use trackway_worker::{Outside, Retriever, Webhooks, run_pod};

use crate::fan::Fan;

const ALL: [(u32, u32, u32); 4] = [(0, 1, 1), (1, 1, 1), (2, 1, 1), (3, 1, 1)];

const MIXED: &str = r#"
- {name: thin, when: {kind: judge, headers: {x-trackway-target: b}}, then: {scores: {"*": 0.5}, feedback: "Name the event."}}
- {name: refused, when: {kind: generate, headers: {x-trackway-target: c}}, then: {status: 400}}
- {name: fine, when: {kind: judge}, then: {scores: {"*": 0.85}}}
"#;

fn of_target(key: &str) -> When {
    When { headers: [("x-trackway-target".to_owned(), key.to_owned())].into(), ..When::default() }
}

#[tokio::test]
async fn each_target_of_a_pod_has_a_result_of_its_own() {
    let fan = Fan::with_rules(MIXED).await;
    let results = fan.run(&ALL).await;
    assert_eq!(results.iter().map(|result| result.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(results.iter().map(|result| result.key.as_deref().unwrap()).collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    assert_eq!(results.iter().map(|result| result.score).collect::<Vec<_>>(), [Some(850), Some(500), None, Some(850)]);
    let error = results[2].error.as_ref().unwrap();
    assert_eq!((results[2].phase, error.class), (ResultPhase::Error, ErrorClass::Permanent));
    assert!([0, 1, 3].iter().all(|index| results[*index].error.is_none()), "one target's failure is nobody else's");

    for (result, target) in results.iter().zip(fan.list.as_array().unwrap()) {
        let input: StageInput = fan.world.read(result.input.as_ref().unwrap()).await;
        assert_eq!(input.target.as_ref(), Some(target));
        assert_eq!(input.stages.get("solutions"), Some(&fan.source));
        assert!(input.user.starts_with(&format!("Write to {} about", target["name"].as_str().unwrap())), "{}", input.user);
        let named = fan.name(1, result.index, NameKind::Output).await.map(|named| named.reference);
        assert_eq!(named, result.output, "its output is kept under its own index");
    }
    for call in fan.world.llm.calls() {
        assert!(["0", "1", "2", "3"].contains(&call.trackway.index.as_str()), "{:?}", call.trackway);
    }
}

#[tokio::test]
async fn a_result_is_told_when_it_comes_whatever_the_others_do() {
    let fan = Fan::with_rules(MIXED).await;
    fan.world.llm.hold(of_target("d"));
    let job = fan.job(&ALL, 32, 0);
    let (tell, mut told) = mpsc::unbounded_channel();
    let tell = move |result| tell.send(result).unwrap();
    let outside = Outside {
        models: &fan.world.models,
        webhooks: &Webhooks::DryRun,
        retriever: &Retriever::offline(),
        answers: &fan.world.answers,
    };
    let pod = run_pod(&job, &fan.world.store, &outside, jiff::Timestamp::now, &tell);
    let hear = async {
        let mut first = Vec::new();
        for _ in 0..3 {
            first.push(told.recv().await.unwrap().index);
        }
        first.sort_unstable();
        assert_eq!(first, [0, 1, 2], "the three that are not held");
        fan.world.llm.until_held(1).await;
        fan.world.llm.release_all();
        assert_eq!(told.recv().await.unwrap().index, 3);
    };
    tokio::join!(pod, hear);
}

#[tokio::test]
async fn inv03_another_pod_adopts_what_each_target_left() {
    let fan = Fan::with_rules("").await;
    let first = fan.run(&ALL).await;
    let again = fan.run(&[(0, 1, 2), (1, 1, 2), (2, 1, 3), (3, 1, 2)]).await;
    assert_eq!((fan.world.calls(Kind::Generate), fan.world.calls(Kind::Judge)), (4, 4), "nobody is asked twice");
    for (first, again) in first.iter().zip(&again) {
        assert_eq!((&again.output, &again.score, &again.record), (&first.output, &first.score, &first.record));
        assert_eq!(again.tokens.total(), 0);
    }
    assert_eq!(again.iter().map(|result| result.try_).collect::<Vec<_>>(), [2, 2, 3, 2]);
}

#[tokio::test]
async fn inv03_of_two_pods_at_once_one_output_of_each_target_wins() {
    let fan = Fan::with_rules("").await;
    fan.world.llm.hold_next(When::default(), 8);
    let (first, second) = (fan.job(&ALL, 32, 0), fan.job(&ALL.map(|(index, attempt, _)| (index, attempt, 2)), 32, 0));
    let release = async {
        fan.world.llm.until_held(8).await;
        fan.world.llm.release_all();
    };
    let (mut first, mut second, ()) = tokio::join!(fan.world.run_pod(&first), fan.world.run_pod(&second), release);
    first.sort_by_key(|result| result.index);
    second.sort_by_key(|result| result.index);
    for (first, second) in first.iter().zip(&second) {
        assert_eq!((first.phase, second.phase), (ResultPhase::Judged, ResultPhase::Judged));
        assert_eq!((&first.output, &first.score, &first.record), (&second.output, &second.score, &second.record));
    }
}

#[tokio::test]
async fn each_target_has_its_own_attempt_and_sees_its_own_judges_words() {
    let fan = Fan::with_rules(MIXED).await;
    fan.run(&ALL).await;
    let results = fan.run(&[(1, 2, 1), (3, 1, 1)]).await;
    let input: StageInput = fan.world.read(results[0].input.as_ref().unwrap()).await;
    assert!(input.user.contains("Last time the judge said: Name the event."), "{}", input.user);
    assert_eq!(results[0].attempt, 2);
    let other: StageInput = fan.world.read(results[1].input.as_ref().unwrap()).await;
    assert_eq!((other.feedback, results[1].tokens.total()), (None, 0));
}

#[tokio::test]
async fn the_pods_of_a_wave_share_its_targets() {
    let fan = Fan::with_rules("").await;
    let mut told = Vec::new();
    for pod_index in 0..3 {
        let mut results = fan.world.run_pod(&fan.job(&ALL, 3, pod_index)).await;
        results.sort_by_key(|result| result.index);
        told.push(results.iter().map(|result| result.index).collect::<Vec<_>>());
    }
    assert_eq!(told, [vec![0, 1, 2], vec![3], vec![]]);
}

#[tokio::test]
async fn entries_without_a_key_go_by_their_index() {
    let fan = Fan::over(json!([{"name": "x"}, {"id": 7, "name": "y"}, {"id": "ü x\ny", "name": "z"}]), "").await;
    let results = fan.run(&[(0, 1, 1), (1, 1, 1), (2, 1, 1)]).await;
    assert_eq!(results.iter().map(|result| result.error.clone()).collect::<Vec<_>>(), [None, None, None]);
    assert_eq!(results.iter().map(|result| result.key.as_deref().unwrap()).collect::<Vec<_>>(), ["0", "7", "ü x\ny"]);
}

#[tokio::test]
async fn a_target_that_the_list_does_not_have_is_refused_alone() {
    let fan = Fan::with_rules("").await;
    let results = fan.run(&[(0, 1, 1), (9, 1, 1)]).await;
    assert_eq!(results[0].phase, ResultPhase::Judged);
    let error = results[1].error.as_ref().unwrap();
    assert_eq!((error.class, error.reason.as_str(), results[1].index), (ErrorClass::Permanent, "TargetUnknown", 9));
    assert!(error.message.contains("4 targets, none with index 9"), "{}", error.message);
}

#[tokio::test]
async fn what_all_targets_lack_every_one_of_them_tells() {
    let mut fan = Fan::with_rules("").await;
    fan.world.files.clear();
    let results = fan.run(&ALL).await;
    let reasons: Vec<_> = results.iter().map(|result| result.error.as_ref().unwrap().reason.as_str()).collect();
    assert_eq!(reasons, ["PromptMissing"; 4]);
}

#[tokio::test]
async fn each_target_has_the_tokens_that_are_left_for_one() {
    let fan = Fan::with_rules("").await;
    let mut job = fan.job(&ALL[..2], 32, 0);
    job.assignment.tokens_left = Some(1);
    for result in fan.world.run_pod(&job).await {
        let error = result.error.unwrap();
        assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Permanent, "TokenBudgetExhausted"));
        assert!(error.message.contains("limits.tokens"), "{}", error.message);
        assert!(result.output.is_some(), "what was paid for is kept");
    }
    assert_eq!((fan.world.calls(Kind::Generate), fan.world.calls(Kind::Judge)), (2, 0), "the judge is not asked any more");
}

#[tokio::test]
async fn outside_a_fan_out_no_prompt_can_name_a_target() {
    let fan = Fan::with_rules("").await;
    let mut job = fan.job(&[], 1, 0);
    job.assignment.wave = None;
    let results = fan.world.run_pod(&job).await;
    let error = results[0].error.as_ref().unwrap();
    assert_eq!(error.class, ErrorClass::Permanent, "{}", error.message);
    assert_eq!((results.len(), fan.world.calls(Kind::Generate)), (1, 0));
}
