//! The sink as its users see it: over HTTP.

// clippy allows these in test functions, but not in the helpers beside them.
#![allow(clippy::unwrap_used)]

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use trackway_webhook_sink::WebhookSink;

struct Sender {
    sink: WebhookSink,
    http: Client,
}

impl Sender {
    async fn new() -> Self {
        // reqwest panics without a provider; a second test in the same process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { sink: WebhookSink::local().await.unwrap(), http: Client::new() }
    }

    async fn notice(&self, id: &str, key: &str, secret: &str) -> StatusCode {
        let body = json!({"specversion": "1.0", "id": id, "data": {"key": key}}).to_string();
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
        let signature = Webhook::new(secret).unwrap().sign(id, now, body.as_bytes()).unwrap();
        let request = self.http.post(self.sink.url("inbox")).header("webhook-id", id).header("webhook-timestamp", now);
        request.header("webhook-signature", signature).body(body).send().await.unwrap().status()
    }

    async fn control(&self, path: &str, body: Value) -> (StatusCode, String) {
        let answer = self.http.post(self.sink.url(path)).body(body.to_string()).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn received(&self) -> Value {
        self.http.get(self.sink.url("received")).send().await.unwrap().json().await.unwrap()
    }
}

#[tokio::test]
async fn notices_are_counted_by_their_id() {
    let sender = Sender::new().await;
    for id in ["n1", "n2", "n1"] {
        assert_eq!(sender.notice(id, "hubot", WebhookSink::SECRET).await, StatusCode::NO_CONTENT);
    }
    let received = sender.received().await;
    assert_eq!((&received["requests"], &received["answered"]), (&json!(3), &json!(3)));
    let one = &received["received"][0];
    assert_eq!((&one["id"], &one["key"], &one["path"]), (&json!("n1"), &json!("hubot"), &json!("/inbox")));
    assert_eq!((&one["times"], &one["accepted"], &one["verified"]), (&json!(2), &json!(2), &json!(true)));
    assert_eq!((&one["sameBody"], &one["event"]["id"]), (&json!(true), &json!("n1")));
}

#[tokio::test]
async fn a_notice_signed_with_another_secret_is_refused_and_told() {
    let sender = Sender::new().await;
    let status = sender.notice("n1", "hubot", "whsec_YW5vdGhlci1zZWNyZXQtb2Ytc29tZWJvZHktZWxzZQ==").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let one = &sender.received().await["received"][0];
    assert_eq!((&one["verified"], &one["accepted"]), (&json!(false), &json!(0)));
}

#[tokio::test]
async fn behaviours_are_used_in_order_and_used_up() {
    let sender = Sender::new().await;
    let busy = json!({"key": "hubot", "status": 503, "times": 1});
    assert_eq!(sender.control("behave", busy).await.0, StatusCode::NO_CONTENT);
    assert_eq!(sender.notice("n1", "octocat", WebhookSink::SECRET).await, StatusCode::NO_CONTENT);
    assert_eq!(sender.notice("n2", "hubot", WebhookSink::SECRET).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(sender.notice("n2", "hubot", WebhookSink::SECRET).await, StatusCode::NO_CONTENT);

    sender.control("reset", json!({})).await;
    assert_eq!(sender.received().await["received"], json!([]));
}

#[tokio::test]
async fn a_behaviour_that_is_none_is_refused_with_what_is_wrong() {
    let sender = Sender::new().await;
    for (body, message) in [
        (json!({"status": 99}), "status is 99; give one of 200 to 599\n"),
        (json!({"staus": 500}), "the body is no behaviour: unknown field `staus`"),
    ] {
        let (status, text) = sender.control("behave", body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(text.starts_with(message), "{text}");
    }
}

#[tokio::test]
async fn a_secret_that_is_none_is_refused() {
    assert!(WebhookSink::start("127.0.0.1:0", &["topsecret".to_owned()], false).await.is_err());
}
