use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use trackway_nats::{Nats, NatsError, Publication, StreamSettings, Wake};
use trackway_nats::{
    ensure_streams, publish_result, read_results, result_stored_at, result_subject, results_of_namespace, watch_results,
    with_retry,
};

use trackway_test_support::NatsServer;

use crate::{config, ready, soon};

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

fn heard(index: u32, text: &'static str) -> Wake {
    Wake::Result { subject: subject(index), payload: text.into() }
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
async fn a_thousand_subjects_are_read_in_few_requests_and_in_their_order() {
    let (_server, nats) = ready().await;
    let with_result: Vec<u32> = (0..1000).filter(|index| index % 4 != 1).collect();
    stream::iter(&with_result)
        .for_each_concurrent(64, |index| async {
            publish(&nats, *index, "x").await;
        })
        .await;
    let asked: Vec<_> = (0..1000).rev().map(subject).collect();
    let found = soon(read_results(&nats, &asked)).await.unwrap();
    let expected: Vec<_> = with_result.iter().rev().map(|index| (subject(*index), Bytes::from("x"))).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn of_many_subjects_without_any_result_none_is_found() {
    let (_server, nats) = ready().await;
    assert!(read_results(&nats, &(0..40).map(subject).collect::<Vec<_>>()).await.unwrap().is_empty());
}

#[tokio::test]
async fn results_too_large_for_one_answer_are_all_read() {
    let settings = "max_payload: 8MB\nmax_pending: 16MB\n";
    let server = NatsServer::start_with(settings).await.unwrap();
    let nats = Nats::connect(&config(&server), None).await.unwrap();
    ensure_streams(&nats, StreamSettings::default()).await.unwrap();
    let large = Bytes::from(vec![b'x'; 2 << 20]);
    for index in 0..8 {
        publish_result(&nats, &subject(index), large.clone()).await.unwrap();
    }
    let subjects: Vec<_> = (0..10).map(subject).collect();
    // 16 MiB at once may make the server drop a reader that is slow: transient, and asked for again.
    let found = soon(with_retry(None, "read", || read_results(&nats, &subjects))).await.unwrap();
    assert_eq!(found.iter().map(|(_, payload)| payload.len()).collect::<Vec<_>>(), [large.len(); 8]);
}

#[tokio::test]
async fn with_nats_away_many_reads_are_transient() {
    let (mut server, nats) = ready().await;
    server.stop().await.unwrap();
    let error = soon(read_results(&nats, &(0..40).map(subject).collect::<Vec<_>>())).await.unwrap_err();
    assert!(matches!(error, NatsError::Transient { .. }), "{error}");
}

#[tokio::test]
async fn without_a_stream_many_reads_are_transient() {
    let server = NatsServer::start().await.unwrap();
    let nats = Nats::connect(&config(&server), None).await.unwrap();
    let error = soon(read_results(&nats, &(0..40).map(subject).collect::<Vec<_>>())).await.unwrap_err();
    assert!(matches!(error, NatsError::Transient { .. }), "{error}");
}

/// Everything the server cannot store it reports under one code; only the words tell why.
#[tokio::test]
async fn inv03_a_full_stream_is_not_a_subject_that_is_taken() {
    let (server, nats) = ready().await;
    let admin = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let mut config = admin.get_stream("RESULTS").await.unwrap().cached_info().config.clone();
    config.max_messages = 1;
    admin.update_stream(&config).await.unwrap();

    assert_eq!(publish(&nats, 0, "first").await, Publication::Published);
    assert_eq!(publish_result(&nats, &subject(0), "second".into()).await, Ok(Publication::AlreadyThere));
    let error = publish_result(&nats, &subject(1), "no room".into()).await.unwrap_err();
    assert!(matches!(&error, NatsError::Transient { reason, .. } if reason.contains("maximum messages exceeded")), "{error}");
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
    assert_eq!(next(&mut wakes).await, heard(0, "first"));
    assert_eq!(read_results(&nats, &[subject(0)]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn after_a_restart_of_nats_the_reader_is_told_to_look_again_and_wakes_go_on() {
    let (mut server, nats) = ready().await;
    let mut wakes = Box::pin(watch_results(&nats, &results_of_namespace(None).unwrap()));
    assert_eq!(next(&mut wakes).await, Wake::Resync);
    publish(&nats, 0, "before").await;
    assert_eq!(next(&mut wakes).await, heard(0, "before"));

    server.restart().await.unwrap();
    assert_eq!(next(&mut wakes).await, Wake::Resync);
    publish(&nats, 1, "after").await;
    assert_eq!(next(&mut wakes).await, heard(1, "after"));
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
