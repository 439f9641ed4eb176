//! Receivers that take, refuse, and are busy, away or slow.

// clippy allows these in test functions, but not in the helpers beside them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use secrecy::SecretString;
use tokio::time::Instant;
use trackway_webhook::{RepeatPolicy, Sent, TransientError, WebhookClient, WebhookError};
use trackway_webhook_sink::{Behaviour, WebhookSink};

const LIMIT: Duration = Duration::from_secs(30);
const BODY: &str = r#"{"specversion":"1.0","id":"n1","data":{"key":"hubot"}}"#;

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

/// Waits so short that a test does not notice them, and a budget that shows.
fn quick() -> RepeatPolicy {
    RepeatPolicy {
        max_total_wait: Duration::from_secs(2),
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
    }
}

fn client(url: &str) -> WebhookClient {
    let secret = SecretString::from(WebhookSink::SECRET);
    WebhookClient::new(url, &secret, Duration::from_secs(5)).unwrap().with_policy(quick())
}

async fn sent(client: &WebhookClient) -> Result<Sent, WebhookError> {
    client.send("n1", &Bytes::from(BODY), Instant::now() + LIMIT, now).await
}

async fn behaving(behaviour: Behaviour) -> WebhookSink {
    let sink = WebhookSink::local().await.unwrap();
    sink.behave(behaviour);
    sink
}

fn status(status: u16, times: u64) -> Behaviour {
    Behaviour { status: Some(status), times: Some(times), ..Behaviour::default() }
}

fn transient(error: WebhookError) -> TransientError {
    let WebhookError::Transient(error) = error else { panic!("{error:?} should pass") };
    error
}

#[tokio::test]
async fn a_notice_is_taken_and_the_reference_implementation_finds_its_signature_valid() {
    let sink = WebhookSink::local().await.unwrap();
    assert_eq!(sent(&client(&sink.url("inbox"))).await.unwrap(), Sent { status: 204, repeats: 0 });
    let one = &sink.received()[0];
    assert_eq!((one.id.as_str(), one.key.as_str(), one.path.as_str()), ("n1", "hubot", "/inbox"));
    assert_eq!((one.verified, one.times, one.accepted), (true, 1, 1));
}

#[tokio::test]
async fn inv12_what_passes_is_repeated_under_the_same_id_with_a_fresh_signature() {
    for passing in [408, 429, 500, 502, 503] {
        let sink = behaving(status(passing, 2)).await;
        // Each request is signed a second later than the one before.
        let clock = AtomicI64::new(now() - 60);
        let client = client(&sink.url("inbox"));
        let outcome =
            client.send("n1", &Bytes::from(BODY), Instant::now() + LIMIT, || clock.fetch_add(1, Ordering::Relaxed)).await;
        assert_eq!(outcome.unwrap(), Sent { status: 204, repeats: 2 }, "{passing}");
        let received = sink.received();
        assert_eq!(received.len(), 1, "one id");
        assert_eq!((received[0].verified, received[0].same_body, received[0].times), (true, true, 3));
    }
}

#[tokio::test]
async fn retry_after_is_honoured_while_the_waits_have_room() {
    let short = Behaviour { retry_after: Some("1".to_owned()), ..status(429, 1) };
    let sink = behaving(short).await;
    let started = Instant::now();
    assert_eq!(sent(&client(&sink.url("inbox"))).await.unwrap().repeats, 1);
    assert!(started.elapsed() >= Duration::from_secs(1), "{:?}", started.elapsed());

    let long = Behaviour { retry_after: Some("3600".to_owned()), ..status(429, 1) };
    let error = transient(sent(&client(&behaving(long).await.url("inbox"))).await.unwrap_err());
    assert_eq!((error.status, error.retry_after, error.repeats), (Some(429), Some(Duration::from_secs(3600)), 0));
}

#[tokio::test]
async fn other_answers_are_the_receivers_last_word() {
    for refusal in [301, 307, 400, 401, 403, 404, 409, 410, 413, 422] {
        let said = Behaviour { body: format!("no: {} {}", WebhookSink::SECRET, "x".repeat(500)), ..status(refusal, 1) };
        let sink = behaving(said).await;
        let WebhookError::Refused(refused) = sent(&client(&sink.url("inbox"))).await.unwrap_err() else {
            panic!("{refusal} is a refusal")
        };
        assert_eq!((refused.status, sink.requests()), (refusal, 1));
        assert!(refused.excerpt.starts_with("no: whsec_[redacted] x") && refused.excerpt.len() <= 200, "{}", refused.excerpt);
    }
}

#[tokio::test]
async fn a_receiver_that_stays_away_is_told_with_its_address_and_without_its_query() {
    let error = transient(sent(&client("http://127.0.0.1:9/inbox?token=topsecret")).await.unwrap_err());
    assert!(error.message.starts_with("POST http://127.0.0.1:9/inbox cannot be reached"), "{}", error.message);
    assert!(!error.message.contains("topsecret") && error.repeats > 0);
}

#[tokio::test]
async fn a_slow_receiver_times_out_and_the_deadline_ends_it_all() {
    let slow = Behaviour { delay_millis: Some(60_000), ..Behaviour::default() };
    let sink = behaving(slow).await;
    let client = client(&sink.url("inbox"));
    let started = Instant::now();
    let outcome = client.send("n1", &Bytes::from(BODY), started + Duration::from_millis(300), now).await;
    let error = transient(outcome.unwrap_err());
    assert!(error.message.contains("gave no answer within"), "{}", error.message);
    assert!(started.elapsed() < Duration::from_secs(5) && sink.requests() >= 1);
}

#[tokio::test]
async fn past_the_deadline_nothing_is_sent() {
    let sink = WebhookSink::local().await.unwrap();
    let client = client(&sink.url("inbox"));
    let error = transient(client.send("n1", &Bytes::from(BODY), Instant::now(), now).await.unwrap_err());
    assert!(error.message.contains("the deadline has passed"), "{}", error.message);
    assert_eq!(sink.requests(), 0);
}

#[tokio::test]
async fn an_id_that_no_header_takes_is_permanent() {
    let sink = WebhookSink::local().await.unwrap();
    let outcome = client(&sink.url("inbox")).send("a\nb", &Bytes::from(BODY), Instant::now() + LIMIT, now).await;
    assert!(matches!(outcome, Err(WebhookError::Permanent { .. })), "{outcome:?}");
}
