//! Reading a BATCH_READY message. What does not pass here nobody can handle.

use jiff::Timestamp;
use trackway_crds::{
    contracts::{BatchReady, CONTRACT},
    track::Priority,
};

/// Why a message can never be routed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Poison(pub String);

/// What the message's subject says of it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Batch id.
    pub id: &'a str,
    /// Priority, as written.
    pub priority: &'a str,
}

/// Most events the schema of a BatchRun takes.
const MAX_EVENTS: u32 = 1_000_000;
/// Longest batch document that is stored, in bytes.
const MAX_DOCUMENT_BYTES: u64 = 16 << 20;

/// Parses `payload` and checks what the API server would refuse later.
///
/// # Errors
/// [`Poison`] naming field and value.
pub fn parse(subject: Subject<'_>, payload: &[u8]) -> Result<BatchReady, Poison> {
    let ready: BatchReady =
        serde_json::from_slice(payload).map_err(|error| Poison(format!("not a BATCH_READY document: {error}")))?;
    let batch = &ready.batch;
    check(ready.contract == CONTRACT, "contract", &ready.contract, "must be 1")?;
    check(is_id(&batch.id), "batch.id", &batch.id, "must be 1 to 64 of a-z, 0-9 and '-', with '-' neither first nor last")?;
    check(batch.id == subject.id, "batch.id", &batch.id, &format!("must be the subject's, {:?}", subject.id))?;
    let priority = Priority::as_str(batch.priority);
    check(priority == subject.priority, "batch.priority", &priority, &format!("must be the subject's, {}", subject.priority))?;
    for (field, value) in [("batch.tenant", &batch.tenant), ("batch.subject", &batch.subject)] {
        check((1..=128).contains(&value.chars().count()), field, value, "must have 1 to 128 characters")?;
    }
    check(batch.counts.events <= MAX_EVENTS, "batch.counts.events", &batch.counts.events, "must be at most 1000000")?;
    check(batch.ready_at >= Timestamp::UNIX_EPOCH, "batch.readyAt", &batch.ready_at, "must not be before 1970")?;
    let bytes = ready.input.bytes;
    check(bytes <= MAX_DOCUMENT_BYTES, "input.bytes", &bytes, &format!("must be at most {MAX_DOCUMENT_BYTES}"))?;
    check(is_sha256(&ready.input.sha256), "input.sha256", &ready.input.sha256, "must be 64 lower-case hexadecimal digits")?;
    Ok(ready)
}

fn check(holds: bool, field: &str, value: &impl std::fmt::Debug, must: &str) -> Result<(), Poison> {
    if holds { Ok(()) } else { Err(Poison(format!("{field} {value:?} {must}"))) }
}

fn is_id(id: &str) -> bool {
    let inside = id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    (1..=64).contains(&id.len()) && inside && !id.starts_with('-') && !id.ends_with('-')
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{ledger::Match, run::build};
    use serde_json::{Value, json};
    use trackway_crds::names;
    use trackway_test_support::fuzz::fuzz_documents;

    pub(crate) fn document() -> Value {
        json!({"contract": 1, "batch": {"id": "b7k2f9q1", "tenant": "octo-org", "level": "Tenant", "subject": "octo-org",
            "priority": "High", "labels": {"plan": "pro"}, "counts": {"events": 37},
            "from": "2026-11-22T14:00:00Z", "to": "2026-11-22T14:42:10Z", "readyAt": "2026-11-22T14:42:10.400Z"},
            "input": {"sha256": "a".repeat(64), "bytes": 48211}})
    }

    fn read(document: &Value) -> Result<BatchReady, Poison> {
        parse(Subject { id: "b7k2f9q1", priority: "High" }, document.to_string().as_bytes())
    }

    #[test]
    fn a_message_of_the_contract_is_read() {
        assert_eq!(read(&document()).unwrap().batch.counts.events, 37);
    }

    #[test]
    fn anything_else_is_poison_and_says_why() {
        for (pointer, value, expected) in [
            ("/contract", json!(2), "contract 2 must be 1"),
            ("/batch/id", json!("Other"), "batch.id \"Other\" must be 1 to 64"),
            ("/batch/id", json!("other"), "must be the subject's, \"b7k2f9q1\""),
            ("/batch/priority", json!("Low"), "must be the subject's, High"),
            ("/batch/priority", json!("Urgent"), "not a BATCH_READY document"),
            ("/batch/tenant", json!(""), "batch.tenant \"\" must have 1 to 128 characters"),
            ("/batch/counts/events", json!(2_000_000), "batch.counts.events 2000000"),
            ("/input/sha256", json!("A".repeat(64)), "input.sha256"),
            ("/input/bytes", json!(u64::MAX), "input.bytes 18446744073709551615 must be at most 16777216"),
            ("/batch/readyAt", json!("-000001-11-22T14:00:00Z"), "batch.readyAt -000001-11-22T14:00:00Z must not be before 1970"),
            ("/batch", json!(null), "not a BATCH_READY document"),
        ] {
            let mut bad = document();
            *bad.pointer_mut(pointer).unwrap() = value;
            let poison = read(&bad).unwrap_err().to_string();
            assert!(poison.contains(expected), "{pointer}: {poison}");
        }
        assert!(parse(Subject { id: "x", priority: "Low" }, b"\xff{").is_err());
    }

    #[test]
    fn fuzz_messages() {
        let takes = |bytes: &[u8]| {
            let Ok(ready) = parse(Subject { id: "b7k2f9q1", priority: "High" }, bytes) else { return false };
            let written = serde_json::to_vec(&ready).unwrap();
            assert_eq!(serde_json::from_slice::<BatchReady>(&written).unwrap(), ready, "it can be read again as it was");
            let entry = Match {
                namespace: "team-a".to_owned(),
                track: "admin".to_owned(),
                generation: 3,
                run: names::run_name("admin", &ready.batch.id),
                created: false,
            };
            let run = build(&ready, &entry);
            let spec = serde_json::to_value(&run.spec).unwrap();
            // What the schema of a BatchRun asks for, and what the API server reads as whole numbers and moments.
            for (pointer, longest) in [("/batch/id", 64), ("/batch/tenant", 128), ("/batch/subject", 128)] {
                let characters = spec.pointer(pointer).and_then(Value::as_str).unwrap().chars().count();
                assert!((1..=longest).contains(&characters), "{pointer}: {spec}");
            }
            assert!((0..=1_000_000).contains(&spec["batch"]["events"].as_i64().unwrap()), "{spec}");
            assert!(spec["batch"]["input"]["bytes"].as_i64().is_some_and(|bytes| bytes >= 0), "{spec}");
            assert_eq!(spec["batch"]["readyAt"].as_str().unwrap().len(), "2026-11-22T14:42:10.400000Z".len(), "{spec}");
            assert!(names::label_hash(&ready.batch.tenant).len() <= 63 && run.metadata.name.unwrap() == "admin-b7k2f9q1");
            true
        };
        fuzz_documents(&[document()], takes).unwrap();
    }
}
