//! What becomes of a request.

mod common;

use common::{body_sha, moment, named, source_with, text_of};
use serde_json::{Value, json};
use trackway_crds::contracts::StoredEvent;
use trackway_crds::names::event_key;
use trackway_crds::track::Priority;
use trackway_sources::{CloudEvent, IngestConfig, MapError, Source};

fn read(source: &Source, headers: &[(&str, &str)], body: &Value) -> Result<StoredEvent, MapError> {
    source.read("octo-org", headers, body.to_string().as_bytes(), moment())
}

const DELIVERY: [(&str, &str); 2] = [("x-github-event", "dependabot_alert"), ("x-github-delivery", "72d3162e")];

#[test]
fn a_webhook_of_github_needs_no_map() {
    let body = include_bytes!("../../../examples/events/07-dependabot_alert.created.json");
    let event = source_with("preset: GitHub").read("northwind-lab", &DELIVERY, body, moment()).unwrap();
    assert_eq!(event.type_, "com.github.dependabot_alert.created");
    assert_eq!(event.ce_id, "72d3162e");
    assert_eq!(event.priority, Priority::High);
    assert_eq!(event.id, event_key("northwind-lab", "s", &event.source, "72d3162e"));
    assert_eq!(event.body_sha256, body_sha(body));
    assert!(event.source.starts_with("https://github.example/northwind-lab/"), "{}", event.source);
    assert!(event.subject.as_deref().unwrap().starts_with("northwind-lab/"));
    assert!(event.user.is_some() && event.labels.contains_key("repo"));
    assert_eq!((event.time, event.received_at), (moment(), moment()));
    assert_eq!(event.data, serde_json::from_slice::<Value>(body).unwrap());
}

#[test]
fn a_webhook_of_github_without_its_headers_or_as_a_form_says_so() {
    let github = source_with("preset: GitHub");
    let error = read(&github, &[], &json!({})).unwrap_err().to_string();
    assert_eq!(error, "type: there is no header X-GitHub-Event: send it, or map another place");
    let error = github.read("t", &DELIVERY, b"payload=%7B%7D", moment()).unwrap_err().to_string();
    assert!(error.contains("choose the content type application/json"), "{error}");
    let event = read(&github, &[("x-github-event", "ping")], &json!({"zen": "x"})).unwrap();
    assert_eq!((event.type_.as_str(), event.source.as_str()), ("com.github.ping", "https://github.com"));
}

#[test]
fn plain_json_may_say_everything_or_nothing() {
    let plain = source_with("");
    let said = json!({"id": 7, "type": "a.b", "source": "/x", "subject": "s", "user": "u", "time": "2026-11-22T15:00:00+01:00", "priority": "high"});
    let event = read(&plain, &[], &said).unwrap();
    assert_eq!((event.ce_id.as_str(), event.type_.as_str(), event.source.as_str()), ("7", "a.b", "/x"));
    assert_eq!((event.subject.as_deref(), event.user.as_deref(), event.priority), (Some("s"), Some("u"), Priority::High));
    assert_eq!((event.time.to_string().as_str(), &event.data), ("2026-11-22T14:00:00Z", &said));

    let event = read(&plain, &[], &json!([1, 2])).unwrap();
    assert_eq!((event.ce_id, event.type_.as_str(), event.source.as_str()), (body_sha(b"[1,2]"), "event", "s"));
    assert_eq!((event.user, event.time, event.priority), (None, moment(), Priority::Low));
}

#[test]
fn inv09_the_same_body_without_an_id_is_the_same_event_and_another_body_another() {
    let plain = source_with("");
    let key = |text: &str| plain.read("t", &[], text.as_bytes(), moment()).unwrap().id;
    assert_eq!(key(r#"{"a": 1}"#), key(r#"{"a": 1}"#));
    assert_ne!(key(r#"{"a": 1}"#), key(r#"{"a": 2}"#));
}

#[test]
fn inv09_nothing_in_a_request_says_whose_event_it_is() {
    let event = read(&source_with(""), &[("tenant", "evil"), ("x-tenant", "evil")], &json!({"tenant": "evil", "origin": "evil"}));
    let event = event.unwrap();
    assert_eq!((event.tenant.as_str(), event.origin.as_str()), ("octo-org", "s"));
}

#[test]
fn the_example_reads_a_ticket_as_its_map_says() {
    let config = IngestConfig::parse(include_str!("../../../examples/sources/ingest.yaml")).unwrap();
    let ticket = json!({"id": 42, "title": "Printer", "requester": {"email": "ann@example.org"}, "severity": "Critical", "team": "it", "updatedAt": 1_795_356_000});
    let event = read(config.source("helpdesk").unwrap(), &[], &json!({"ticket": ticket})).unwrap();
    assert_eq!(
        (event.ce_id.as_str(), event.type_.as_str(), event.user.as_deref()),
        ("42", "helpdesk.ticket", Some("ann@example.org"))
    );
    assert_eq!((event.priority, event.labels["team"].as_str(), &event.data), (Priority::High, "it", &ticket));
    assert_eq!(event.time.as_second(), 1_795_356_000);
}

#[test]
fn a_standard_webhook_is_known_by_its_id() {
    let config = IngestConfig::parse(include_str!("../../../examples/sources/ingest.yaml")).unwrap();
    let body = json!({"type": "invoice.payment_failed", "timestamp": "2026-11-22T13:00:00Z", "data": {"account": "A1", "customer": {"id": 9}, "plan": "pro"}});
    let headers = [("webhook-id", "msg_2KWP"), ("webhook-timestamp", "1795356000")];
    let event = read(config.source("billing").unwrap(), &headers, &body).unwrap();
    assert_eq!((event.ce_id.as_str(), event.priority, event.user.as_deref()), ("msg_2KWP", Priority::High, Some("9")));
    assert_eq!((event.time.to_string().as_str(), event.labels["plan"].as_str()), ("2026-11-22T13:00:00Z", "pro"));
}

#[test]
fn the_most_particular_pattern_of_a_type_decides() {
    let source = source_with(
        "map: {type: /t, priority: {byType: {'*': Low, 'a.*': Medium, 'a.b.*': High, 'a.b.c': Low}, default: Medium}}",
    );
    for (type_, priority) in
        [("a.b.x", Priority::High), ("a.x", Priority::Medium), ("a.b.c", Priority::Low), ("z", Priority::Low)]
    {
        assert_eq!(read(&source, &[], &json!({"t": type_})).unwrap().priority, priority, "{type_}");
    }
}

#[test]
fn lists_and_objects_are_no_texts_and_the_next_place_counts() {
    let source = source_with("map: {subject: [/a, /b, header:X-Subject, {value: none}]}");
    for (headers, body, subject) in [
        (vec![], json!({"a": {"x": 1}, "b": true}), "true"),
        (vec![("x-subject", "h")], json!({"a": null, "b": ""}), "h"),
        (vec![], json!({}), "none"),
    ] {
        assert_eq!(read(&source, &headers, &body).unwrap().subject.as_deref(), Some(subject), "{body}");
    }
}

#[test]
fn texts_that_do_not_fit_are_named_and_not_repeated() {
    let source = source_with("map: {labels: {l: /l}}");
    for (field, longest) in [("id", 256), ("type", 128), ("source", 512), ("subject", 256), ("user", 128)] {
        assert!(read(&source, &[], &json!({ field: "é".repeat(longest) })).is_ok(), "{field}");
        let error = read(&source, &[], &json!({ field: "é".repeat(longest + 1) })).unwrap_err();
        assert_eq!(named(&error), field);
        assert!(error.to_string().contains(&format!("has {} characters, and {longest} are allowed", longest + 1)), "{error}");
        for bad in ["a\0b", "a\nb", "\u{7f}", "\u{85}"] {
            let error = read(&source, &[], &json!({ field: bad })).unwrap_err();
            assert_eq!((named(&error), error.to_string().contains(bad)), (field, false), "{error}");
        }
    }
    let error = read(&source, &[], &json!({"l": "x".repeat(129)})).unwrap_err();
    assert_eq!(named(&error), "labels.l");
    let data = read(&source, &[], &json!({"text": "a\0b"})).unwrap().data;
    assert_eq!(text_of(&data, "/text"), "a\0b", "data is kept as it is");
}

#[test]
fn a_time_is_a_moment_since_1970() {
    let source = source_with("");
    for (time, expected) in [
        (json!(1_795_356_000), "2026-11-22T14:00:00Z"),
        (json!("1795356000123"), "2026-11-22T14:00:00.123Z"),
        (json!("2026-11-22T14:00:00.5Z"), "2026-11-22T14:00:00.5Z"),
    ] {
        assert_eq!(read(&source, &[], &json!({"time": time})).unwrap().time.to_string(), expected);
    }
    for time in [json!("yesterday"), json!("1969-12-31T00:00:00Z"), json!(-1), json!(i64::MAX), json!(1e300), json!("2026-11-22")]
    {
        let error = read(&source, &[], &json!({"time": time})).unwrap_err();
        assert_eq!(named(&error), "time", "{time}");
    }
}

#[test]
fn what_cannot_be_stored_is_refused_before_it_is_acknowledged() {
    let small = source_with("limits: {maxEventBytes: 1024}");
    let error = read(&small, &[], &json!("x".repeat(1023))).unwrap_err();
    assert_eq!(error, MapError::TooLarge { bytes: 1025, limit: 1024 });
    // Each number of four bytes is written with eighteen.
    let grows = format!("[{}1]", "1e15,".repeat(100_000));
    let error = source_with("").read("t", &[], grows.as_bytes(), moment()).unwrap_err();
    assert!(matches!(error, MapError::TooLarge { bytes, .. } if bytes > 1024 * 1024), "{error}");
    let full = json!("x".repeat(900 * 1024 - 2));
    let event = read(&source_with(""), &[], &full).unwrap();
    assert!(serde_json::to_vec(&event).unwrap().len() < 1024 * 1024);
}

#[test]
fn a_cloud_event_speaks_for_itself() {
    let source = source_with("preset: CloudEvents\n  map: {id: /never, labels: {plan: /plan, region: attribute:region}}");
    let event = json!({"specversion": "1.0", "id": "1", "source": "/app", "type": "t", "subject": "s", "user": "u", "priority": "High",
        "region": "eu", "time": "2026-11-22T14:00:00Z", "data": {"plan": "pro"}});
    let read = |event: &Value| {
        let parsed = CloudEvent::structured(event.clone())?;
        source.read_cloud_event("octo-org", &parsed, &body_sha(event.to_string().as_bytes()), 100, moment())
    };
    let stored = read(&event).unwrap();
    assert_eq!((stored.ce_id.as_str(), stored.user.as_deref(), stored.priority), ("1", Some("u"), Priority::High));
    assert_eq!((stored.labels["plan"].as_str(), stored.labels["region"].as_str()), ("pro", "eu"));
    assert_eq!(stored.data, json!({"plan": "pro"}));
    for missing in ["id", "source", "type", "specversion"] {
        let mut event = event.clone();
        event.as_object_mut().unwrap().remove(missing);
        let error = read(&event).unwrap_err();
        assert_eq!(named(&error), missing);
    }
}

#[test]
fn the_data_of_a_cloud_event_is_read_by_its_content_type() {
    let data = |content: Option<&str>, encoded: &str| {
        let event = json!({"specversion": "1.0", "datacontenttype": content, "data_base64": encoded});
        CloudEvent::structured(event).map(|event| event.data)
    };
    assert_eq!(data(None, "eyJhIjoxfQ==").unwrap(), json!({"a": 1}));
    assert_eq!(data(Some("text/plain; charset=utf-8"), "aGk=").unwrap(), json!("hi"));
    assert_eq!(data(Some("application/pdf"), "/w==").unwrap(), json!({"base64": "/w=="}));
    assert_eq!(named(&data(None, "?").unwrap_err()), "data_base64");
    assert!(matches!(data(None, "/w=="), Err(MapError::NotJson(_))));
}
