//! What a prompt is about, as far as its JSON tells: events, the people and repositories in them, keys, a target.

use std::collections::BTreeSet;

use serde_json::Value;

mod pieces;

pub(crate) use pieces::Piece;

/// A prompt is searched for JSON at this many places, so that a text full of braces costs no minute.
const MAX_STARTS: usize = 5_000;
/// A JSON value belongs to a word this close before it.
const WORD_BEFORE: usize = 40;

/// Facts found in a prompt, in order of appearance.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Facts {
    /// Objects with an `id` and a `type`.
    pub(crate) events: Vec<Event>,
    /// Values of `key` fields, each once: what a list of items is to be answered for.
    pub(crate) keys: Vec<String>,
    /// Those of them whose object says `phase: Failed`: nothing that could be approved.
    pub(crate) failed: BTreeSet<String>,
    /// The id of an object that the text introduces as a target.
    pub(crate) target: Option<String>,
    /// What a debugger may quote.
    pub(crate) pieces: Vec<Piece>,
}

/// One event of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) actor: Option<String>,
    pub(crate) repo: Option<String>,
}

impl Facts {
    /// Reads all JSON objects and lists in `text`.
    pub(crate) fn read(text: &str) -> Facts {
        let mut facts = Facts { pieces: pieces::pieces(text), ..Facts::default() };
        let mut from = 0;
        for _ in 0..MAX_STARTS {
            let Some(offset) = text.get(from..).and_then(|rest| rest.find(['{', '['])) else { break };
            let start = from + offset;
            let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
            match values.next() {
                Some(Ok(value)) => {
                    if facts.target.is_none() && introduced(text, start) {
                        facts.target = value.get("id").and_then(Value::as_str).map(str::to_owned);
                    }
                    facts.walk(&value);
                    from = start + values.byte_offset();
                }
                _ => from = start + 1,
            }
        }
        let mut seen = BTreeSet::new();
        facts.keys.retain(|key| seen.insert(key.clone()));
        let mut seen = BTreeSet::new();
        facts.events.retain(|event| seen.insert(event.id.clone()));
        facts
    }

    fn walk(&mut self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Object(fields) => {
                let id = fields.get("id").and_then(Value::as_str);
                let kind = fields.get("type").and_then(Value::as_str);
                if let Some((id, kind)) = id.zip(kind) {
                    self.events.push(event(id, kind, value));
                    return;
                }
                if let Some(key) = fields.get("key").and_then(Value::as_str) {
                    self.keys.push(key.to_owned());
                    if fields.get("phase").and_then(Value::as_str) == Some("Failed") {
                        self.failed.insert(key.to_owned());
                    }
                }
                fields.values().for_each(|field| self.walk(field));
            }
            _ => {}
        }
    }

    /// Short names of whom the events are about, each once: people first, then repositories.
    pub(crate) fn names(&self) -> Vec<String> {
        let people = self.events.iter().filter_map(|event| event.actor.as_deref());
        let repos = self.events.iter().filter_map(|event| event.repo.as_deref());
        let mut seen = BTreeSet::new();
        people.chain(repos).map(slug).filter(|name| !name.is_empty() && seen.insert(name.clone())).collect()
    }
}

fn introduced(text: &str, start: usize) -> bool {
    let mut from = start.saturating_sub(WORD_BEFORE);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.get(from..start).is_some_and(|before| before.to_lowercase().contains("target"))
}

fn event(id: &str, kind: &str, event: &Value) -> Event {
    let first = |paths: &[&str]| {
        let texts = paths
            .iter()
            .filter_map(|path| ["/data", ""].iter().find_map(|root| event.pointer(&format!("{root}{path}"))?.as_str()));
        texts.map(str::to_owned).next()
    };
    Event {
        id: id.to_owned(),
        kind: kind.to_owned(),
        actor: first(&["/sender/login", "/actor/login", "/actor", "/user/login", "/pusher/name", "/user", "/subject"]),
        repo: first(&["/repository/name", "/repo/name", "/repo", "/project"]),
    }
}

/// Lower case letters and digits with single dashes, at most 40.
pub(crate) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for character in text.chars().take(40) {
        if character.is_ascii_alphanumeric() {
            slug.push(character.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_people_keys_and_the_target_are_found_in_a_prompt() {
        let facts = Facts::read(
            r#"You see {events} of a batch:
            [{"id": "e1", "type": "push", "data": {"sender": {"login": "Octo Cat"}, "repository": {"name": "hello-world"}}},
             {"id": "e2", "type": "issues.opened", "subject": "hubot"}, {"id": "e1", "type": "push"}]
            The target: {"id": "octo-cat", "name": "x"} and what came before {"items": [{"key": "k1"}, {"key": "k2", "phase": "Failed"}, {"key": "k1"}]}"#,
        );
        let ids: Vec<&str> = facts.events.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(ids, ["e1", "e2"]);
        assert_eq!(facts.names(), ["octo-cat", "hubot", "hello-world"]);
        assert_eq!(facts.keys, ["k1", "k2"]);
        assert_eq!(facts.failed, BTreeSet::from(["k2".to_owned()]));
        assert_eq!(facts.target.as_deref(), Some("octo-cat"));
    }

    #[test]
    fn a_text_without_json_has_no_facts() {
        assert_eq!(Facts::read("write { something [nice"), Facts::default());
    }
}
