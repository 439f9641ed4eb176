use trackway_nats::{EventPublication, EventReader, KeyCreation, Kv, Membership, Nats, NatsError, StreamSettings};
use trackway_nats::{ensure_streams, publish_event, publish_result, read_range, read_results, result_subject, with_retry};
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
      publish: ["RESULTS.team-a.>", "$KV.payloads.team-a.>", "$JS.API.DIRECT.GET.KV_payloads.$KV.payloads.team-a.>"
        "$JS.API.DIRECT.GET.KV_context.$KV.context.team-a.>"]
      subscribe: ["_INBOX_worker.>"]}}
    {user: gateway, password: secret, permissions: {
      publish: ["EVENTS.>", "$JS.API.STREAM.MSG.GET.EVENTS", "$KV.context.>", "$JS.API.STREAM.MSG.GET.KV_context"]
      subscribe: ["_INBOX_gateway.>"]}}
    {user: batcher, password: secret, permissions: {
      publish: [
        "$JS.API.STREAM.INFO.EVENTS", "$JS.API.CONSUMER.CREATE.EVENTS", "$JS.API.CONSUMER.INFO.EVENTS.>", "$JS.API.CONSUMER.MSG.NEXT.EVENTS.>"
        "$JS.API.DIRECT.GET.EVENTS", "$JS.API.STREAM.MSG.GET.EVENTS"
        "$KV.batches.>", "$JS.API.STREAM.MSG.GET.KV_batches", "$JS.API.CONSUMER.CREATE.KV_batches", "$JS.API.CONSUMER.MSG.NEXT.KV_batches.>"
        "$KV.members.batcher.*", "$JS.API.CONSUMER.CREATE.KV_members", "$JS.API.CONSUMER.INFO.KV_members.>", "$JS.API.CONSUMER.MSG.NEXT.KV_members.>"
      ]
      subscribe: ["_INBOX_batcher.>"]}}
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
async fn gateway_and_readers_do_their_work_with_the_rights_of_their_part_also_after_a_restart() {
    let (mut server, worker) = as_worker().await;
    let gateway = Nats::connect(&config_of(&server, "gateway"), None).await.unwrap();
    let publish = || publish_event(&gateway, "EVENTS.3.t.-.1", "x".into());
    assert!(matches!(publish().await.unwrap(), EventPublication::Stored { .. }));
    assert!(matches!(publish().await.unwrap(), EventPublication::Taken { .. }));

    let batcher = Nats::connect(&config_of(&server, "batcher"), None).await.unwrap();
    let member = soon(Membership::join(&batcher, "batcher", "a")).await.unwrap();
    let mut reader = EventReader::open(&batcher, &[3], 0).await.unwrap();
    assert_eq!(soon(reader.next()).await.unwrap().sequence, 1);
    assert!(reader.caught_up().await.unwrap());
    assert_eq!(read_range(&batcher, "EVENTS.3.t.>", 1, 1, |_| true).await.unwrap().len(), 1);
    assert_eq!(read_range(&batcher, "EVENTS.3.t.>", 2, 2, |_| true).await.unwrap(), []);
    let batches = Kv::batches(&batcher);
    assert!(matches!(batches.create("3.checkpoint", "1".into()).await.unwrap(), KeyCreation::Created(_)));
    assert_eq!(batches.entries("3.>").await.unwrap().len(), 1);
    assert!(batches.get("3.checkpoint").await.unwrap().is_some());

    server.restart().await.unwrap();
    with_retry(None, "publish", || publish_event(&gateway, "EVENTS.3.t.-.2", "x".into())).await.unwrap();
    assert_eq!(soon(reader.next()).await.unwrap().sequence, 2);
    member.leave().await;
    let denied = EventReader::open(&gateway, &[3], 0).await.unwrap_err();
    assert_denied(&denied, &["\"gateway\"", "$JS.API.CONSUMER.CREATE.EVENTS"]);
    drop(worker);
}

#[tokio::test]
async fn a_worker_reads_what_its_own_namespaces_tenants_answered() {
    let (server, worker) = as_worker().await;
    let gateway = Nats::connect(&config_of(&server, "gateway"), None).await.unwrap();
    for key in ["team-a.t", "team-b.t"] {
        Kv::context(&gateway).create(key, "x".into()).await.unwrap();
    }
    let context = Kv::context(&worker);
    assert!(context.get_nearby("team-a.t").await.unwrap().is_some());
    assert_denied(&context.get_nearby("team-b.t").await.unwrap_err(), &["\"worker\"", "team-b.t"]);
    assert_denied(&context.get("team-a.t").await.unwrap_err(), &["\"worker\"", "$JS.API.STREAM.MSG.GET.KV_context"]);
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
