//! Bytes of strangers and files of the careless: nothing panics, and what is accepted fits. `TRACKWAY_FUZZ` says how many;
//! `TRACKWAY_SEED` repeats one.

#![allow(clippy::print_stdout, reason = "a test says its seeds")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod common;

use common::{moment, source_with};
use fastrand::Rng;
use std::panic::{AssertUnwindSafe, catch_unwind};
use trackway_crds::contracts::StoredEvent;
use trackway_sources::{CloudEvent, IngestConfig, Source};

const EXAMPLE: &str = include_str!("../../../examples/sources/ingest.yaml");
const BODIES: [&[u8]; 4] = [
    include_bytes!("../../../examples/events/01-issues.opened.json"),
    include_bytes!("../../../examples/events/03-push.json"),
    br#"{"specversion":"1.0","id":"1","source":"/a","type":"t","time":"2026-11-22T14:00:00Z","user":"u","data_base64":"eyJhIjoxfQ=="}"#,
    br#"{"ticket":{"id":42,"title":"x","requester":{"id":"r"},"severity":"critical","updatedAt":"2026-11-22T14:00:00Z"}}"#,
];
/// What breaks parsers.
const EVIL: [&[u8]; 16] = [
    b"\0",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"[[[[[[[[",
    b"{\"a\":",
    b"1e999",
    b"-0",
    b"null",
    b"\xff",
    b"\xe2\x80",
    b"}",
    b",",
    b"99999999999999999999",
    b"\xef\xbb\xbf",
];

/// Runs `case` for as many seeds as wanted and tells the seed of one that fails.
fn every_seed(case: impl Fn(&mut Rng)) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("TRACKWAY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TRACKWAY_FUZZ").unwrap_or(20_000),
    };
    println!("seeds {seeds:?}");
    for seed in seeds {
        let outcome = catch_unwind(AssertUnwindSafe(|| case(&mut Rng::with_seed(seed))));
        assert!(outcome.is_ok(), "failed with TRACKWAY_SEED={seed}");
    }
}

fn spoiled(rng: &mut Rng, body: &[u8]) -> Vec<u8> {
    let mut bytes = body.to_vec();
    for _ in 0..rng.usize(0..6) {
        let at = rng.usize(0..=bytes.len());
        match rng.u8(0..4) {
            0 => bytes.truncate(at),
            1 => drop(bytes.splice(at..at, rng.choice(EVIL).unwrap().iter().copied())),
            2 => drop(bytes.splice(at..at, rng.choice(EVIL).unwrap().repeat(rng.usize(1..300)))),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = rng.u8(..)),
        }
    }
    bytes
}

fn check(source: &Source, event: &StoredEvent) {
    let characters = |text: &str| text.chars().count();
    let lines = [Some(&event.ce_id), Some(&event.source), Some(&event.type_), event.user.as_ref(), event.subject.as_ref()];
    for (text, longest) in lines.iter().zip([256, 512, 128, 128, 256]) {
        let Some(text) = text else { continue };
        assert!((1..=longest).contains(&characters(text)) && !text.chars().any(char::is_control), "{text:?}");
    }
    assert!(event.labels.len() <= 16 && event.labels.values().all(|value| characters(value) <= 128));
    assert_eq!((event.tenant.as_str(), event.origin.as_str(), event.id.len()), ("t", source.id.as_str(), 32));
    let stored = serde_json::to_vec(event).unwrap();
    assert!(stored.len() <= 1024 * 1024 - 8 * 1024);
    assert_eq!(&serde_json::from_slice::<StoredEvent>(&stored).unwrap(), event, "it can be read again as it was");
}

#[test]
fn fuzz_bodies() {
    let mut sources = IngestConfig::parse(EXAMPLE).unwrap().sources;
    sources.push(source_with(""));
    every_seed(|rng| {
        let source = rng.choice(&sources).unwrap();
        let body = if rng.u8(0..8) == 0 {
            (0..rng.usize(0..200)).map(|_| rng.u8(..)).collect()
        } else {
            let body = *rng.choice(&BODIES).unwrap();
            spoiled(rng, body)
        };
        let header = String::from_utf8_lossy(&spoiled(rng, b"push")).into_owned();
        let headers = [("x-github-event", header.as_str()), ("webhook-id", "m"), ("webhook-timestamp", header.as_str())];
        if let Ok(event) = source.read("t", &headers, &body, moment()) {
            check(source, &event);
        }
        let Ok(value) = trackway_sources::json(&body) else { return };
        let Ok(event) = CloudEvent::structured(value) else { return };
        let sha = trackway_crds::names::sha256_hex(&body);
        if let Ok(event) = source.read_cloud_event("t", &event, &sha, body.len(), moment()) {
            check(source, &event);
        }
    });
}

#[test]
fn fuzz_configurations() {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    every_seed(|rng| {
        let mut lines = lines.clone();
        for _ in 0..rng.usize(0..3) {
            lines.remove(rng.usize(0..lines.len()));
        }
        let text = String::from_utf8_lossy(&spoiled(rng, lines.join("\n").as_bytes())).into_owned();
        if let Ok(config) = IngestConfig::parse(&text) {
            config.sources.iter().for_each(|source| drop(source.read("t", &[], b"{}", moment())));
        }
    });
}
