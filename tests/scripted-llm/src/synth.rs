//! Makes a value that is valid for a JSON schema and speaks of what the prompt is about.

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::facts::Facts;

mod words;

const MAX_DEPTH: usize = 24;
/// Entries of a list that neither its schema nor the prompt sizes.
const USUAL_ITEMS: usize = 3;

/// What an answer is derived from.
pub(crate) struct Source<'a> {
    /// Hash of the request; the same request gets the same answer.
    pub(crate) seed: &'a str,
    pub(crate) facts: &'a Facts,
    /// Entries of a list named `targets`.
    pub(crate) targets: usize,
}

/// A value valid for `schema`.
pub(crate) fn value(source: &Source<'_>, schema: &Value) -> Value {
    Synth { source, root: schema }.value(schema, &Place { path: String::new(), name: "text", index: 0, depth: 0 })
}

/// A paragraph, for a request without a schema.
pub(crate) fn prose(source: &Source<'_>) -> String {
    let place = Place { path: String::new(), name: "text", index: 0, depth: 0 };
    Synth { source, root: &Value::Null }.sentence(&place)
}

/// Where in the answer a value stands.
struct Place<'a> {
    path: String,
    /// The closest property's name.
    name: &'a str,
    /// The closest list's entry.
    index: usize,
    depth: usize,
}

struct Synth<'a> {
    source: &'a Source<'a>,
    root: &'a Value,
}

impl<'a> Synth<'a> {
    fn value(&self, schema: &'a Value, place: &Place<'_>) -> Value {
        let schema = self.resolved(schema, place.depth);
        if place.depth > MAX_DEPTH {
            return Value::Null;
        }
        if let Some(value) = schema.get("const") {
            return value.clone();
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array).filter(|values| !values.is_empty()) {
            return values.get(self.pick(&place.path, values.len())).cloned().unwrap_or_default();
        }
        if let Some(options) = ["anyOf", "oneOf"].iter().find_map(|keyword| schema.get(*keyword)?.as_array()) {
            let option = options.iter().find(|option| kind(option) != "null").or(options.first());
            return option.map_or(Value::Null, |option| {
                self.value(option, &Place { path: format!("{}?", place.path), depth: place.depth + 1, ..*place })
            });
        }
        match kind(schema) {
            "object" => self.object(schema, place),
            "array" => self.array(schema, place),
            "string" => self.string(schema, place).into(),
            "integer" => self.integer(schema, place).into(),
            "number" => self.number(schema, place).into(),
            "boolean" => self.approves(place).into(),
            _ => Value::Null,
        }
    }

    fn object(&self, schema: &'a Value, place: &Place<'_>) -> Value {
        if let Some(evidence) = self.evidence(schema, place) {
            return evidence;
        }
        let mut object = Map::new();
        let parts =
            schema.get("allOf").and_then(Value::as_array).into_iter().flatten().map(|part| self.resolved(part, place.depth));
        for part in parts.chain([schema]) {
            for (name, property) in part.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let inner = Place { path: format!("{}/{name}", place.path), name, index: place.index, depth: place.depth + 1 };
                object.insert(name.clone(), self.value(property, &inner));
            }
        }
        object.into()
    }

    /// Piece and quote of an entry of evidence: words that are there.
    fn evidence(&self, schema: &Value, place: &Place<'_>) -> Option<Value> {
        let names = |name: &str| schema.pointer(&format!("/properties/{name}")).is_some();
        let quotable: Vec<_> = self.source.facts.pieces.iter().filter_map(|piece| Some((&piece.name, piece.quote()?))).collect();
        let (piece, quote) =
            quotable.get(place.index.checked_rem(quotable.len())?).filter(|_| names("piece") && names("quote"))?;
        Some(serde_json::json!({"piece": piece, "quote": quote}))
    }

    /// Whether an entry about the prompt's item of the same index can be approved.
    fn approves(&self, place: &Place<'_>) -> bool {
        let facts = self.source.facts;
        !(place.name == "approve" && facts.keys.get(place.index).is_some_and(|key| facts.failed.contains(key)))
    }

    fn array(&self, schema: &'a Value, place: &Place<'_>) -> Value {
        let Some(items) = schema.get("items") else { return Value::Array(Vec::new()) };
        let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok());
        let keyed = self.resolved(items, place.depth).pointer("/properties/key").is_some();
        let keys = &self.source.facts.keys;
        let wanted = match place.name {
            "targets" => self.source.targets,
            "gaps" => 0,
            _ if keyed && !keys.is_empty() => keys.len(),
            _ => USUAL_ITEMS,
        };
        let count = wanted.max(bound("minItems").unwrap_or(0)).min(bound("maxItems").unwrap_or(usize::MAX));
        let entry =
            |index: usize| Place { path: format!("{}/{index}", place.path), name: place.name, index, depth: place.depth + 1 };
        (0..count).map(|index| self.value(items, &entry(index))).collect()
    }

    fn integer(&self, schema: &Value, place: &Place<'_>) -> i64 {
        let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_f64);
        let lowest = bound("minimum").or(bound("exclusiveMinimum").map(|low| low + 1.0)).unwrap_or(1.0).ceil() as i64;
        let highest = bound("maximum").or(bound("exclusiveMaximum").map(|high| high - 1.0)).map(|high| high.floor() as i64);
        let highest = highest.unwrap_or_else(|| lowest.saturating_add(9)).max(lowest);
        let span = usize::try_from(highest.saturating_sub(lowest).saturating_add(1)).unwrap_or(usize::MAX);
        lowest.saturating_add(i64::try_from(self.pick(&place.path, span)).unwrap_or(0))
    }

    /// Between the bounds, in the upper half: numbers in answers are mostly confidences and scores.
    fn number(&self, schema: &Value, place: &Place<'_>) -> f64 {
        let bound = |keyword: &str, exclusive: &str| schema.get(keyword).or(schema.get(exclusive)).and_then(Value::as_f64);
        let lowest = bound("minimum", "exclusiveMinimum").unwrap_or(0.0);
        let highest = bound("maximum", "exclusiveMaximum").unwrap_or(lowest + 1.0).max(lowest);
        let share = 0.5 + self.pick(&place.path, 40) as f64 / 100.0;
        ((lowest + (highest - lowest) * share) * 100.0).round() / 100.0
    }

    fn string(&self, schema: &Value, place: &Place<'_>) -> String {
        let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
        let text = match format {
            "date-time" => "2026-01-02T03:04:05Z".to_owned(),
            "date" => "2026-01-02".to_owned(),
            "time" => "03:04:05Z".to_owned(),
            "duration" => "PT1H".to_owned(),
            "email" => format!("{}@example.com", self.who(place)),
            "uri" | "uri-reference" => format!("https://example.com/{}", self.who(place)),
            "hostname" => format!("{}.example.com", self.who(place)),
            "ipv4" => "192.0.2.1".to_owned(),
            "ipv6" => "2001:db8::1".to_owned(),
            "uuid" => "00000000-0000-4000-8000-000000000001".to_owned(),
            _ => self.word_or_sentence(place),
        };
        fitted(text, schema)
    }

    /// A number below `count`, the same for the same request and place.
    fn pick(&self, place: &str, count: usize) -> usize {
        pick(self.source.seed, place, count)
    }

    fn resolved(&self, schema: &'a Value, depth: usize) -> &'a Value {
        let mut schema = schema;
        for _ in depth..=MAX_DEPTH {
            let Some(target) = schema.get("$ref").and_then(Value::as_str) else { break };
            let Some(found) = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer)) else { break };
            schema = found;
        }
        schema
    }
}

/// A number below `count` from a hash of `seed` and `place`.
pub(crate) fn pick(seed: &str, place: &str, count: usize) -> usize {
    let hash = Sha256::digest(format!("{seed}\n{place}"));
    let number = hash.iter().take(6).fold(0_usize, |number, byte| number << 8 | usize::from(*byte));
    number.checked_rem(count).unwrap_or(0)
}

/// The type a value for `schema` gets; of several, the first that is not null.
fn kind(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or("null"),
        _ if schema.get("properties").is_some() || schema.get("allOf").is_some() => "object",
        _ if schema.get("items").is_some() => "array",
        _ => "string",
    }
}

/// Keeps to `minLength` and `maxLength`, also where they are only told in the description.
fn fitted(mut text: String, schema: &Value) -> String {
    let told = |before: &str| {
        let (_, after) = schema.get("description")?.as_str()?.rsplit_once(before)?;
        after.split_once(" characters")?.0.parse().ok()
    };
    let bound = |keyword: &str| schema.get(keyword).and_then(Value::as_u64).and_then(|bound| usize::try_from(bound).ok());
    let least: usize = bound("minLength").or_else(|| told("at least ")).unwrap_or(0).min(1_000_000);
    let most: usize = bound("maxLength").or_else(|| told("at most ")).unwrap_or(usize::MAX);
    while text.chars().count() < least {
        text = format!("{text} {text}");
    }
    match text.char_indices().nth(most) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PROMPT: &str = r#"[{"id": "e1", "type": "push", "data": {"sender": {"login": "octocat"}, "repository": {"name": "hello"}}},
        {"id": "e2", "type": "issues", "data": {"sender": {"login": "hubot"}, "repository": {"name": "hello"}}}]"#;

    fn made(prompt: &str, schema: Value) -> Value {
        let facts = Facts::read(prompt);
        value(&Source { seed: "seed", facts: &facts, targets: 5 }, &schema)
    }

    #[test]
    fn targets_have_their_number_and_unique_ids_from_the_events() {
        let schema = json!({"type": "object", "properties": {"targets": {"type": "array", "items":
            {"type": "object", "properties": {"id": {"type": "string"}, "title": {"type": "string"}}}}}});
        let answer = made(PROMPT, schema);
        let ids: Vec<&str> = answer["targets"].as_array().unwrap().iter().map(|target| target["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["octocat", "hubot", "hello", "octocat-2", "hubot-2"]);
        assert!(answer["targets"][1]["title"].as_str().unwrap().contains("hubot"), "{answer}");
    }

    #[test]
    fn a_notice_for_a_target_is_about_it() {
        let schema = json!({"type": "object", "properties": {"title": {"type": "string"}, "body": {"type": "string"}}});
        let answer = made(&format!(r#"{PROMPT} The target: {{"id": "hubot"}}"#), schema);
        assert!(
            answer["title"].as_str().unwrap().contains("issues") && answer["body"].as_str().unwrap().contains("e2"),
            "{answer}"
        );
    }

    #[test]
    fn a_review_has_one_item_per_key_of_the_prompt() {
        let schema = json!({"type": "object", "properties": {"items": {"type": "array", "items":
            {"type": "object", "properties": {"key": {"type": "string"}, "approve": {"type": "boolean"}, "reason": {"type": "string"}}}}}});
        let answer = made(r#"{"items": [{"key": "a"}, {"key": "b"}, {"key": "c"}, {"key": "d"}]}"#, schema);
        let keys: Vec<&str> = answer["items"].as_array().unwrap().iter().map(|item| item["key"].as_str().unwrap()).collect();
        assert_eq!(keys, ["a", "b", "c", "d"]);
        assert_eq!(answer["items"][0]["approve"], true);
    }

    #[test]
    fn a_review_withholds_what_failed() {
        let schema = json!({"type": "object", "properties": {"items": {"type": "array", "items":
            {"type": "object", "properties": {"key": {"type": "string"}, "approve": {"type": "boolean"}}}}}});
        let answer = made(r#"{"items": [{"key": "a", "phase": "Succeeded"}, {"key": "b", "phase": "Failed"}]}"#, schema);
        assert_eq!(answer["items"], json!([{"key": "a", "approve": true}, {"key": "b", "approve": false}]));
    }

    #[test]
    fn evidence_quotes_what_is_there() {
        let schema = json!({"type": "object", "properties": {"evidence": {"type": "array", "maxItems": 2, "items":
            {"type": "object", "properties": {"piece": {"type": "string"}, "quote": {"type": "string"}}}}}});
        let answer =
            made("<<<verdict of attempt 1 0123456789abcdef\nnames no reader\nverdict of attempt 1 0123456789abcdef>>>", schema);
        let one = json!({"piece": "verdict of attempt 1", "quote": "names no reader"});
        assert_eq!(answer["evidence"], json!([one, one]));
    }

    #[test]
    fn a_complete_context_has_no_gaps() {
        let schema = json!({"type": "object", "properties": {"complete": {"type": "boolean"}, "gaps": {"type": "array", "items": {"type": "object"}}}});
        assert_eq!(made(PROMPT, schema), json!({"complete": true, "gaps": []}));
    }

    #[test]
    fn bounds_are_kept() {
        let schema = json!({"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {
            "short": {"type": "string", "maxLength": 7}, "told": {"type": "string", "description": "x (at most 9 characters)"},
            "long": {"type": "string", "minLength": 300}, "few": {"type": "array", "maxItems": 1, "items": {"type": "string"}},
            "many": {"type": "array", "minItems": 9, "items": {"type": "integer", "minimum": 3, "maximum": 4}},
            "share": {"type": "number", "minimum": 0, "maximum": 1}, "maybe": {"anyOf": [{"type": "null"}, {"const": "x"}]},
            "kind": {"enum": ["a"]}, "either": {"type": ["null", "boolean"]},
        }}}});
        let answer = made(PROMPT, schema);
        assert_eq!(answer["short"].as_str().unwrap().chars().count(), 7);
        assert_eq!(answer["told"].as_str().unwrap().chars().count(), 9);
        assert!(answer["long"].as_str().unwrap().chars().count() >= 300);
        assert_eq!(answer["few"].as_array().unwrap().len(), 1);
        assert_eq!(answer["many"].as_array().unwrap().len(), 9);
        assert!((3..=4).contains(&answer["many"][0].as_i64().unwrap()));
        assert!((0.5..=0.9).contains(&answer["share"].as_f64().unwrap()));
        assert_eq!((&answer["maybe"], &answer["kind"], &answer["either"]), (&json!("x"), &json!("a"), &json!(true)));
    }

    #[test]
    fn the_same_request_gets_the_same_answer_and_another_one_another() {
        let schema = json!({"type": "object", "properties": {"text": {"type": "string"}, "more": {"type": "string"}}});
        assert_eq!(made(PROMPT, schema.clone()), made(PROMPT, schema.clone()));
        assert_ne!(made(PROMPT, schema.clone()), made("nothing", schema));
    }

    #[test]
    fn a_schema_that_holds_itself_ends() {
        made(PROMPT, json!({"type": "object", "properties": {"child": {"$ref": "#"}}}));
    }
}
