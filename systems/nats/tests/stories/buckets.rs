use std::collections::BTreeMap;

use futures::{StreamExt, stream};
use trackway_nats::{KeyCreation, KeyUpdate, Kv, KvEntry, KvWatch, NatsError};

use crate::{ready, soon};

async fn create(kv: &Kv, key: &str, value: &str) -> u64 {
    match kv.create(key, value.to_owned().into()).await.unwrap() {
        KeyCreation::Created(revision) => revision,
        KeyCreation::Exists => panic!("{key} is new"),
    }
}

async fn update(kv: &Kv, key: &str, value: &str, revision: u64) -> u64 {
    match kv.update(key, value.to_owned().into(), revision).await.unwrap() {
        KeyUpdate::Updated(revision) => revision,
        KeyUpdate::Conflict => panic!("nobody else writes {key}"),
    }
}

async fn next(watch: &mut KvWatch) -> (String, String) {
    let (key, entry) = soon(watch.next()).await.unwrap();
    (key, text(&entry))
}

fn text(entry: &KvEntry) -> String {
    String::from_utf8(entry.value.to_vec()).unwrap()
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

#[tokio::test]
async fn every_bucket_creates_compares_and_reads() {
    let (_server, nats) = ready().await;
    for kv in [
        Kv::batches(&nats),
        Kv::lake(&nats),
        Kv::vectors(&nats),
        Kv::questionnaires(&nats),
        Kv::context(&nats),
        Kv::members(&nats),
    ] {
        let revision = create(&kv, "17.checkpoint", "1").await;
        let second = update(&kv, "17.checkpoint", "2", revision).await;
        assert_eq!(kv.update("17.checkpoint", "3".into(), revision).await.unwrap(), KeyUpdate::Conflict);
        let expected = Some(KvEntry { value: "2".into(), revision: second });
        assert_eq!(kv.get("17.checkpoint").await.unwrap(), expected);
        assert_eq!(kv.get_nearby("17.checkpoint").await.unwrap(), expected);
    }
}

#[tokio::test]
async fn the_last_put_wins_but_in_a_bucket_written_once() {
    let (_server, nats) = ready().await;
    let members = Kv::members(&nats);
    members.put("batcher.a", "1".into()).await.unwrap();
    let revision = members.put("batcher.a", "2".into()).await.unwrap();
    assert_eq!(members.get("batcher.a").await.unwrap(), Some(KvEntry { value: "2".into(), revision }));
    let payloads = Kv::payloads(&nats);
    payloads.put("ns.a", "1".into()).await.unwrap();
    let error = payloads.put("ns.a", "2".into()).await.unwrap_err();
    assert!(matches!(&error, NatsError::Permanent { reason, .. } if reason.contains("one value")), "{error}");
}

#[tokio::test]
async fn two_thousand_entries_are_read_with_their_latest_values() {
    let (server, nats) = ready().await;
    let kv = Kv::batches(&nats);
    assert_eq!(kv.entries(">").await.unwrap(), []);
    let expected: BTreeMap<String, KvEntry> = stream::iter(0..2_000)
        .map(|number| {
            let kv = &kv;
            async move {
                let key = format!("17.state.T.{number}");
                let revision = create(kv, &key, "old").await;
                let revision = if number % 10 == 0 { update(kv, &key, "new", revision).await } else { revision };
                (key, KvEntry { value: if number % 10 == 0 { "new".into() } else { "old".into() }, revision })
            }
        })
        .buffer_unordered(128)
        .collect()
        .await;
    create(&kv, "17.checkpoint", "7").await;
    create(&kv, "18.state.T.1", "other").await;
    let deleted = create(&kv, "17.state.T.deleted", "x").await;
    let person = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    person.get_key_value("batches").await.unwrap().delete("17.state.T.deleted").await.unwrap();
    assert!(deleted > 0);

    let found = soon(kv.entries("17.state.>")).await.unwrap();
    assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    let checkpoints = kv.entries("*.checkpoint").await.unwrap();
    assert_eq!(
        checkpoints.iter().map(|(key, entry)| (key.clone(), text(entry))).collect::<Vec<_>>(),
        [pair("17.checkpoint", "7")]
    );
    for wrong in ["", "a..b", ">.a", "a b", "a*"] {
        let error = kv.entries(wrong).await.unwrap_err();
        assert!(matches!(&error, NatsError::Permanent { .. }), "{wrong:?}: {error}");
    }
}

#[tokio::test]
async fn a_watch_tells_what_is_there_then_what_changes_also_through_a_restart() {
    let (mut server, nats) = ready().await;
    let kv = Kv::context(&nats);
    let revision = create(&kv, "team-a.t1", "1").await;
    create(&kv, "team-b.t1", "other").await;
    let mut watch = kv.watch("team-a.*").unwrap();
    assert_eq!(next(&mut watch).await, pair("team-a.t1", "1"));
    let revision = update(&kv, "team-a.t1", "2", revision).await;
    assert_eq!(next(&mut watch).await, pair("team-a.t1", "2"));
    create(&kv, "team-a.t2", "new").await;
    assert_eq!(next(&mut watch).await, pair("team-a.t2", "new"));

    server.restart().await.unwrap();
    soon(async { while kv.get("team-a.t1").await.is_err() {} }).await;
    update(&kv, "team-a.t1", "3", revision).await;
    soon(async { while next(&mut watch).await != pair("team-a.t1", "3") {} }).await;
}
