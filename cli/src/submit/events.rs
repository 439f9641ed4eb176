//! From what people have in files to events: envelopes are taken as they are, anything else becomes the data of one.

use jiff::Timestamp;
use serde_json::{Map, Value};
use trackway_crds::{contracts::Event, names::short_hash, track::Priority};

/// A JSON value and the name of where it came from, which may tell its type.
#[derive(Clone, Debug)]
pub struct RawEvent {
    /// `issues.opened` of `issues.opened.json`.
    pub name: String,
    /// The value.
    pub value: Value,
}

/// What a GitHub payload is about, by a key only such payloads have; the first that fits.
const GITHUB_KINDS: [(&str, &str); 14] = [
    ("pull_request_review", "review"),
    ("pull_request", "pull_request"),
    ("issue_comment", "comment"),
    ("issues", "issue"),
    ("push", "commits"),
    ("release", "release"),
    ("workflow_run", "workflow_run"),
    ("workflow_job", "workflow_job"),
    ("check_run", "check_run"),
    ("deployment_status", "deployment_status"),
    ("discussion", "discussion"),
    ("alert", "alert"),
    ("fork", "forkee"),
    ("member", "member"),
];

/// Makes an event. What an envelope leaves out, and everything of a bare payload, is taken from where it usually is.
#[must_use]
pub fn to_event(raw: RawEvent, priority: Priority, now: Timestamp) -> Event {
    let RawEvent { name, value } = raw;
    let (envelope, data) = match value {
        Value::Object(mut map) if is_envelope(&map) => {
            let data = map.remove("data").unwrap_or(Value::Null);
            (map, data)
        }
        data => (Map::new(), data),
    };
    let text = |key: &str| envelope.get(key).and_then(Value::as_str).map(str::to_owned);
    let type_ = text("type").unwrap_or_else(|| type_of(&name, &data));
    let time = text("time").and_then(|time| time.parse().ok()).or_else(|| time_of(&data));
    let priority = envelope.get("priority").and_then(|value| serde_json::from_value(value.clone()).ok()).unwrap_or(priority);
    Event {
        id: text("id").unwrap_or_else(|| short_hash(&[&type_, &data.to_string()])),
        source: text("source").unwrap_or_else(|| source_of(&data)),
        type_,
        time: time.unwrap_or(now),
        subject: text("subject").or_else(|| at(&data, "/sender/login").or_else(|| at(&data, "/pusher/name"))),
        priority,
        data,
    }
}

fn is_envelope(map: &Map<String, Value>) -> bool {
    map.contains_key("data") && map.keys().all(|key| ENVELOPE.contains(&key.as_str()))
}

const ENVELOPE: [&str; 10] =
    ["id", "source", "type", "time", "subject", "priority", "data", "specversion", "datacontenttype", "dataschema"];

/// `github.issues.opened`, by the file's name or by what the payload holds.
fn type_of(name: &str, data: &Value) -> String {
    if !is_github(data) {
        return if name.is_empty() { "event".to_owned() } else { name.to_owned() };
    }
    let action = data.get("action").and_then(Value::as_str);
    let found = GITHUB_KINDS.iter().find(|(_, key)| data.get(key).is_some());
    let kind = if name.is_empty() { found.map_or("event", |(kind, _)| kind) } else { name.split('.').next().unwrap_or(name) };
    match action {
        Some(action) => format!("github.{kind}.{action}"),
        None => format!("github.{kind}"),
    }
}

fn is_github(data: &Value) -> bool {
    data.get("repository").or_else(|| data.get("organization")).is_some_and(Value::is_object) && data.get("sender").is_some()
}

fn source_of(data: &Value) -> String {
    let repository = at(data, "/repository/full_name").or_else(|| at(data, "/organization/login"));
    repository.filter(|_| is_github(data)).map_or_else(|| "submit".to_owned(), |name| format!("github.com/{name}"))
}

/// When a GitHub payload happened: the latest change of what it is about.
fn time_of(data: &Value) -> Option<Timestamp> {
    let of_commit = at(data, "/head_commit/timestamp").and_then(|time| time.parse::<Timestamp>().ok());
    let subjects = data
        .as_object()?
        .iter()
        .filter(|(key, _)| !["repository", "organization", "sender", "installation"].contains(&key.as_str()));
    let times = subjects.flat_map(|(_, subject)| ["/updated_at", "/created_at", "/published_at"].map(|field| at(subject, field)));
    of_commit.or_else(|| times.flatten().filter_map(|time| time.parse::<Timestamp>().ok()).max())
}

fn at(data: &Value, pointer: &str) -> Option<String> {
    data.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(name: &str, value: Value) -> Event {
        to_event(RawEvent { name: name.to_owned(), value }, Priority::Medium, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn an_envelope_is_taken_as_it_is() {
        let event = event(
            "x",
            json!({"id": "1", "source": "crm", "type": "churn.risk", "time": "2026-11-22T14:00:00Z", "priority": "High", "data": {"a": 1}}),
        );
        assert_eq!((event.id.as_str(), event.source.as_str(), event.type_.as_str()), ("1", "crm", "churn.risk"));
        assert_eq!((event.priority, event.data), (Priority::High, json!({"a": 1})));
    }

    #[test]
    fn a_webhook_payload_tells_what_it_is() {
        let payload = json!({"action": "opened", "issue": {"updated_at": "2026-11-20T08:15:00Z", "created_at": "2026-11-20T08:00:00Z"},
            "repository": {"full_name": "octo-org/hello", "updated_at": "2026-11-30T00:00:00Z"}, "sender": {"login": "dana"}});
        for name in ["issues.opened", ""] {
            let event = event(name, payload.clone());
            assert_eq!((event.type_.as_str(), event.source.as_str()), ("github.issues.opened", "github.com/octo-org/hello"));
            assert_eq!((event.subject.as_deref(), event.time.to_string().as_str()), (Some("dana"), "2026-11-20T08:15:00Z"));
        }
    }

    #[test]
    fn anything_else_is_data_of_an_event_made_for_it() {
        let event = event("survey", json!({"answer": 42}));
        assert_eq!((event.type_.as_str(), event.source.as_str(), event.time), ("survey", "submit", Timestamp::UNIX_EPOCH));
        assert_eq!(event.data, json!({"answer": 42}));
        assert_eq!(event.id.len(), 8);
    }
}
