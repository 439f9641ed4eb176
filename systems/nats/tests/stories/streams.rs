use tokio::time::Instant;
use trackway_nats::{Nats, NatsError, StreamSettings, ensure_streams, publish_result, result_subject};
use trackway_test_support::NatsServer;

use crate::{LIMIT, config, ready, soon};

#[tokio::test]
async fn streams_are_made_once_by_many_at_once_and_again_without_harm() {
    let server = NatsServer::start().await.unwrap();
    let nats = Nats::connect(&config(&server), None).await.unwrap();
    let settings = StreamSettings::default();
    let (a, b, c) =
        tokio::join!(ensure_streams(&nats, settings), ensure_streams(&nats, settings), ensure_streams(&nats, settings));
    for outcome in [a, b, c] {
        outcome.unwrap();
    }
    ensure_streams(&nats, settings).await.unwrap();
}

#[tokio::test]
async fn more_replicas_than_servers_is_an_error_and_changes_nothing() {
    let (_server, nats) = ready().await;
    let error = ensure_streams(&nats, StreamSettings { replicas: 3, ..StreamSettings::default() }).await.unwrap_err();
    assert!(error.to_string().contains("set up stream BATCH_READY"), "{error}");
    ensure_streams(&nats, StreamSettings::default()).await.unwrap();
}

#[tokio::test]
async fn without_streams_a_publish_is_transient_and_says_so() {
    let server = NatsServer::start().await.unwrap();
    let nats = Nats::connect(&config(&server), None).await.unwrap();
    let subject = result_subject("a", "b", "c", 1, 0, 0).unwrap();
    let error = publish_result(&nats, &subject, "x".into()).await.unwrap_err();
    assert!(matches!(&error, NatsError::Transient { reason, .. } if reason.contains("no stream")), "{error}");
}

#[tokio::test]
async fn connecting_waits_for_a_server_that_comes_later() {
    let mut server = NatsServer::start().await.unwrap();
    server.stop().await.unwrap();
    let connecting = tokio::spawn({
        let config = config(&server);
        async move { Nats::connect(&config, None).await }
    });
    server.restart().await.unwrap();
    assert!(soon(connecting).await.unwrap().unwrap().is_connected());
}

#[tokio::test]
async fn a_bounded_connect_gives_up_with_the_address() {
    let mut server = NatsServer::start().await.unwrap();
    server.stop().await.unwrap();
    let deadline = Instant::now() + std::time::Duration::from_secs(1);
    let error = soon(Nats::connect(&config(&server), Some(deadline))).await.unwrap_err();
    assert!(matches!(&error, NatsError::Transient { reason, .. } if reason.contains(&server.url())), "{error}");
    assert!(deadline.elapsed() < LIMIT / 2);
}
