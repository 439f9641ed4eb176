//! With a real NATS and every kind of lake, while writers are killed.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use trackway_crds::contracts::StoredEvent;
use trackway_lake::partitions::{Component, FlushPolicy, Metrics, write_owned};
use trackway_lake::{LakeWriter, Settings, run};
use trackway_nats::{Credentials, Kv, Nats, NatsConfig, StreamSettings, ensure_streams, event_subject, publish_event};
use trackway_store::Files;
use trackway_test_support::{MINIO_PASSWORD, MINIO_USER, Minio, NatsServer, until};

use crate::events::events;
use crate::reading::{contents, ids};

const LIMIT: Duration = Duration::from_secs(90);
const POLICY: FlushPolicy = FlushPolicy { rows: 40, bytes: 1 << 20, age: Duration::from_millis(300) };

fn config(server: &NatsServer) -> NatsConfig {
    NatsConfig {
        url: server.url(),
        credentials: Credentials::None,
        inbox_prefix: "_INBOX_test".to_owned(),
        ca_file: None,
        name: "test".to_owned(),
    }
}

async fn nats() -> (NatsServer, Nats) {
    let server = NatsServer::start().await.unwrap();
    let nats = Nats::connect(&config(&server), None).await.unwrap();
    ensure_streams(&nats, StreamSettings::default()).await.unwrap();
    (server, nats)
}

/// Events of six partitions; returns their ids, sorted.
async fn publish(nats: &Nats, from: usize, count: usize) -> Vec<String> {
    let all: Vec<StoredEvent> =
        [1, 9, 17, 33, 40, 63].iter().flat_map(|number| events(*number, from + count).split_off(from)).collect();
    let publish = async |event: &StoredEvent| {
        let payload = serde_json::to_vec(event).unwrap();
        publish_event(nats, &event_subject(event).unwrap(), payload.into()).await.unwrap();
    };
    stream::iter(&all).map(publish).buffer_unordered(64).collect::<()>().await;
    let mut ids: Vec<String> = all.into_iter().map(|event| event.id).collect();
    ids.sort();
    ids
}

fn writer(nats: &Nats, files: &Files, instance: u64) -> JoinHandle<anyhow::Result<()>> {
    let component = Component {
        name: "lake",
        instance: instance.to_string(),
        checkpoints: Kv::lake(nats),
        policy: POLICY,
        memory_bytes: 1 << 24,
        flushes_at_once: 2,
        metrics: Metrics::register(&mut Registry::default()),
    };
    let (nats, writer) = (nats.clone(), Arc::new(LakeWriter::new(files.clone())));
    tokio::spawn(async move { write_owned(&nats, component, writer, || {}, &CancellationToken::new()).await })
}

/// Two writers, one of them killed again and again and started anew: every event once.
async fn inv09_every_event_once(nats: &Nats, files: &Files) {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let other = writer(nats, files, 0);
    let mut expected = Vec::new();
    for round in 0..4 {
        let killed = writer(nats, files, round + 1);
        expected.extend(publish(nats, expected.len() / 6, 60).await);
        // Not to wait for anything: a moment to die in.
        tokio::time::sleep(Duration::from_millis(random.u64(0..900))).await;
        killed.abort();
        assert!(!other.is_finished(), "{:?}", other.await);
    }
    expected.sort();
    let complete = || async { (ids(files).await.len() >= expected.len()).then_some(()) };
    until("every event is in the lake", LIMIT, complete).await.unwrap();
    assert_eq!(ids(files).await, expected);
    other.abort();
}

async fn check(open: impl AsyncFnOnce(&Nats) -> (Files, Box<dyn Any>)) {
    let (_server, nats) = nats().await;
    let (files, _behind) = open(&nats).await;
    inv09_every_event_once(&nats, &files).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv09_writers_are_killed_and_every_event_is_in_a_folder_once() {
    let open = async |_: &Nats| {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(&format!("file://{}/lake", folder.path().display()), None, []).unwrap();
        (files, Box::new(folder) as Box<dyn Any>)
    };
    check(open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv09_writers_are_killed_and_every_event_is_in_nats_once() {
    check(async |nats: &Nats| (Files::open("nats://", Some(nats), []).unwrap(), Box::new(()) as Box<dyn Any>)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inv09_writers_are_killed_and_every_event_is_in_a_bucket_once() {
    // A second install is refused and harmless.
    rustls::crypto::ring::default_provider().install_default().ok();
    let open = async |_: &Nats| {
        let server = Minio::start().await.unwrap();
        let url = format!("s3://payloads/some/lake?endpoint={}&region=us-east-1&allow_http=true", server.endpoint());
        let keys = [("AWS_ACCESS_KEY_ID", MINIO_USER), ("AWS_SECRET_ACCESS_KEY", MINIO_PASSWORD)];
        let files = Files::open(&url, None, keys.map(|(name, value)| (name.to_owned(), value.to_owned()))).unwrap();
        (files, Box::new(server) as Box<dyn Any>)
    };
    check(open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_writes_by_age_outlives_nats_and_stops_when_told() {
    let (mut server, nats) = nats().await;
    let folder = tempfile::tempdir().unwrap();
    let lake_url = format!("file://{}/lake", folder.path().display());
    let files = Files::open(&lake_url, None, []).unwrap();
    let settings = Settings {
        nats: config(&server),
        lake_url,
        policy: POLICY,
        memory_bytes: 1 << 24,
        instance: "one".to_owned(),
        listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
    };
    let stop = CancellationToken::new();
    let process = tokio::spawn(run(settings, stop.clone()));
    let mut expected = publish(&nats, 0, 7).await;
    let written = |count: usize| {
        let files = files.clone();
        move || {
            let files = files.clone();
            async move { (contents(&files).await.len() >= count).then_some(()) }
        }
    };
    until("the events are in the lake", LIMIT, written(18)).await.unwrap();
    assert_eq!(ids(&files).await, expected);

    server.stop().await.unwrap();
    server.restart().await.unwrap();
    until("NATS is back", LIMIT, || async { nats.is_connected().then_some(()) }).await.unwrap();
    expected.extend(publish(&nats, 7, 2).await);
    expected.sort();
    let complete = || async { (ids(&files).await.len() >= expected.len()).then_some(()) };
    until("the later events are in the lake", LIMIT, complete).await.unwrap();
    assert_eq!(ids(&files).await, expected);
    stop.cancel();
    tokio::time::timeout(LIMIT, process).await.unwrap().unwrap().unwrap();
}
