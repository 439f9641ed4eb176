//! What is known of a value before there is one.

use serde_json::Value;

/// Schemas may refer to themselves; deeper than this nothing is known.
const MAX_DEPTH: usize = 16;

/// Names and what is known of each.
pub(crate) type Fields = Vec<(String, Shape)>;

/// The field called `name`; of two, the later.
pub(crate) fn field<'f>(fields: &'f [(String, Shape)], name: &str) -> Option<&'f Shape> {
    fields.iter().rev().find(|(known, _)| known == name).map(|(_, shape)| shape)
}

/// What is known of a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Nothing.
    Any,
    /// Text, number, boolean or moment: has no parts.
    Scalar,
    /// Exactly these fields, in the order messages list them.
    Object(Fields),
    /// Names that only a batch or a model brings.
    Map,
    /// A list of such values.
    List(Box<Shape>),
    /// Such a value, or none.
    Maybe(Box<Shape>, Why),
}

/// When a value is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// `feedback`, on attempt 1.
    FirstAttempt,
    /// `output`, of a target that failed.
    FailedTarget,
    /// `error`, of a target that succeeded.
    SucceededTarget,
}

impl Why {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::FirstAttempt => "on attempt 1",
            Self::FailedTarget => "where the target failed",
            Self::SucceededTarget => "where the target succeeded",
        }
    }
}

impl Shape {
    pub(crate) fn object(fields: &[(&str, Shape)]) -> Self {
        Self::Object(fields.iter().map(|(name, shape)| ((*name).to_owned(), shape.clone())).collect())
    }

    /// What one pass of a loop sees.
    pub(crate) fn item(&self) -> Self {
        match self {
            Self::List(item) => (**item).clone(),
            _ => Self::Any,
        }
    }

    /// The same list, of entries none of whose parts is none.
    pub(crate) fn sifted(self) -> Self {
        let sure = |shape| if let Self::Maybe(inner, _) = shape { *inner } else { shape };
        match self {
            Self::List(item) => match *item {
                Self::Object(fields) => {
                    let fields = fields.into_iter().map(|(name, shape)| (name, sure(shape))).collect();
                    Self::List(Box::new(Self::Object(fields)))
                }
                other => Self::List(Box::new(other)),
            },
            other => other,
        }
    }

    /// Of a value that is there.
    pub(crate) fn of_value(value: &Value) -> Self {
        match value {
            Value::Null => Self::Any,
            Value::Bool(_) | Value::Number(_) | Value::String(_) => Self::Scalar,
            Value::Array(items) => match items.split_first() {
                Some((first, rest)) if rest.iter().all(|item| Self::of_value(item) == Self::of_value(first)) => {
                    Self::List(Box::new(Self::of_value(first)))
                }
                _ => Self::List(Box::new(Self::Any)),
            },
            Value::Object(fields) => {
                Self::Object(fields.iter().map(|(name, value)| (name.clone(), Self::of_value(value))).collect())
            }
        }
    }

    /// Of the values that are valid for `schema`. Properties a schema does not name count as unknown, unless it says that it
    /// takes others.
    pub(crate) fn of_schema(schema: &Value) -> Self {
        of_schema(schema, schema, 0)
    }
}

fn of_schema(root: &Value, schema: &Value, depth: usize) -> Shape {
    let Some(fields) = schema.as_object().filter(|_| depth <= MAX_DEPTH) else { return Shape::Any };
    if let Some(reference) = fields.get("$ref") {
        let target = reference.as_str().and_then(|path| root.pointer(path.strip_prefix('#')?));
        return target.map_or(Shape::Any, |target| of_schema(root, target, depth + 1));
    }
    if ["anyOf", "oneOf", "allOf", "if"].iter().any(|keyword| fields.contains_key(*keyword)) {
        return Shape::Any;
    }
    match fields.get("type").and_then(Value::as_str) {
        Some("string" | "number" | "integer" | "boolean") => Shape::Scalar,
        Some("array") => Shape::List(Box::new(fields.get("items").map_or(Shape::Any, |items| of_schema(root, items, depth + 1)))),
        Some("object") => {
            let open = !matches!(fields.get("additionalProperties"), None | Some(Value::Bool(false)));
            match fields.get("properties").and_then(Value::as_object) {
                Some(properties) if !open && !fields.contains_key("patternProperties") => Shape::Object(
                    properties.iter().map(|(name, property)| (name.clone(), of_schema(root, property, depth + 1))).collect(),
                ),
                _ => Shape::Map,
            }
        }
        _ => Shape::Any,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_tells_names_as_far_as_it_is_closed() {
        let schema = json!({
            "type": "object",
            "properties": {"targets": {"type": "array", "items": {"$ref": "#/$defs/T"}}, "notes": {"type": "object"}},
            "$defs": {"T": {"type": "object", "properties": {"id": {"type": "string"}, "next": {"$ref": "#/$defs/T"}}}},
        });
        let Shape::Object(fields) = Shape::of_schema(&schema) else { panic!("not an object") };
        assert_eq!(field(&fields, "notes"), Some(&Shape::Map));
        let Shape::Object(target) = field(&fields, "targets").unwrap().item() else { panic!("not a list of objects") };
        assert_eq!(field(&target, "id"), Some(&Shape::Scalar));
        assert_eq!(Shape::of_schema(&json!({"anyOf": []})), Shape::Any);
        assert_eq!(Shape::of_schema(&json!(true)), Shape::Any);
    }
}
