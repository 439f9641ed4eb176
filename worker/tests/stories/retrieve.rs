//! Past events: asked of a scripted vectorizer over a real NATS, put on record, adopted.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use serde_json::{Value, json};
use trackway_crds::contracts::{ErrorClass, NameKind, ResolvedRetrieve, ResolvedWork, ResultPhase, RetrieveRequest, StageInput};
use trackway_nats::{Credentials, Nats, NatsConfig, NatsError, Questions, ask};
use trackway_scripted_llm::{Kind, When};
use trackway_test_support::NatsServer;
use trackway_worker::Retriever;

use crate::{
    fan::Fan,
    world::{NAMESPACE, Setup, World},
};

const PROMPT: &str = "Batch {{ batch.id }}.\n{% for past in retrieved %}Before: {{ past.data.title }} ({{ past.similarity }})\n{% endfor %}\
                      {% if feedback %}Last time the judge said: {{ feedback.text }}{% endif %}\n";

/// What the vectorizer has found so far, and what it was asked.
#[derive(Clone, Default)]
struct Vectorizer {
    answers: Arc<Mutex<Vec<Value>>>,
    asked: Arc<Mutex<Vec<(String, RetrieveRequest)>>>,
}

impl Vectorizer {
    /// Answers one after the other; the last one again and again.
    fn saying(answers: &[Value]) -> Self {
        Self { answers: Arc::new(Mutex::new(answers.to_vec())), asked: Arc::default() }
    }

    fn answer(&self, namespace: &str, question: &[u8]) -> Bytes {
        self.asked.lock().unwrap().push((namespace.to_owned(), serde_json::from_slice(question).unwrap()));
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        answer.to_string().into()
    }

    /// A retriever that asks it without NATS.
    fn at_hand(&self) -> Retriever {
        let this = self.clone();
        Retriever::new(move |namespace, question| {
            let answer = this.answer(namespace, &question);
            async move { Ok(answer) }.boxed()
        })
    }

    /// A retriever that asks it by NATS.
    fn behind(&self, nats: &Nats) -> Retriever {
        let (this, mut questions) = (self.clone(), Questions::open(nats, "vectorizer").unwrap());
        tokio::spawn(async move {
            while let Ok(question) = questions.next().await {
                question.answer(this.answer(&question.namespace, &question.payload)).await.unwrap();
            }
        });
        let nats = nats.clone();
        Retriever::new(move |namespace, question| {
            let (nats, namespace) = (nats.clone(), namespace.to_owned());
            async move { ask(&nats, &namespace, question, Duration::from_secs(5)).await }.boxed()
        })
    }

    fn questions(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn found(titles: &[&str]) -> Value {
    let event = |title: &&str| {
        json!({"similarity": 872, "event": {
            "id": title, "source": "s", "type": "issue", "time": "2026-11-01T00:00:00Z", "priority": "Low", "data": {"title": title},
        }})
    };
    json!({"contract": 1, "events": titles.iter().map(event).collect::<Vec<_>>()})
}

fn error(transient: bool) -> Value {
    json!({"contract": 1, "events": [], "error": {"transient": transient, "message": "namespace team-a is not bound"}})
}

async fn world(rules: &str) -> World {
    let mut world = World::new(Setup { rules: rules.to_owned(), prompt: PROMPT.to_owned(), ..Setup::default() }).await;
    retrieve(&mut world);
    world
}

fn retrieve(world: &mut World) {
    for stage in &mut world.revision.stages {
        if let ResolvedWork::Generate { retrieve, .. } = &mut stage.work {
            *retrieve = Some(ResolvedRetrieve { top_k: 2 });
        }
    }
}

async fn input(world: &World, attempt: u32) -> StageInput {
    world.read(&world.name(attempt, NameKind::Input).await.unwrap().reference).await
}

fn shown(input: &StageInput) -> Vec<&str> {
    input.user.lines().filter(|line| line.starts_with("Before")).collect()
}

#[tokio::test]
async fn a_prompt_sees_what_a_vectorizer_answers_over_nats_and_it_is_put_on_record() {
    let server = NatsServer::start().await.unwrap();
    let config = NatsConfig {
        url: server.url(),
        credentials: Credentials::None,
        inbox_prefix: "_INBOX_test".to_owned(),
        ca_file: None,
        name: "test".to_owned(),
    };
    let nats = Nats::connect(&config, None).await.unwrap();
    let vectorizer = Vectorizer::saying(&[found(&["a spike on Friday", "a slow build", "one too many"])]);
    let mut world = world("").await;
    world.retriever = vectorizer.behind(&nats);
    assert_eq!(world.run(1, 1).await.phase, ResultPhase::Judged);

    let (namespace, asked) = vectorizer.asked.lock().unwrap()[0].clone();
    assert_eq!((namespace.as_str(), asked.tenant.as_str(), asked.top_k), (NAMESPACE, "octo-org", 2));
    assert_eq!(asked.before.to_string(), "2026-11-22T14:00:00Z", "what came before the batch");
    assert_eq!(asked.text, "push\nshort\nhello-world");
    let input = input(&world, 1).await;
    assert_eq!(shown(&input), ["Before: a spike on Friday (0.872)", "Before: a slow build (0.872)"]);
    assert_eq!(input.retrieved.len(), 2);
}

#[tokio::test]
async fn later_tries_and_attempts_take_what_the_first_attempt_found() {
    let vectorizer = Vectorizer::saying(&[found(&["first"]), found(&["other"])]);
    let rules = "- {name: prose, when: {kind: judge}, then: {prose: Lovely.}, times: 2}";
    let mut world = world(rules).await;
    world.retriever = vectorizer.at_hand();
    let failed = world.run(1, 1).await;
    assert_eq!(failed.error.unwrap().class, ErrorClass::Judge);
    let judged = world.run(1, 2).await;
    assert_eq!((judged.phase, judged.output, world.calls(Kind::Generate)), (ResultPhase::Judged, failed.output, 1));

    assert_eq!(world.run(2, 1).await.phase, ResultPhase::Judged);
    assert_eq!((shown(&input(&world, 2).await), vectorizer.questions()), (vec!["Before: first (0.872)"], 1));
}

#[tokio::test]
async fn inv03_of_two_pods_that_find_different_events_the_first_decides_what_both_ask() {
    let vectorizer = Vectorizer::saying(&[found(&["one"]), found(&["two"])]);
    let mut world = world("").await;
    world.retriever = vectorizer.at_hand();
    world.llm.hold_next(When::default(), 2);
    let (first, second) = (world.job(1, 1), world.job(1, 2));
    let release = async {
        world.llm.until_held(1).await;
        // Whichever asks second has found the name taken, or asks what the first asks.
        world.llm.release_all();
    };
    let (first, second, ()) = tokio::join!(world.run_job(&first), world.run_job(&second), release);
    assert_eq!((first.phase, second.phase), (ResultPhase::Judged, ResultPhase::Judged), "{:?} {:?}", first.error, second.error);
    assert_eq!((&first.output, &first.record), (&second.output, &second.record));
    let kept = input(&world, 1).await;
    assert_eq!(shown(&kept).len(), 1);
    assert_eq!(kept.retrieved[0].event.id, if shown(&kept)[0].contains("one") { "one" } else { "two" });
}

#[tokio::test]
async fn a_prompt_that_changed_within_an_attempt_is_refused_though_events_may_differ() {
    let vectorizer = Vectorizer::saying(&[found(&["one"])]);
    let mut world = world("").await;
    world.retriever = vectorizer.at_hand();
    world.run(1, 1).await;
    world.files.insert("insights.md".to_owned(), "Another prompt for {{ batch.id }}".to_owned());
    let error = world.run(1, 2).await.error.unwrap();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Permanent, "RequestMismatch"));
}

#[tokio::test]
async fn each_target_asks_for_itself() {
    let vectorizer = Vectorizer::saying(&[found(&["one"])]);
    let mut fan = Fan::with_rules("").await;
    fan.world.files.insert("insights.md".to_owned(), "{{ target.name }} {{ retrieved | length }}".to_owned());
    retrieve(&mut fan.world);
    fan.world.retriever = vectorizer.at_hand();
    let results = fan.run(&[(0, 1, 1), (1, 1, 1)]).await;
    assert!(results.iter().all(|result| result.phase == ResultPhase::Judged), "{results:?}");
    let mut texts: Vec<_> = vectorizer.asked.lock().unwrap().iter().map(|(_, asked)| asked.text.clone()).collect();
    texts.sort();
    assert_eq!(texts, ["a\nreader a\npush\nshort\nhello-world", "b\nreader b\npush\nshort\nhello-world"]);
}

#[tokio::test]
async fn what_a_vectorizer_refuses_is_permanent_and_calls_no_model() {
    let vectorizer = Vectorizer::saying(&[error(false)]);
    let mut world = world("").await;
    world.retriever = vectorizer.at_hand();
    let refused = world.run(1, 1).await.error.unwrap();
    assert_eq!((refused.class, refused.reason.as_str()), (ErrorClass::Permanent, "RetrieveRefused"));
    assert_eq!(refused.message, "namespace team-a is not bound");
    assert_eq!((vectorizer.questions(), world.calls(Kind::Generate)), (1, 0));
}

#[tokio::test]
async fn a_vectorizer_that_comes_back_is_asked_again_and_one_that_stays_away_is_infrastructure() {
    let vectorizer = Vectorizer::saying(&[error(true), error(true), found(&["one"])]);
    let mut world = world("").await;
    world.retriever = vectorizer.at_hand();
    assert_eq!((world.run(1, 1).await.phase, vectorizer.questions()), (ResultPhase::Judged, 3));

    let mut world = self::world("").await;
    world.retriever = Retriever::new(|_, _| {
        let away = NatsError::Transient { action: "ask RETRIEVE.team-a".to_owned(), reason: "no vectorizer answers".to_owned() };
        async move { Err(away) }.boxed()
    });
    let mut job = world.job(1, 1);
    job.deadline = tokio::time::Instant::now() + Duration::from_secs(2);
    let away = world.run_job(&job).await.error.unwrap();
    assert_eq!((away.class, away.reason.as_str()), (ErrorClass::Infrastructure, "RetrieveUnavailable"));
    assert!(away.message.contains("no vectorizer answers"), "{}", away.message);
}

#[tokio::test]
async fn offline_nothing_is_found_and_a_stage_that_does_not_retrieve_asks_nobody() {
    let world = world("").await;
    assert_eq!(world.run(1, 1).await.phase, ResultPhase::Judged);
    assert!(input(&world, 1).await.retrieved.is_empty());

    let vectorizer = Vectorizer::saying(&[found(&["one"])]);
    let mut world = World::with_rules("").await;
    world.retriever = vectorizer.at_hand();
    assert_eq!((world.run(1, 1).await.phase, vectorizer.questions()), (ResultPhase::Judged, 0));
}
