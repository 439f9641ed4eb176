//! What a tenant has answered, and what it is to be asked.

use std::{collections::BTreeMap, sync::Arc, sync::Mutex};

use futures::FutureExt as _;
use serde_json::json;
use trackway_crds::{
    contracts::{ErrorClass, ResolvedAsk, ResolvedWork, ResultPhase, StageInput},
    names::label_hash,
    track::{OnMissing, OnTimeout},
};
use trackway_nats::NatsError;
use trackway_worker::{Answers, last_words};

use crate::world::{NAMESPACE, Setup, World};

const NAMING: &str = "Plan: {{ context.plan | default('unknown') }}";

/// A world whose stage asks, with a model that finds these gaps.
async fn asking(gaps: &str) -> World {
    let rules = format!("- {{name: gaps, when: {{kind: generate}}, then: {{json: {{complete: false, gaps: [{gaps}]}}}}}}");
    let mut world = World::new(Setup { context: true, judged: false, rules, prompt: NAMING.into(), ..Setup::default() }).await;
    for stage in &mut world.revision.stages {
        if let ResolvedWork::ValidateContext { on_missing, ask, .. } = &mut stage.work {
            (*on_missing, *ask) =
                (OnMissing::Ask, Some(ResolvedAsk { answer_within_millis: 1_000, on_timeout: OnTimeout::Proceed }));
        }
    }
    world
}

/// A bucket that has `plan` answered with what is in `value`, and the keys that were read.
fn bucket(value: &Arc<Mutex<&'static str>>) -> (Answers, Arc<Mutex<Vec<String>>>) {
    let keys = Arc::new(Mutex::new(Vec::new()));
    let (seen, value) = (Arc::clone(&keys), Arc::clone(value));
    let answers = Answers::kept(move |key| {
        seen.lock().unwrap().push(key);
        let value = *value.lock().unwrap();
        let kept =
            json!({"contract": 1, "tenant": "octo-org", "answers": {"plan": {"value": value, "at": "2026-11-22T15:00:00Z"}}});
        async move { Ok(Some(kept.to_string().into_bytes().into())) }.boxed()
    });
    (answers, keys)
}

#[tokio::test]
async fn gaps_become_questions_on_the_stream_and_a_count_in_the_last_words() {
    let world = asking(r#"{id: tz, question: "Which time zone?", why: "Times are given."}"#).await;
    let result = world.run(1, 1).await;
    assert_eq!((result.phase, result.gaps, result.questions.len()), (ResultPhase::Done, Some(1), 1));
    assert_eq!(result.questions[0].answer, json!({"type": "string"}));
    let words = last_words(&world.assignment(1, 1), None, "pod", std::slice::from_ref(&result)).unwrap().unwrap();
    let words: trackway_crds::contracts::StageResult = serde_json::from_slice(&words).unwrap();
    assert!(words.lacks_questions());
    assert_eq!(world.run(1, 2).await.questions, result.questions, "who adopts the output asks the same");
}

#[tokio::test]
async fn gaps_that_nobody_could_be_asked_about_are_the_models_failure() {
    let world = asking(r#"{id: "no id", question: "?", why: "w"}"#).await;
    let error = world.run(1, 1).await.error.unwrap();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Model, "MalformedAnswer"));
}

#[tokio::test]
async fn the_attempt_after_answers_has_no_feedback_and_sees_them() {
    let mut world = asking(r#"{id: plan, question: "Which plan?", why: "w"}"#).await;
    assert_eq!(world.run(1, 1).await.error, None);
    let (answers, keys) = bucket(&Arc::new(Mutex::new("pro")));
    world.answers = answers;
    let result = world.run(2, 1).await;
    assert_eq!(result.error, None);
    let input: StageInput = world.read(&result.input.unwrap()).await;
    assert_eq!((input.user.as_str(), &input.context["plan"], input.feedback), ("Plan: pro", &json!("pro"), None));
    assert_eq!(*keys.lock().unwrap(), [format!("{NAMESPACE}.{}", label_hash("octo-org"))]);
}

#[tokio::test]
async fn inv03_an_answer_between_two_tries_does_not_make_them_two_requests() {
    let rules = "- {name: busy, when: {kind: generate}, then: {status: 400}, times: 1}".to_owned();
    let mut world = World::new(Setup { judged: false, rules, prompt: NAMING.into(), ..Setup::default() }).await;
    let value = Arc::new(Mutex::new("free"));
    world.answers = bucket(&value).0;
    assert!(world.run(1, 1).await.error.is_some());
    *value.lock().unwrap() = "pro";
    let second = world.run(1, 2).await;
    assert_eq!(second.error, None);
    let input: StageInput = world.read(&second.input.unwrap()).await;
    assert_eq!(input.user, "Plan: free", "what is on record is what the model is asked");
}

#[tokio::test]
async fn a_bucket_that_is_away_is_infrastructure_and_only_for_prompts_that_name_the_context() {
    let away = || {
        Answers::kept(|_| {
            let (action, reason) = ("read".to_owned(), "no servers".to_owned());
            async move { Err(NatsError::Transient { action, reason }) }.boxed()
        })
    };
    let setup = || Setup { judged: false, timeout_millis: 1_500, ..Setup::default() };
    let mut plain = World::new(setup()).await;
    plain.answers = away();
    assert_eq!(plain.run(1, 1).await.error, None);
    let mut naming = World::new(Setup { prompt: NAMING.into(), ..setup() }).await;
    naming.answers = away();
    let error = naming.run(1, 1).await.error.unwrap();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Infrastructure, "ContextUnavailable"));
    naming.answers = Answers::given(BTreeMap::from([("plan".to_owned(), json!("pro"))]));
    assert_eq!(naming.run(1, 2).await.error, None);
}
