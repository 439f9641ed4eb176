//! Random batch documents: whatever the store holds, it is refused by name, or prompts and questions can be made of it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trackway_crds::{
    contracts::{BatchDocument, CONTRACT, MAX_QUERY_BYTES},
    event_text::query_text,
};
use trackway_prompt::{Prompt, PromptContext, TrackContext};
use trackway_test_support::fuzz::fuzz_documents;

use crate::stored::batch_document;

const PROMPT: &str = "\
{{ batch.id }} of {{ batch.tenant }} ({{ batch.labels | tojson }}, {{ batch.counts.events }}) from {{ batch.from }} to {{ batch.to }}
<!-- user -->
{% for event in events %}{{ event.time }} {{ event.type }} {{ event.subject }} {{ event.data | tojson | truncate(2000) }}
{% endfor %}";

fn documents() -> [Value; 2] {
    let batch = json!({
        "id": "b7k2f9q1", "tenant": "octo-org", "level": "Tenant", "subject": "octo-org", "priority": "High",
        "labels": {"plan": "pro"}, "counts": {"events": 2, "byPriority": {"High": 1, "Low": 1}, "byType": {"push": 2}},
        "from": "2026-11-22T14:00:00Z", "to": "2026-11-22T14:42:10Z", "readyAt": "2026-11-22T14:42:10.400Z",
        "reason": "threshold High 1",
    });
    let push = json!({
        "id": "e1", "source": "github", "type": "push", "time": "2026-11-22T14:00:00Z", "subject": "dana", "priority": "High",
        "data": {"repository": {"name": "hello-world"}, "body": "\u{1f600} €", "n": [1, -2.5e3, true, null]},
    });
    let bare = json!({"id": "e2", "source": "s", "type": "push", "time": "2026-11-22T14:42:10Z", "priority": "Low"});
    [json!({"contract": 1, "batch": batch, "events": [push, bare]}), json!({"contract": 1, "batch": batch, "events": []})]
}

#[test]
fn fuzz_batch_documents() {
    let prompt = Prompt::parse("fuzz.md", PROMPT).unwrap();
    let track = TrackContext { name: "admin".to_owned(), audience: "admins".to_owned(), vars: BTreeMap::new() };
    let none = BTreeMap::new();
    let takes = |bytes: &[u8]| {
        let document = match batch_document(bytes) {
            Ok(document) => document,
            Err(failure) => {
                assert_eq!(failure.reason, "PayloadInvalid", "{failure:?}");
                return false;
            }
        };
        assert_eq!(document.contract, CONTRACT);
        let written = serde_json::to_vec(&document).unwrap();
        assert_eq!(serde_json::from_slice::<BatchDocument>(&written).unwrap(), document, "it can be read again as it was");
        assert!(query_text(&document.events, None).len() <= MAX_QUERY_BYTES);
        let rendered = prompt.render(&PromptContext {
            track: &track,
            batch: &document.batch,
            events: &document.events,
            context: &none,
            stages: &none,
            target: None,
            feedback: None,
            retrieved: None,
        });
        assert!(rendered.unwrap().bytes() > 0);
        true
    };
    fuzz_documents(&documents(), takes).unwrap();
}

#[test]
fn a_batch_document_of_another_contract_is_refused() {
    let [mut document, _] = documents();
    document["contract"] = json!(2);
    let failure = batch_document(document.to_string().as_bytes()).unwrap_err();
    assert!(failure.message.contains("follows contract 2, this worker knows 1"), "{}", failure.message);
}
