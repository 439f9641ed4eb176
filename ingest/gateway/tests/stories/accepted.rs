//! What is taken, and how often.

use crate::{
    client::{Answer, post},
    world::{ACME, BATCH, HUB_SECRET, JSON, LIMIT, NEW_KEY, OLD_KEY, STRUCTURED, World, as_octo, event, signed},
};
use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use serde_json::json;
use sha2::Sha256;
use trackway_crds::names::event_key;
use trackway_test_support::until;

fn taken(answer: &Answer, duplicate: bool) -> String {
    assert_eq!(answer.status, 202, "{answer:?}");
    let taken = answer.json();
    assert_eq!(taken["duplicate"], duplicate, "{taken}");
    taken["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn inv09_an_event_comes_in_three_modes_and_is_stored_once() {
    let world = World::start().await;
    let key = |id: &str| event_key("octo-org", "app", "/shop", id);
    let first = post(world.gateway, "/v1/events/app", &[STRUCTURED, as_octo()], event("1", "{}")).await;
    assert_eq!(taken(&first, false), key("1"));
    let again = post(world.gateway, "/v1/events/app", &[STRUCTURED, as_octo()], event("1", "{}")).await;
    assert_eq!(taken(&again, true), key("1"));

    let attributes = [("ce-specversion", "1.0"), ("ce-id", "2"), ("ce-source", "/shop"), ("ce-type", "order.made")];
    let binary = [&attributes[..], &[JSON, as_octo()]].concat();
    assert_eq!(taken(&post(world.gateway, "/v1/events/app", &binary, "{}").await, false), key("2"));
    assert_eq!(taken(&post(world.gateway, "/v1/events/app", &binary, "{}").await, true), key("2"));

    let list = format!("[{}, {}, {}]", event("1", "{}"), event("3", "1"), event("4", "null"));
    let batch = post(world.gateway, "/v1/events/app", &[BATCH, as_octo()], list).await;
    assert_eq!(batch.status, 202, "{batch:?}");
    let expected =
        [("1", true), ("3", false), ("4", false)].map(|(id, duplicate)| json!({"id": key(id), "duplicate": duplicate}));
    assert_eq!(batch.json(), json!(expected));
    assert_eq!(world.stored().await, 4);
    assert!(world.metric("trackway_gateway_events_accepted_total{source=\"app\"}").await == 4.0);
    assert!(world.metric("trackway_gateway_events_duplicate_total{source=\"app\"}").await == 3.0);
}

#[tokio::test]
async fn inv09_two_tenants_that_send_the_same_id_keep_both_events() {
    let world = World::start().await;
    let mut ids = Vec::new();
    for bearer in [as_octo(), ("authorization", ACME)] {
        ids.push(taken(&post(world.gateway, "/v1/events/app", &[STRUCTURED, bearer], event("1", "{}")).await, false));
    }
    assert_ne!(ids[0], ids[1]);
    assert_eq!(world.stored().await, 2);
}

#[tokio::test]
async fn of_a_batch_all_events_are_read_before_one_is_stored() {
    let world = World::start().await;
    let send = async |list: String| post(world.gateway, "/v1/events/app", &[BATCH, as_octo()], list).await;
    let wrong = send(format!("[{}, {}]", event("1", "{}"), r#"{"specversion": "1.0", "id": "2"}"#)).await.problem(422);
    assert!(wrong["field"].as_str().unwrap().starts_with("events[1]."), "{wrong}");
    let twice = send(format!("[{}, {}]", event("1", "1"), event("1", "2"))).await.problem(409);
    assert_eq!(twice["field"], "events[1].id");
    assert_eq!(world.stored().await, 0);
    assert_eq!(send(format!("[{}, {}]", event("1", "1"), event("1", "1"))).await.status, 202);
    assert_eq!(world.stored().await, 1);
}

#[tokio::test]
async fn webhooks_are_taken_when_signed_with_any_of_the_sources_secrets() {
    let world = World::start().await;
    let body = r#"{"type": "invoice.paid", "amount": 3}"#;
    for (key, id) in [(OLD_KEY, "msg_1"), (NEW_KEY, "msg_2")] {
        let headers = signed(key, id, Timestamp::now(), body);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).chain([JSON]).collect();
        let id = taken(&post(world.gateway, "/v1/webhooks/hooks", &headers, body).await, false);
        assert_eq!(taken(&post(world.gateway, "/v1/webhooks/hooks", &headers, body).await, true), id);
    }
    let event = event("7", "{}");
    let headers = signed(NEW_KEY, "msg_3", Timestamp::now(), &event);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).chain([STRUCTURED]).collect();
    taken(&post(world.gateway, "/v1/events/hooks", &headers, event).await, false);
}

#[tokio::test]
async fn webhooks_of_github_and_plain_json_are_taken() {
    let world = World::start().await;
    let body = r#"{"action": "opened", "sender": {"login": "hubot"}}"#;
    let mac = Hmac::<Sha256>::new_from_slice(HUB_SECRET.as_bytes()).unwrap().chain_update(body).finalize();
    let signature = format!("sha256={}", hex::encode(mac.into_bytes()));
    let headers = [JSON, ("x-github-event", "issues"), ("x-github-delivery", "72d3162e"), ("x-hub-signature-256", &signature)];
    taken(&post(world.gateway, "/v1/webhooks/github", &headers, body).await, false);
    taken(&post(world.gateway, "/v1/webhooks/plain", &[JSON, as_octo()], r#"{"id": 5, "text": "hello"}"#).await, false);
    assert_eq!(world.stored().await, 2);
}

#[tokio::test]
async fn a_changed_secret_counts_without_a_restart() {
    let world = World::start().await;
    let new = ("authorization", "Bearer token-of-tomorrow");
    let send =
        async |bearer, id: &str| post(world.gateway, "/v1/events/app", &[STRUCTURED, bearer], event(id, "{}")).await.status;
    assert_eq!((send(as_octo(), "1").await.as_u16(), send(new, "2").await.as_u16()), (202, 401));
    world.write_secret("octo", "token", "token-of-tomorrow");
    until("the new token counts", LIMIT, || async { (send(new, "2").await == 202).then_some(()) }).await.unwrap();
    assert_eq!(send(as_octo(), "3").await, 401);
}
