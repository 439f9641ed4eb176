//! Each of the chart's users can do its work, and nothing of another's.

use bytes::Bytes;
use futures::StreamExt;
use trackway_crds::track::Priority;
use trackway_nats::{
    BatchReadyConsumer, Kv, NatsError, Wake, publish_batch_ready, publish_result, read_results, result_subject,
    results_of_namespace, watch_results,
};

use crate::{connect, make_streams, nats_of_the_chart};

fn result_of(namespace: &str) -> String {
    result_subject(namespace, "uid", "insights", 1, 1, 0).unwrap()
}

fn assert_denied<T: std::fmt::Debug>(outcome: Result<T, NatsError>) {
    let error = outcome.unwrap_err();
    assert!(matches!(error, NatsError::Permanent { .. }) && error.to_string().contains("may not"), "{error}");
}

#[tokio::test]
async fn a_result_goes_from_worker_to_operator() {
    let server = nats_of_the_chart().await;
    make_streams(&server).await;
    let operator = connect(&server, "operator").await;
    let mut wakes = Box::pin(watch_results(&operator, &results_of_namespace(None).unwrap()));
    assert_eq!(wakes.next().await, Some(Ok(Wake::Resync)));

    let worker = connect(&server, "worker-team-a").await;
    publish_result(&worker, &result_of("team-a"), Bytes::from("x")).await.unwrap();
    // Whatever wakes it, a result or a watch begun anew, it reads.
    wakes.next().await.unwrap().unwrap();
    assert_eq!(read_results(&operator, &[result_of("team-a")]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_worker_keeps_its_namespaces_payloads_and_reaches_no_others() {
    let server = nats_of_the_chart().await;
    make_streams(&server).await;
    let worker = connect(&server, "worker-team-a").await;
    let payloads = Kv::payloads(&worker);
    payloads.create("team-a.uid.blob.1", Bytes::from("x")).await.unwrap();
    assert!(payloads.get("team-a.uid.blob.1").await.unwrap().is_some());

    assert_denied(payloads.create("team-b.uid.blob.1", Bytes::from("x")).await);
    assert_denied(payloads.get("team-b.uid.blob.1").await);
    assert_denied(publish_result(&worker, &result_of("team-b"), Bytes::from("x")).await);
    assert_denied(read_results(&worker, &[result_of("team-a")]).await);
    assert_denied(publish_batch_ready(&worker, Priority::High, "b1", Bytes::from("x")).await);
}

#[tokio::test]
async fn a_client_submits_batches_and_reads_payloads_and_forges_no_result() {
    let server = nats_of_the_chart().await;
    make_streams(&server).await;
    let worker = connect(&server, "worker-team-a").await;
    Kv::payloads(&worker).create("team-a.uid.blob.1", Bytes::from("x")).await.unwrap();

    let client = connect(&server, "client-team-a").await;
    let payloads = Kv::payloads(&client);
    payloads.create("team-a.batches.blob.1", Bytes::from("x")).await.unwrap();
    assert!(payloads.get("team-a.uid.blob.1").await.unwrap().is_some());
    publish_batch_ready(&client, Priority::High, "b1", Bytes::from("x")).await.unwrap();

    assert_denied(payloads.create("team-a.uid.insights.1.0.output", Bytes::from("x")).await);
    assert_denied(publish_result(&client, &result_of("team-a"), Bytes::from("x")).await);
    assert_denied(Kv::matches(&client).create("b1", Bytes::from("x")).await);
}

#[tokio::test]
async fn a_collector_seals_no_batch_and_an_operator_writes_no_result() {
    let server = nats_of_the_chart().await;
    make_streams(&server).await;
    let collector = connect(&server, "collector").await;
    BatchReadyConsumer::open(&collector, "collector").await.unwrap();
    assert_denied(publish_batch_ready(&collector, Priority::High, "b1", Bytes::from("x")).await);
    let operator = connect(&server, "operator").await;
    assert_denied(publish_result(&operator, &result_of("team-a"), Bytes::from("x")).await);
}

#[tokio::test]
async fn a_gateway_reads_all_questionnaires_one_after_the_other_and_a_worker_none() {
    let server = nats_of_the_chart().await;
    make_streams(&server).await;
    let operator = connect(&server, "operator").await;
    for key in ["team-a.q-1", "team-b.q-2"] {
        Kv::questionnaires(&operator).create(key, Bytes::from("x")).await.unwrap();
    }
    let gateway = Kv::questionnaires(&connect(&server, "gateway").await);
    let first = gateway.next_write(0).await.unwrap().unwrap();
    let second = gateway.next_write(first.revision + 1).await.unwrap().unwrap();
    assert_eq!((first.key.as_str(), second.key.as_str()), ("team-a.q-1", "team-b.q-2"));
    assert_eq!(gateway.next_write(second.revision + 1).await.unwrap(), None);
    // Whoever may make a consumer may have messages sent to others.
    assert_denied(gateway.entries(">").await);
    assert_denied(Kv::questionnaires(&connect(&server, "worker-team-a").await).next_write(0).await);
}
