//! What was signed is taken as it was signed, or not at all.

use crate::{
    client::{post, raw},
    world::{HUB_SECRET, JSON, NEW_KEY, OLD_KEY, World, signed},
};
use hmac::{Hmac, Mac as _};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;

/// A request as bytes, and where what was signed lies in it.
struct Written {
    bytes: Vec<u8>,
    signed: Vec<std::ops::Range<usize>>,
}

fn written(path: &str, headers: &[(&str, &str)], body: &str) -> Written {
    let mut bytes =
        format!("POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n").into_bytes();
    let mut signed = Vec::new();
    bytes.extend(format!("content-length: {}\r\n", body.len()).bytes());
    for (name, value) in headers {
        bytes.extend(format!("{name}: ").bytes());
        signed.push(bytes.len()..bytes.len() + value.len());
        bytes.extend(format!("{value}\r\n").bytes());
    }
    bytes.extend(b"\r\n");
    signed.push(bytes.len()..bytes.len() + body.len());
    bytes.extend(body.bytes());
    Written { bytes, signed }
}

/// Sends the request with each bit flipped, none of which may be taken, and then as it is.
async fn check(world: &World, request: &Written) -> usize {
    let mut flipped = 0;
    for place in request.signed.iter().cloned().flatten() {
        for bit in 0..8 {
            let mut bytes = request.bytes.clone();
            bytes[place] ^= 1 << bit;
            let status = raw(world.gateway, &bytes).await;
            let shown = String::from_utf8_lossy(&bytes);
            assert!(
                status.is_none_or(|status| status == 400 || status == 401),
                "{status:?} for bit {bit} of byte {place} of\n{shown}"
            );
            flipped += 1;
        }
    }
    assert_eq!(world.stored().await, 0);
    assert_eq!(raw(world.gateway, &request.bytes).await, Some(202));
    flipped
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_flipped_bit_of_a_standard_webhook_is_taken() {
    let world = World::start().await;
    let body = r#"{"a":1}"#;
    let headers = signed(NEW_KEY, "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W", Timestamp::now(), body);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let flipped = check(&world, &written("/v1/webhooks/hooks", &headers, body)).await;
    println!("{flipped} flipped bits were refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_flipped_bit_of_a_webhook_of_github_is_taken() {
    let world = World::start().await;
    let body = r#"{"a":1}"#;
    let mac = Hmac::<Sha256>::new_from_slice(HUB_SECRET.as_bytes()).unwrap().chain_update(body).finalize();
    let signature = format!("sha256={}", hex::encode(mac.into_bytes()));
    let mut request = written("/v1/webhooks/github", &[("x-hub-signature-256", &signature)], body);
    let end_of_head = request.bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 2;
    let unsigned = b"x-github-event: push\r\nx-github-delivery: 1\r\n";
    request.bytes.splice(end_of_head..end_of_head, unsigned.iter().copied());
    let body = request.signed.last_mut().unwrap();
    *body = body.start + unsigned.len()..body.end + unsigned.len();
    let flipped = check(&world, &request).await;
    println!("{flipped} flipped bits were refused");
}

#[tokio::test]
async fn stale_and_early_signatures_and_those_of_other_secrets_are_refused() {
    let world = World::start().await;
    let body = "{}";
    let minutes = |minutes: i64| Timestamp::now() + SignedDuration::from_mins(minutes);
    let send = async |key: &str, at: Timestamp| {
        let headers = signed(key, "msg_1", at, body);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).chain([JSON]).collect();
        post(world.gateway, "/v1/webhooks/hooks", &headers, body).await
    };
    for minute in [-60, -6, 6, 60] {
        assert_eq!(send(OLD_KEY, minutes(minute)).await.problem(401)["field"], "webhook-timestamp");
    }
    send("whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB", minutes(0)).await.problem(401);
    assert_eq!(send(OLD_KEY, minutes(-4)).await.status, 202);
}
