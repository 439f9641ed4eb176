//! What several tests need.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, reason = "helpers of tests; not every file uses each")]

use jiff::Timestamp;
use serde_json::Value;
use trackway_sources::{IngestConfig, MapError, Source};

/// When everything is received.
pub fn moment() -> Timestamp {
    "2026-11-22T14:00:05Z".parse().unwrap()
}

/// A source `s` with these fields too.
pub fn source_with(fields: &str) -> Source {
    let source = format!("- id: s\n  credentials: [{{tenant: octo-org, secretRef: {{name: n, key: k}}}}]\n  {fields}");
    IngestConfig::parse(&format!("namespaces: [{{name: a}}]\nsources:\n{source}\n")).unwrap().sources.remove(0)
}

/// The part that an error is about.
pub fn named(error: &MapError) -> &str {
    match error {
        MapError::Field { field, .. } => field,
        other => panic!("{other}"),
    }
}

pub fn body_sha(body: &[u8]) -> String {
    trackway_crds::names::sha256_hex(body)
}

pub fn text_of<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap()
}
