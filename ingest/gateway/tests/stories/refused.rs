//! Every refusal has its status, and says what to do.

use crate::{
    client::{get, post, send},
    world::{ACME, BATCH, JSON, OCTO, STRUCTURED, World, as_octo, event},
};
use http::Method;
use serde_json::Value;
use std::time::Duration;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

/// What it is, path, headers, body, expected status.
type Case<'a> = (&'a str, &'a str, Vec<(&'a str, &'a str)>, &'a str, u16);

#[tokio::test]
async fn each_fault_has_its_status() {
    let world = World::start().await;
    let usual = event("1", "{}");
    let long = event("1", &format!("\"{}\"", "x".repeat(1024)));
    let deep = event("1", &format!("{}{}", "[".repeat(64), "]".repeat(64)));
    let app = "/v1/events/app";
    let bearer = |value| ("authorization", value);
    let cases: [Case<'_>; 24] = [
        ("no JSON", app, vec![STRUCTURED, as_octo()], "{", 400),
        ("too deep", app, vec![STRUCTURED, as_octo()], &deep, 400),
        ("no list", app, vec![BATCH, as_octo()], "{}", 400),
        ("no path", "/v1/events/%ff", vec![STRUCTURED, as_octo()], &usual, 400),
        ("no token", app, vec![STRUCTURED], &usual, 401),
        ("another token", app, vec![STRUCTURED, bearer("Bearer token-of-nobody")], &usual, 401),
        ("a longer token", app, vec![STRUCTURED, bearer("Bearer token-of-octo-org2")], &usual, 401),
        ("another scheme", app, vec![STRUCTURED, bearer("Basic token-of-octo-org")], &usual, 401),
        ("two tokens", app, vec![STRUCTURED, as_octo(), bearer(ACME)], &usual, 401),
        ("a token of another source", "/v1/events/small", vec![STRUCTURED, bearer(ACME)], &usual, 401),
        ("no signature", "/v1/webhooks/hooks", vec![JSON, as_octo()], "{}", 401),
        ("no hub signature", "/v1/webhooks/github", vec![JSON], "{}", 401),
        ("no such source", "/v1/events/none", vec![STRUCTURED, as_octo()], &usual, 404),
        ("no such route", "/v2/events", vec![STRUCTURED, as_octo()], &usual, 404),
        ("too long", "/v1/events/small", vec![STRUCTURED, as_octo()], &long, 413),
        ("no CloudEvent", app, vec![JSON, as_octo()], &usual, 415),
        ("compressed", app, vec![STRUCTURED, as_octo(), ("content-encoding", "gzip")], &usual, 415),
        ("Latin-1", app, vec![("content-type", "application/cloudevents+json; charset=iso-8859-1"), as_octo()], &usual, 415),
        ("a form", "/v1/webhooks/plain", vec![("content-type", "text/plain"), as_octo()], "{}", 415),
        ("unsigned attributes", "/v1/events/hooks", vec![("ce-specversion", "1.0"), JSON], "{}", 415),
        ("no id", app, vec![STRUCTURED, as_octo()], r#"{"specversion": "1.0", "source": "s", "type": "t"}"#, 422),
        (
            "an old version",
            app,
            vec![STRUCTURED, as_octo()],
            r#"{"specversion": "0.3", "id": "1", "source": "s", "type": "t"}"#,
            422,
        ),
        ("an empty batch", app, vec![BATCH, as_octo()], "[]", 422),
        ("a secret that is not there", "/v1/events/unreadable", vec![STRUCTURED, as_octo()], &usual, 503),
    ];
    for (what, path, headers, body, status) in cases {
        let answer = post(world.gateway, path, &headers, body.to_owned()).await;
        println!("{what}: {} {}", answer.status, answer.problem(status)["detail"]);
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401, "{what}");
        assert_eq!(answer.headers.contains_key("retry-after"), status == 503, "{what}");
    }
    assert_eq!(world.stored().await, 0);
    assert!(world.metric("trackway_gateway_requests_refused_total{source=\"app\",reason=\"not-authenticated\"}").await >= 4.0);
}

#[tokio::test]
async fn the_same_id_with_another_content_is_a_conflict() {
    let world = World::start().await;
    let send = async |body: String| post(world.gateway, "/v1/events/app", &[STRUCTURED, as_octo()], body).await;
    assert_eq!(send(event("1", "1")).await.status, 202);
    assert_eq!(send(event("1", "2")).await.problem(409)["field"], "id");
    let batch = format!("[{}, {}]", event("2", "1"), event("1", "2"));
    let conflict = post(world.gateway, "/v1/events/app", &[BATCH, as_octo()], batch).await.problem(409);
    assert_eq!(conflict["field"], "events[1].id");
}

#[tokio::test]
async fn inv09_the_same_id_with_another_content_is_a_conflict_also_when_it_is_about_another_user() {
    let world = World::start().await;
    let send = async |body: &'static str| post(world.gateway, "/v1/webhooks/plain", &[JSON, as_octo()], body).await;
    assert_eq!(send(r#"{"id": 5, "user": "dana"}"#).await.status, 202);
    for other in [r#"{"id": 5, "user": "hubot"}"#, r#"{"id": 5}"#] {
        assert_eq!(send(other).await.problem(409)["field"], "id");
    }
    assert_eq!(world.stored().await, 1);
}

#[tokio::test]
async fn who_sends_too_fast_is_told_when_to_come_again_and_the_others_are_not_held_up() {
    let world = World::start().await;
    let send = async |bearer, id: &str| {
        post(world.gateway, "/v1/events/slow", &[STRUCTURED, ("authorization", bearer)], event(id, "{}")).await
    };
    assert_eq!((send(OCTO, "1").await.status.as_u16(), send(OCTO, "2").await.status.as_u16()), (202, 202));
    let refused = send(OCTO, "3").await;
    refused.problem(429);
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(send(ACME, "1").await.status, 202);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let world = World::start().await;
    let mut socket = TcpStream::connect(world.gateway).await.unwrap();
    let head = format!(
        "POST /v1/events/app HTTP/1.1\r\nhost: x\r\nauthorization: {OCTO}\r\ncontent-type: {}\r\ncontent-length: 100\r\n\r\n{{",
        STRUCTURED.1
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(crate::client::status(&mut socket).await, Some(408));
}

#[tokio::test]
async fn without_nats_senders_are_asked_to_come_again_and_their_events_are_taken_then() {
    let mut world = World::start().await;
    world.server.stop().await.unwrap();
    let send = async |world: &World| post(world.gateway, "/v1/events/app", &[STRUCTURED, as_octo()], event("1", "{}")).await;
    let refused = send(&world).await;
    refused.problem(503);
    assert_eq!(refused.headers["retry-after"], "5");
    assert_eq!(world.readiness().await, 503);
    world.server.restart().await.unwrap();
    let taken = async || (send(&world).await.status == 202).then_some(());
    trackway_test_support::until("the event is taken", Duration::from_secs(60), taken).await.unwrap();
    assert_eq!(world.stored().await, 1);
}

#[tokio::test]
async fn the_routes_are_those_of_the_openapi_document() {
    let world = World::start().await;
    let document = get(world.gateway, "/openapi.json", &[]).await;
    assert_eq!(document.status, 200);
    let document = document.json();
    let mut routes = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let path = path.replace("{source}", "none").replace("{namespace}", "none").replace("{name}", "none");
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let answer = send(world.gateway, method.clone(), &path, &[], "").await;
            let told = operations.get(method.as_str().to_lowercase()).map(|operation| &operation["responses"]);
            match told {
                Some(responses) => {
                    let status = answer.status.as_str();
                    assert!(responses.get(status).is_some(), "{method} {path} answers {status}, and nobody said so");
                    routes += 1;
                }
                None => {
                    answer.problem(405);
                    let allowed = answer.headers["allow"].to_str().unwrap();
                    assert!(
                        operations.as_object().unwrap().keys().any(|told| allowed.contains(&told.to_uppercase())),
                        "{allowed}"
                    );
                }
            }
        }
    }
    assert_eq!(routes, 5);
    assert_eq!(document["openapi"], Value::from("3.1.0"));
}
