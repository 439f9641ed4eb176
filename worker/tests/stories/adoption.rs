use serde_json::Value;
use trackway_crds::contracts::{ErrorClass, NameKind, ResultPhase};
use trackway_scripted_llm::{Kind, Rules, When};

use crate::world::{Setup, World};

#[tokio::test]
async fn inv03_a_second_pod_adopts_everything_and_calls_no_model() {
    let world = World::with_rules("").await;
    let first = world.run(1, 1).await;
    let second = world.run(1, 2).await;
    assert_eq!((world.calls(Kind::Generate), world.calls(Kind::Judge)), (1, 1));
    assert_eq!((second.phase, second.try_, second.pod.as_str()), (ResultPhase::Judged, 2, "pod-1-2"));
    assert_eq!((&second.score, &second.dimensions, &second.feedback), (&first.score, &first.dimensions, &first.feedback));
    assert_eq!((&second.input, &second.output, &second.record), (&first.input, &first.output, &first.record));
    assert_eq!((second.tokens.total(), second.millis.generate, second.millis.judge), (0, 0, 0));
}

#[tokio::test]
async fn inv03_a_pod_lost_while_it_is_judged_leaves_its_output_to_the_next() {
    let world = World::with_rules("").await;
    let hold = world.llm.hold(When { kind: Some(serde_saphyr::from_str("judge").unwrap()), ..When::default() });
    {
        let job = world.job(1, 1);
        let pod = world.run_job(&job);
        tokio::select! {
            _ = pod => panic!("the judgement is held"),
            () = world.llm.until_held(1) => {} // and the pod is lost
        }
    }
    world.llm.release(&hold);
    let next = world.run(1, 2).await;
    assert_eq!((next.phase, world.calls(Kind::Generate)), (ResultPhase::Judged, 1));
    assert_eq!((next.tokens.input, next.tokens.output), (0, 0), "what was adopted costs nothing");
    assert!(next.tokens.judge_input > 0);
}

#[tokio::test]
async fn inv03_an_output_whose_judge_failed_is_judged_again_and_not_written_again() {
    let world = World::with_rules("- {name: prose, when: {kind: judge}, then: {prose: Lovely.}}").await;
    let failed = world.run(1, 1).await;
    assert_eq!(failed.error.as_ref().unwrap().class, ErrorClass::Judge);
    assert!(failed.output.is_some(), "the output is told although there is no verdict");
    assert_eq!(world.name(1, NameKind::Verdict).await, None);

    world.llm.set_rules(&Rules::none());
    let judged = world.run(1, 2).await;
    assert_eq!((judged.phase, judged.output, world.calls(Kind::Generate)), (ResultPhase::Judged, failed.output, 1));
}

#[tokio::test]
async fn inv03_of_two_pods_at_once_one_output_and_one_verdict_win() {
    let world = World::with_rules(
        r#"
- {name: one, when: {kind: generate, nth: 1}, then: {text: "one"}}
- {name: two, when: {kind: generate}, then: {text: "two"}}
"#,
    )
    .await;
    world.llm.hold_next(When::default(), 2);
    let (first, second) = (world.job(1, 1), world.job(1, 2));
    let release = async {
        world.llm.until_held(2).await;
        world.llm.release_all();
    };
    let (first, second, ()) = tokio::join!(world.run_job(&first), world.run_job(&second), release);
    assert_eq!(world.calls(Kind::Generate), 2);
    assert_eq!((first.phase, second.phase), (ResultPhase::Judged, ResultPhase::Judged));
    assert_eq!((&first.output, &first.score, &first.record), (&second.output, &second.score, &second.record));
    let kept: Value = world.read(&first.output.unwrap()).await;
    assert!(kept["text"] == "one" || kept["text"] == "two");
}

#[tokio::test]
async fn inv03_another_request_under_the_same_attempt_is_refused_before_any_call() {
    let mut world = World::with_rules("").await;
    world.run(1, 1).await;
    world.files.insert("insights.md".to_owned(), "Another prompt for {{ batch.id }}".to_owned());
    let result = world.run(1, 2).await;
    let error = result.error.unwrap();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Permanent, "RequestMismatch"));
    assert_eq!((world.calls(Kind::Generate), world.calls(Kind::Judge)), (1, 1));
}

#[tokio::test]
async fn an_adopted_context_validation_still_tells_its_gaps() {
    let world = World::new(Setup { context: true, judged: false, ..Setup::default() }).await;
    assert_eq!(world.run(1, 1).await.gaps, Some(0));
    assert_eq!((world.run(1, 2).await.gaps, world.calls(Kind::Generate)), (Some(0), 1));
}
