//! What of an event an embedding model reads: the vectorizer of every event that comes, the worker when it asks for those that
//! resemble a batch. Both must read alike, so it is here.

use crate::contracts::{Event, MAX_QUERY_BYTES};
use serde_json::Value;
use std::collections::BTreeSet;

/// Longest text of one event in bytes.
pub const MAX_EVENT_TEXT_BYTES: usize = 2 * 1024;

/// An event in words, at most [`MAX_EVENT_TEXT_BYTES`]: its type, its subject, then every string in `data` in the order of the
/// fields' names, however deep, divided by line ends. Names, numbers and truth values are left out: what they mean depends on
/// the sender, and they would make all events of a type alike.
#[must_use]
pub fn event_text(type_: &str, subject: Option<&str>, data: &Value) -> String {
    let mut text = Text::of_at_most(MAX_EVENT_TEXT_BYTES);
    text.add(type_);
    text.add(subject.unwrap_or_default());
    text.add_strings(data);
    text.words
}

/// What past events should resemble, at most [`MAX_QUERY_BYTES`]: the strings of the `target`, in a fan-out, then the batch's
/// events in words, those of higher priority first, of one priority the latest first, and none twice.
#[must_use]
pub fn query_text(events: &[Event], target: Option<&Value>) -> String {
    let mut text = Text::of_at_most(MAX_QUERY_BYTES);
    if let Some(target) = target {
        text.add_strings(target);
    }
    let mut latest_first: Vec<&Event> = events.iter().rev().collect();
    latest_first.sort_by_key(|event| event.priority);
    let mut seen = BTreeSet::new();
    for event in latest_first {
        if text.is_full() {
            break;
        }
        let words = event_text(&event.type_, event.subject.as_deref(), &event.data);
        if !seen.contains(&words) {
            text.add(&words);
            seen.insert(words);
        }
    }
    text.words
}

/// A text that grows to a limit.
struct Text {
    words: String,
    max_bytes: usize,
}

impl Text {
    fn of_at_most(max_bytes: usize) -> Self {
        Self { words: String::new(), max_bytes }
    }

    fn is_full(&self) -> bool {
        self.words.len() + 1 >= self.max_bytes
    }

    /// As much of `words` as there is room for, ended at a character, on a line of its own.
    fn add(&mut self, words: &str) {
        let words = words.trim();
        if words.is_empty() || self.is_full() {
            return;
        }
        if !self.words.is_empty() {
            self.words.push('\n');
        }
        let room = self.max_bytes.saturating_sub(self.words.len());
        self.words.push_str(&words[..words.floor_char_boundary(room)]);
    }

    fn add_strings(&mut self, value: &Value) {
        match value {
            Value::String(words) => self.add(words),
            Value::Array(values) => values.iter().for_each(|value| self.add_strings(value)),
            Value::Object(fields) => fields.values().for_each(|value| self.add_strings(value)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::track::Priority;
    use serde_json::json;

    fn event(priority: Priority, title: &str) -> Event {
        Event {
            id: title.to_owned(),
            source: "github".to_owned(),
            type_: "issue".to_owned(),
            time: "2026-11-22T14:00:00Z".parse().unwrap(),
            subject: None,
            priority,
            data: json!({"title": title}),
        }
    }

    #[test]
    fn an_event_is_its_type_its_subject_and_its_strings() {
        let data = json!({"z": ["last", 1, true], "a": {"deep": " first "}, "n": null, "empty": ""});
        assert_eq!(event_text("push", Some("octo"), &data), "push\nocto\nfirst\nlast");
        assert_eq!(event_text("push", None, &Value::Null), "push");
    }

    #[test]
    fn long_texts_end_at_a_character() {
        for padding in 0..4 {
            let text = event_text(&"x".repeat(padding), None, &json!({"body": "€".repeat(2_000), "more": "m"}));
            assert!((MAX_EVENT_TEXT_BYTES - 3..=MAX_EVENT_TEXT_BYTES).contains(&text.len()), "{}", text.len());
        }
    }

    #[test]
    fn what_is_asked_begins_with_the_target_and_what_matters_most() {
        let events = [
            event(Priority::Low, "early"),
            event(Priority::High, "urgent"),
            event(Priority::Low, "late"),
            event(Priority::Low, "early"),
        ];
        assert_eq!(query_text(&events, Some(&json!({"name": "hubot"}))), "hubot\nissue\nurgent\nissue\nearly\nissue\nlate");
        let many: Vec<_> = (0..5_000).map(|n| event(Priority::Low, &format!("number {n}"))).collect();
        let text = query_text(&many, None);
        assert!(text.len() <= MAX_QUERY_BYTES && text.starts_with("issue\nnumber 4999\n"), "{}", text.len());
    }
}
