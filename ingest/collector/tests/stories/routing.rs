use trackway_crds::track::Priority;

use crate::{ApiServer, Collector, LIMIT, make_streams, nats_of_the_chart, publish, publish_text, soon};

async fn creates(api: &ApiServer, count: usize) -> Vec<String> {
    let mut creates =
        soon("the runs are created", || async { Some(api.creates()).filter(|creates| creates.len() >= count) }).await;
    creates.sort();
    creates
}

#[tokio::test]
async fn inv10_a_sealed_batch_becomes_one_run_per_track_and_is_acknowledged() {
    let nats = nats_of_the_chart().await;
    make_streams(&nats).await;
    let api = ApiServer::with_tracks(&["admin", "team"]);
    let collector = Collector::start(&nats, &api).await;
    publish(&nats, "b7k2f9q1", Priority::High).await;
    assert_eq!(creates(&api, 2).await, ["admin-b7k2f9q1", "team-b7k2f9q1"]);
    collector.shows("/metrics", "trackway_collector_batches_total{priority=\"High\",outcome=\"routed\"} 1").await;
    collector.shows("/readyz", "200 OK").await;
    collector.stop().await;

    // Another collector finds nothing left to do.
    api.delete_runs();
    let next = Collector::start(&nats, &api).await;
    publish(&nats, "c7k2f9q1", Priority::Low).await;
    assert_eq!(creates(&api, 4).await, ["admin-b7k2f9q1", "admin-c7k2f9q1", "team-b7k2f9q1", "team-c7k2f9q1"]);
    next.stop().await;
}

#[tokio::test]
async fn inv10_nothing_is_routed_before_the_tracks_are_known() {
    let nats = nats_of_the_chart().await;
    make_streams(&nats).await;
    let api = ApiServer::with_tracks(&["admin"]);
    api.answer_lists(false);
    publish(&nats, "b7k2f9q1", Priority::High).await;
    let collector = Collector::start(&nats, &api).await;
    collector.shows("/healthz", "200 OK").await;
    collector.shows("/readyz", "waiting for the Tracks").await;
    assert!(api.creates().is_empty());
    api.answer_lists(true);
    assert_eq!(creates(&api, 1).await, ["admin-b7k2f9q1"]);
    collector.stop().await;
}

#[tokio::test]
async fn inv10_an_api_server_that_is_away_delays_a_batch_and_loses_none() {
    let nats = nats_of_the_chart().await;
    make_streams(&nats).await;
    let api = ApiServer::with_tracks(&["admin", "team"]);
    api.set_away(true);
    publish(&nats, "b7k2f9q1", Priority::Medium).await;
    let first = Collector::start(&nats, &api).await;
    first.shows("/metrics", "outcome=\"postponed\"").await;
    first.stop().await;
    api.set_away(false);
    let second = Collector::start(&nats, &api).await;
    assert_eq!(creates(&api, 2).await, ["admin-b7k2f9q1", "team-b7k2f9q1"]);
    second.stop().await;
}

#[tokio::test]
async fn inv10_a_nats_that_is_killed_delays_a_batch_and_loses_none() {
    let mut nats = nats_of_the_chart().await;
    make_streams(&nats).await;
    let api = ApiServer::with_tracks(&["admin"]);
    let collector = Collector::start(&nats, &api).await;
    publish(&nats, "b7k2f9q1", Priority::High).await;
    creates(&api, 1).await;
    nats.restart().await.unwrap();
    publish(&nats, "c7k2f9q1", Priority::High).await;
    assert_eq!(creates(&api, 2).await, ["admin-b7k2f9q1", "admin-c7k2f9q1"]);
    collector.stop().await;
}

#[tokio::test]
async fn what_nobody_can_read_is_set_aside_and_the_next_batch_goes_on() {
    let nats = nats_of_the_chart().await;
    make_streams(&nats).await;
    let api = ApiServer::with_tracks(&["admin"]);
    publish_text(&nats, "bad1", Priority::High, "not JSON".to_owned()).await;
    publish(&nats, "b7k2f9q1", Priority::High).await;
    let collector = Collector::start(&nats, &api).await;
    assert_eq!(creates(&api, 1).await, ["admin-b7k2f9q1"]);
    collector.shows("/metrics", "trackway_collector_batches_total{priority=\"High\",outcome=\"dead_lettered\"} 1").await;
    collector.stop().await;
}

#[tokio::test]
async fn it_waits_for_the_streams_the_operator_makes_and_stops_while_it_waits() {
    let nats = nats_of_the_chart().await;
    let api = ApiServer::with_tracks(&["admin"]);
    let waiting = Collector::start(&nats, &api).await;
    waiting.shows("/readyz", "503").await;
    waiting.stop().await;
    let collector = Collector::start(&nats, &api).await;
    make_streams(&nats).await;
    collector.shows("/readyz", "200 OK").await;
    collector.stop().await;
}

#[tokio::test]
async fn it_is_alive_and_not_ready_while_nats_is_away() {
    let mut nats = nats_of_the_chart().await;
    make_streams(&nats).await;
    nats.stop().await.unwrap();
    let collector = Collector::start(&nats, &ApiServer::with_tracks(&["admin"])).await;
    collector.shows("/healthz", "200 OK").await;
    collector.shows("/readyz", "not connected to NATS").await;
    nats.restart().await.unwrap();
    collector.shows("/readyz", "200 OK").await;
    nats.stop().await.unwrap();
    collector.shows("/readyz", "not connected to NATS").await;
    collector.shows("/healthz", "200 OK").await;
    collector.stop().await;
}

#[tokio::test]
async fn a_user_nats_refuses_ends_the_process_with_a_reason() {
    let mut nats = nats_of_the_chart().await;
    nats.configure("authorization {user: other, password: secret}\n").unwrap();
    nats.restart().await.unwrap();
    let collector = Collector::start(&nats, &ApiServer::with_tracks(&[])).await;
    let ended = tokio::time::timeout(LIMIT, collector.task).await.unwrap().unwrap();
    let error = format!("{:#}", ended.unwrap_err());
    assert!(error.contains("refuses NATS user \"collector\""), "{error}");
}
