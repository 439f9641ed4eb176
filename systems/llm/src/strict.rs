//! Turns a JSON Schema into the subset servers can enforce: closed objects with every property required, no references,
//! only keywords of the strict subset. What is left out is told in the description, and holds because callers validate
//! the answer against the original schema.

use serde_json::{Map, Value};

/// A schema for `response_format`, and whether it keeps to the strict subset.
#[derive(Clone, Debug, PartialEq)]
pub struct StrictSchema {
    /// The schema to send: transformed, or the original when it cannot be expressed.
    pub schema: Value,
    /// False when the original holds what strict mode cannot say (maps, recursion, `not`, …); it is sent as a guide then.
    pub strict: bool,
}

/// Keywords copied as they are. All others are dropped, told in words, or make the schema inexpressible.
const COPIED: [&str; 9] =
    ["enum", "const", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minItems", "maxItems"];
/// Bounds of texts are told in words: servers differ in which of them they refuse.
const TOLD: [(&str, &str); 5] = [
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("pattern", "matching {}"),
    ("format", "in the format {}"),
    ("uniqueItems", "without repetitions"),
];
/// Constraints the strict subset has no words for.
const INEXPRESSIBLE: [&str; 11] = [
    "not",
    "if",
    "patternProperties",
    "dependentRequired",
    "dependentSchemas",
    "prefixItems",
    "contains",
    "propertyNames",
    "unevaluatedProperties",
    "minProperties",
    "maxProperties",
];
const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 5_000;

/// Makes `schema` strict: `additionalProperties: false`, all properties required, references inlined, other keywords
/// stripped. An optional property becomes a required one, never a nullable one: null would not be valid for the original.
pub fn strict_schema(schema: &Value) -> StrictSchema {
    let mut walk = Walk { root: schema, nodes: 0 };
    match walk.node(schema, 0) {
        Some(strict) => StrictSchema { schema: strict, strict: true },
        None => StrictSchema { schema: schema.clone(), strict: false },
    }
}

struct Walk<'a> {
    root: &'a Value,
    nodes: usize,
}

impl Walk<'_> {
    /// One schema, or `None` when the subset cannot express it. Recursion ends at the depth limit.
    fn node(&mut self, schema: &Value, depth: usize) -> Option<Value> {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return None;
        }
        let schema = self.resolved(schema.as_object()?, depth)?;
        if INEXPRESSIBLE.iter().any(|keyword| schema.contains_key(*keyword)) {
            return None;
        }
        let mut strict = Map::new();
        if let Some(description) = description(&schema) {
            strict.insert("description".into(), description.into());
        }
        if let Some(any) = schema.get("anyOf").or_else(|| schema.get("oneOf")) {
            let options: Option<Vec<Value>> = any.as_array()?.iter().map(|option| self.node(option, depth + 1)).collect();
            strict.insert("anyOf".into(), options?.into());
            return Some(strict.into());
        }
        for keyword in COPIED {
            if let Some(value) = schema.get(keyword) {
                strict.insert(keyword.into(), value.clone());
            }
        }
        self.shape(&schema, &mut strict, depth)?;
        Some(strict.into())
    }

    /// Type, properties and items.
    fn shape(&mut self, schema: &Map<String, Value>, strict: &mut Map<String, Value>, depth: usize) -> Option<()> {
        let values = schema.contains_key("enum") || schema.contains_key("const");
        let kind = match schema.get("type") {
            Some(kind) => kind.clone(),
            None if schema.contains_key("properties") => "object".into(),
            None if schema.contains_key("items") => "array".into(),
            None if values => return Some(()),
            None => return None,
        };
        if names(&kind, "object") {
            let properties = schema.get("properties")?.as_object().filter(|properties| !properties.is_empty())?;
            let mut closed = Map::new();
            for (name, property) in properties {
                closed.insert(name.clone(), self.node(property, depth + 1)?);
            }
            let required: Vec<Value> = closed.keys().map(|name| name.as_str().into()).collect();
            strict.insert("properties".into(), closed.into());
            strict.insert("required".into(), required.into());
            strict.insert("additionalProperties".into(), false.into());
        }
        if names(&kind, "array") {
            strict.insert("items".into(), self.node(schema.get("items")?, depth + 1)?);
        }
        strict.insert("type".into(), kind);
        Some(())
    }

    /// The schema with its `$ref` and a single `allOf` merged in; what stands beside them wins.
    fn resolved(&self, schema: &Map<String, Value>, depth: usize) -> Option<Map<String, Value>> {
        if depth > MAX_DEPTH {
            return None;
        }
        let mut rest = schema.clone();
        let target = match (rest.remove("$ref"), rest.remove("allOf")) {
            (None, None) => return Some(rest),
            (Some(reference), None) => self.root.pointer(reference.as_str()?.strip_prefix('#')?)?.as_object()?.clone(),
            (None, Some(Value::Array(all))) if all.len() == 1 => all.first()?.as_object()?.clone(),
            _ => return None,
        };
        let mut merged = self.resolved(&target, depth + 1)?;
        merged.extend(rest);
        Some(merged)
    }
}

/// Whether a `type`, one name or a list of them, includes `name`.
fn names(kind: &Value, name: &str) -> bool {
    kind == name || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == name))
}

fn description(schema: &Map<String, Value>) -> Option<String> {
    let mut parts: Vec<String> = schema.get("description").and_then(Value::as_str).map(str::to_owned).into_iter().collect();
    for (keyword, words) in TOLD {
        match schema.get(keyword) {
            None | Some(Value::Bool(false)) => {}
            Some(Value::String(text)) => parts.push(format!("({})", words.replace("{}", text))),
            Some(value) => parts.push(format!("({})", words.replace("{}", &value.to_string()))),
        }
    }
    (!parts.is_empty()).then(|| parts.join(" "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(schema: Value, expected: Value) {
        assert_eq!(strict_schema(&schema), StrictSchema { schema: expected, strict: true });
    }

    #[test]
    fn objects_are_closed_and_all_their_properties_required() {
        check(
            json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Output", "type": "object",
                "properties": {"a": {"type": "string", "default": "x"}, "b": {"type": "integer", "minimum": 0, "format": "uint32"}},
                "required": ["a"],
            }),
            json!({
                "type": "object", "additionalProperties": false, "required": ["a", "b"],
                "properties": {
                    "a": {"type": "string"},
                    "b": {"type": "integer", "minimum": 0, "description": "(in the format uint32)"},
                },
            }),
        );
    }

    #[test]
    fn references_are_inlined_and_what_stands_beside_them_wins() {
        check(
            json!({
                "type": "object", "properties": {"a": {"$ref": "#/$defs/A", "description": "mine"}, "b": {"allOf": [{"$ref": "#/$defs/A"}]}},
                "$defs": {"A": {"type": "string", "enum": ["x", "y"], "description": "theirs"}},
            }),
            json!({
                "type": "object", "additionalProperties": false, "required": ["a", "b"],
                "properties": {
                    "a": {"type": "string", "enum": ["x", "y"], "description": "mine"},
                    "b": {"type": "string", "enum": ["x", "y"], "description": "theirs"},
                },
            }),
        );
    }

    #[test]
    fn bounds_that_servers_refuse_are_told_in_words() {
        check(
            json!({"type": "array", "maxItems": 3, "uniqueItems": true,
                "items": {"type": ["string", "null"], "maxLength": 80, "pattern": "^a", "description": "A title"}}),
            json!({"type": "array", "maxItems": 3, "description": "(without repetitions)",
                "items": {"type": ["string", "null"], "description": "A title (at most 80 characters) (matching ^a)"}}),
        );
    }

    #[test]
    fn one_of_becomes_any_of() {
        check(json!({"oneOf": [{"const": "a"}, {"type": "null"}]}), json!({"anyOf": [{"const": "a"}, {"type": "null"}]}));
    }

    #[test]
    fn what_strict_cannot_say_is_sent_as_it_is() {
        for schema in [
            json!({"type": "object"}),
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"type": "object", "properties": {"child": {"$ref": "#"}}}),
            json!({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}),
            json!({"type": "string", "not": {"const": "x"}}),
            json!({"$ref": "https://example.com/schema.json"}),
            json!({"type": "array"}),
            json!(true),
        ] {
            assert_eq!(strict_schema(&schema), StrictSchema { schema: schema.clone(), strict: false });
        }
    }
}
