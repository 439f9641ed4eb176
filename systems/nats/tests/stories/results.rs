use bytes::Bytes;
use futures::{Stream, StreamExt};
use trackway_nats::{Nats, NatsError, Publication, Wake};
use trackway_nats::{
    publish_result, read_results, result_stored_at, result_subject, results_of_namespace, watch_results, with_retry,
};

use crate::{ready, soon};

fn subject(index: u32) -> String {
    result_subject("team-a", "uid-1", "insights", 1, 0, index).unwrap()
}

async fn publish(nats: &Nats, index: u32, text: &'static str) -> Publication {
    let subject = subject(index);
    with_retry(None, "publish", || publish_result(nats, &subject, text.into())).await.unwrap()
}

async fn next(wakes: &mut (impl Stream<Item = Result<Wake, NatsError>> + Unpin)) -> Wake {
    soon(wakes.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn of_two_results_for_one_subject_the_first_wins() {
    let (_server, nats) = ready().await;
    assert_eq!(publish(&nats, 0, "first").await, Publication::Published);
    assert_eq!(publish(&nats, 0, "second").await, Publication::AlreadyThere);
    let found = read_results(&nats, &[subject(0)]).await.unwrap();
    assert_eq!(found, vec![(subject(0), Bytes::from("first"))]);
}

#[tokio::test]
async fn missing_results_are_left_out() {
    let (_server, nats) = ready().await;
    publish(&nats, 1, "one").await;
    publish(&nats, 3, "three").await;
    let found = read_results(&nats, &(0..5).map(subject).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(found, vec![(subject(1), Bytes::from("one")), (subject(3), Bytes::from("three"))]);
}

#[tokio::test]
async fn when_a_result_was_stored_is_known() {
    let (_server, nats) = ready().await;
    assert_eq!(result_stored_at(&nats, &subject(0)).await.unwrap(), None);
    let before = std::time::SystemTime::now();
    publish(&nats, 0, "first").await;
    let stored_at = result_stored_at(&nats, &subject(0)).await.unwrap().unwrap();
    assert!(before <= stored_at && stored_at <= std::time::SystemTime::now(), "{stored_at:?}");
}

#[tokio::test]
async fn a_stored_result_wakes_the_reader_and_is_readable_at_once() {
    let (_server, nats) = ready().await;
    let mut wakes = Box::pin(watch_results(&nats, &results_of_namespace(Some("team-a")).unwrap()));
    assert_eq!(next(&mut wakes).await, Wake::Resync);
    let elsewhere = result_subject("team-b", "uid-1", "insights", 1, 0, 0).unwrap();
    publish_result(&nats, &elsewhere, Bytes::new()).await.unwrap();
    publish(&nats, 0, "first").await;
    assert_eq!(next(&mut wakes).await, Wake::Result(subject(0)));
    assert_eq!(read_results(&nats, &[subject(0)]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn after_a_restart_of_nats_the_reader_is_told_to_look_again_and_wakes_go_on() {
    let (mut server, nats) = ready().await;
    let mut wakes = Box::pin(watch_results(&nats, &results_of_namespace(None).unwrap()));
    assert_eq!(next(&mut wakes).await, Wake::Resync);
    publish(&nats, 0, "before").await;
    assert_eq!(next(&mut wakes).await, Wake::Result(subject(0)));

    server.restart().await.unwrap();
    assert_eq!(next(&mut wakes).await, Wake::Resync);
    publish(&nats, 1, "after").await;
    assert_eq!(next(&mut wakes).await, Wake::Result(subject(1)));
    let found = read_results(&nats, &[subject(0), subject(1)]).await.unwrap();
    assert_eq!(found.len(), 2, "what was acknowledged before the kill is still there");
}

#[tokio::test]
async fn with_nats_away_a_publish_is_transient_and_a_retry_survives_the_outage() {
    let (mut server, nats) = ready().await;
    server.stop().await.unwrap();
    let error = soon(publish_result(&nats, &subject(0), "result".into())).await.unwrap_err();
    assert!(matches!(error, NatsError::Transient { .. }), "{error}");

    let publishing = tokio::spawn({
        let nats = nats.clone();
        async move { publish(&nats, 0, "result").await }
    });
    server.restart().await.unwrap();
    // AlreadyThere when the first publish was on its way as the server died, and arrived at the next one.
    soon(publishing).await.unwrap();
    let subjects = [subject(0)];
    let found = with_retry(None, "read", || read_results(&nats, &subjects)).await.unwrap();
    assert_eq!(found, vec![(subject(0), Bytes::from("result"))]);
}
