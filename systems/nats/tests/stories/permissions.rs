use trackway_nats::{Kv, Nats, NatsError, StreamSettings};
use trackway_nats::{ensure_streams, publish_result, read_results, result_subject};
use trackway_test_support::NatsServer;

use crate::{config_of, soon};

/// The users of an installation with one namespace, as the design states them.
const USERS: &str = r#"
authorization {
  users: [
    {user: admin, password: secret}
    {user: operator, password: secret, permissions: {
      publish: ["$JS.API.DIRECT.GET.RESULTS", "$JS.API.DIRECT.GET.RESULTS.>"]
      subscribe: ["_INBOX_operator.>"]}}
    {user: worker, password: secret, permissions: {
      publish: ["RESULTS.team-a.>", "$KV.payloads.team-a.>", "$JS.API.DIRECT.GET.KV_payloads.$KV.payloads.team-a.>"]
      subscribe: ["_INBOX_worker.>"]}}
    {user: deaf, password: secret, permissions: {publish: ">", subscribe: ["_INBOX_other.>"]}}
  ]
}
"#;

async fn as_worker() -> (NatsServer, Nats) {
    let server = NatsServer::start_with(USERS).await.unwrap();
    let admin = Nats::connect(&config_of(&server, "admin"), None).await.unwrap();
    ensure_streams(&admin, StreamSettings::default()).await.unwrap();
    let worker = Nats::connect(&config_of(&server, "worker"), None).await.unwrap();
    (server, worker)
}

fn assert_denied(error: &NatsError, parts: &[&str]) {
    let text = error.to_string();
    assert!(matches!(error, NatsError::Permanent { .. }), "{text}");
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

#[tokio::test]
async fn a_worker_does_all_its_work_with_the_rights_of_its_namespace() {
    let (_server, worker) = as_worker().await;
    let subject = result_subject("team-a", "uid", "insights", 1, 0, 0).unwrap();
    publish_result(&worker, &subject, "x".into()).await.unwrap();
    let kv = Kv::payloads(&worker);
    kv.create("team-a.uid.blob.1", "x".into()).await.unwrap();
    assert!(kv.get("team-a.uid.blob.1").await.unwrap().is_some());
}

#[tokio::test]
async fn another_namespaces_subject_is_refused_at_once_by_name() {
    let (_server, worker) = as_worker().await;
    let subject = result_subject("team-b", "uid", "insights", 1, 0, 0).unwrap();
    let started = std::time::Instant::now();
    let error = publish_result(&worker, &subject, "x".into()).await.unwrap_err();
    assert_denied(&error, &["NATS user \"worker\"", "may not publish to \"RESULTS.team-b.uid.insights.1.0.0\""]);
    assert!(started.elapsed().as_secs() < 4, "it does not wait for a timeout");

    let kv = Kv::payloads(&worker);
    assert_denied(&kv.get("team-b.uid.blob.1").await.unwrap_err(), &["\"worker\"", "team-b.uid.blob.1"]);
}

#[tokio::test]
async fn a_worker_reads_no_results() {
    let (_server, worker) = as_worker().await;
    let subject = result_subject("team-a", "uid", "insights", 1, 0, 0).unwrap();
    assert_denied(&read_results(&worker, &[subject]).await.unwrap_err(), &["\"worker\"", "RESULTS"]);
}

#[tokio::test]
async fn inv03_a_worker_reads_no_results_in_bulk_either_and_the_operator_does() {
    let (server, worker) = as_worker().await;
    let subjects: Vec<_> = (0..40).map(|index| result_subject("team-a", "uid", "notices", 1, 1, index).unwrap()).collect();
    publish_result(&worker, &subjects[7], "x".into()).await.unwrap();
    let started = std::time::Instant::now();
    let denied = read_results(&worker, &subjects).await.unwrap_err();
    assert_denied(&denied, &["\"worker\"", "$JS.API.DIRECT.GET.RESULTS"]);
    assert!(started.elapsed().as_secs() < 4, "it does not wait for a timeout");

    let operator = Nats::connect(&config_of(&server, "operator"), None).await.unwrap();
    assert_eq!(read_results(&operator, &subjects).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_wrong_inbox_prefix_is_named() {
    let (server, _worker) = as_worker().await;
    let deaf = Nats::connect(&config_of(&server, "deaf"), None).await.unwrap();
    let subject = result_subject("team-a", "uid", "insights", 1, 0, 0).unwrap();
    let error = soon(publish_result(&deaf, &subject, "x".into())).await.unwrap_err();
    assert_denied(&error, &["\"deaf\"", "_INBOX_deaf."]);
}

#[tokio::test]
async fn a_wrong_password_is_permanent_at_once_without_showing_it() {
    let (server, _worker) = as_worker().await;
    let error = soon(Nats::connect(&config_of(&server, "nobody"), None)).await.unwrap_err();
    assert_denied(&error, &["NATS user \"nobody\"", &server.url()]);
    assert!(!error.to_string().contains("secret"));
}

#[tokio::test]
async fn credentials_that_stop_working_become_a_permanent_error() {
    let (mut server, worker) = as_worker().await;
    server.configure("authorization {user: other, password: secret}\n").unwrap();
    server.restart().await.unwrap();
    let subject = result_subject("team-a", "uid", "insights", 1, 0, 0).unwrap();
    let error = loop {
        match soon(publish_result(&worker, &subject, "x".into())).await.unwrap_err() {
            NatsError::Transient { .. } => {}
            permanent => break permanent,
        }
    };
    assert_denied(&error, &["refuses NATS user \"worker\""]);
}
