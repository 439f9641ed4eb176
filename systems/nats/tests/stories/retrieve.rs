use std::time::Duration;

use bytes::Bytes;
use trackway_nats::{MAX_ANSWER_BYTES, Nats, NatsError, Questions, Retryable, ask};
use trackway_test_support::NatsServer;

use crate::{config, config_of, soon};

const SHORT: Duration = Duration::from_secs(5);

const USERS: &str = r#"
authorization {
  users: [
    {user: vectorizer, password: secret, permissions: {
      publish: [], subscribe: ["RETRIEVE.*", "_INBOX_vectorizer.>"], allow_responses: true}}
    {user: deaf, password: secret, permissions: {publish: ">", subscribe: ["_INBOX_deaf.>"]}}
    {user: worker, password: secret, permissions: {publish: ["RETRIEVE.team-a"], subscribe: ["_INBOX_worker.>"]}}
  ]
}
"#;

/// Answers every question with its namespace and payload.
fn echo(nats: &Nats) -> tokio::task::JoinHandle<()> {
    let mut questions = Questions::open(nats, "vectorizer").unwrap();
    tokio::spawn(async move {
        loop {
            let question = questions.next().await.unwrap();
            let text = format!("{}: {}", question.namespace, String::from_utf8_lossy(&question.payload));
            question.answer(text.into()).await.unwrap();
        }
    })
}

/// Asks until somebody listens.
async fn answer(nats: &Nats, question: &str) -> Bytes {
    let asked = || ask(nats, "team-a", Bytes::from(question.to_owned()), SHORT);
    soon(trackway_nats::with_retry(None, "ask", asked)).await.unwrap()
}

#[tokio::test]
async fn a_question_is_answered_with_the_rights_of_worker_and_vectorizer() {
    let server = NatsServer::start_with(USERS).await.unwrap();
    let worker = Nats::connect(&config_of(&server, "worker"), None).await.unwrap();
    let nobody = ask(&worker, "team-a", "x".into(), SHORT).await.unwrap_err();
    assert!(nobody.is_transient() && nobody.to_string().contains("no vectorizer answers"), "{nobody}");

    let vectorizer = Nats::connect(&config_of(&server, "vectorizer"), None).await.unwrap();
    let _echo = echo(&vectorizer);
    assert_eq!(answer(&worker, "what?").await, "team-a: what?");

    let error = soon(ask(&worker, "team-b", "x".into(), SHORT)).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("may not publish to \"RETRIEVE.team-b\""), "{error}");
    assert!(!ask(&worker, "team-a.>", "x".into(), SHORT).await.unwrap_err().is_transient());
}

#[tokio::test]
async fn who_may_not_hear_questions_is_told_so() {
    let server = NatsServer::start_with(USERS).await.unwrap();
    let deaf = Nats::connect(&config_of(&server, "deaf"), None).await.unwrap();
    let error = soon(Questions::open(&deaf, "vectorizer").unwrap().next()).await.unwrap_err();
    assert!(matches!(error, NatsError::Permanent { .. }), "{error}");
    assert!(error.to_string().contains("may not subscribe to \"RETRIEVE.*\""), "{error}");
}

#[tokio::test]
async fn questions_are_heard_after_a_restart_of_the_server_too() {
    let mut server = NatsServer::start().await.unwrap();
    let nats = Nats::connect(&config(&server), None).await.unwrap();
    let _echo = echo(&nats);
    assert_eq!(answer(&nats, "before").await, "team-a: before");
    server.restart().await.unwrap();
    assert_eq!(answer(&nats, "after").await, "team-a: after");
}

#[tokio::test]
async fn an_answer_as_large_as_allowed_arrives_and_a_larger_one_is_refused() {
    let server = NatsServer::start().await.unwrap();
    let nats = Nats::connect(&config(&server), None).await.unwrap();
    let mut questions = Questions::open(&nats, "vectorizer").unwrap();
    let answering = tokio::spawn(async move {
        let question = questions.next().await.unwrap();
        assert!(!question.answer(vec![b'x'; MAX_ANSWER_BYTES + 1].into()).await.unwrap_err().is_transient());
        question.answer(vec![b'x'; MAX_ANSWER_BYTES].into()).await.unwrap();
    });
    assert_eq!(answer(&nats, "much?").await.len(), MAX_ANSWER_BYTES);
    soon(answering).await.unwrap();
}
