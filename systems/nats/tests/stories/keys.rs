use bytes::Bytes;
use trackway_nats::{KeyCreation, KeyUpdate, Kv, NatsError};

use crate::{ready, soon};

#[tokio::test]
async fn of_two_creators_at_once_one_creates_and_both_read_the_same() {
    let (_server, nats) = ready().await;
    for kv in [Kv::payloads(&nats), Kv::matches(&nats)] {
        let (a, b) = soon(async { tokio::join!(kv.create("b1", "a".into()), kv.create("b1", "b".into())) }).await;
        let created = [a.unwrap(), b.unwrap()].map(|outcome| matches!(outcome, KeyCreation::Created(_)));
        assert_ne!(created[0], created[1], "exactly one creates");
        let winner = if created[0] { "a" } else { "b" };
        assert_eq!(kv.get("b1").await.unwrap().unwrap().value, Bytes::from(winner));
    }
}

#[tokio::test]
async fn a_match_set_deleted_by_hand_can_be_made_again() {
    let (server, nats) = ready().await;
    let kv = Kv::matches(&nats);
    kv.create("b1", "1".into()).await.unwrap();
    let person = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    person.get_key_value("matches").await.unwrap().delete("b1").await.unwrap();
    assert_eq!(kv.get("b1").await.unwrap(), None);
    assert!(matches!(kv.create("b1", "2".into()).await.unwrap(), KeyCreation::Created(_)));
    assert_eq!(kv.create("b1", "3".into()).await.unwrap(), KeyCreation::Exists);
    assert_eq!(kv.get("b1").await.unwrap().unwrap().value, Bytes::from("2"));
}

#[tokio::test]
async fn an_update_of_an_older_revision_conflicts() {
    let (_server, nats) = ready().await;
    let kv = Kv::matches(&nats);
    assert_eq!(kv.get("b1").await.unwrap(), None);
    let KeyCreation::Created(first) = kv.create("b1", "1".into()).await.unwrap() else { panic!("the key is new") };
    let KeyUpdate::Updated(second) = kv.update("b1", "2".into(), first).await.unwrap() else { panic!("nobody else writes") };
    assert_eq!(kv.update("b1", "3".into(), first).await.unwrap(), KeyUpdate::Conflict);
    let entry = kv.get("b1").await.unwrap().unwrap();
    assert_eq!((entry.value, entry.revision), (Bytes::from("2"), second));
}

#[tokio::test]
async fn a_bucket_is_walked_through_in_the_order_of_its_latest_writes() {
    let (server, nats) = ready().await;
    let kv = Kv::questionnaires(&nats);
    assert_eq!(kv.next_write(0).await.unwrap(), None);
    for key in ["ns.a", "ns.b", "ns.c"] {
        kv.create(key, "1".into()).await.unwrap();
    }
    let person = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    person.get_key_value("questionnaires").await.unwrap().delete("ns.b").await.unwrap();
    kv.update("ns.a", "2".into(), 1).await.unwrap();
    let (mut found, mut next) = (Vec::new(), 0);
    while let Some(write) = kv.next_write(next).await.unwrap() {
        next = write.revision + 1;
        found.push((write.key, write.value, write.revision));
    }
    let value = |text: &'static str| Some(Bytes::from(text));
    let expected = [("ns.c", value("1"), 3), ("ns.b", None, 4), ("ns.a", value("2"), 5)];
    assert_eq!(found, expected.map(|(key, value, revision)| (key.to_owned(), value, revision)));
}

#[tokio::test]
async fn the_server_itself_refuses_to_overwrite_a_payload() {
    let (server, nats) = ready().await;
    let kv = Kv::payloads(&nats);
    let KeyCreation::Created(revision) = kv.create("ns.run.blob", "good".into()).await.unwrap() else { panic!("the key is new") };
    assert_eq!(kv.update("ns.run.blob", "evil".into(), revision).await.unwrap(), KeyUpdate::Conflict);
    let careless = async_nats::jetstream::new(async_nats::connect(server.url()).await.unwrap());
    let publish = careless.publish("$KV.payloads.ns.run.blob", "evil".into()).await.unwrap();
    assert!(publish.await.is_err(), "also without any expectation in the headers");
    assert_eq!(kv.get("ns.run.blob").await.unwrap().unwrap().value, Bytes::from("good"));
}

#[tokio::test]
async fn a_value_over_the_servers_limit_is_a_permanent_error_that_names_the_limit() {
    let (_server, nats) = ready().await;
    let kv = Kv::payloads(&nats);
    let error = kv.create("big", vec![0; 2 << 20].into()).await.unwrap_err();
    assert!(matches!(error, NatsError::Permanent { .. }) && error.to_string().contains("max_payload"), "{error}");
    let error = kv.get("a.>").await.unwrap_err();
    assert!(matches!(error, NatsError::Permanent { .. }) && error.to_string().contains("part of key"), "{error}");
}
