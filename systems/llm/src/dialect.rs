//! What a server turned out not to understand, per model, so that it is asked once.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use crate::request::ChatRequest;

/// How the answer's shape was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AnswerFormat {
    /// `response_format: {type: json_schema}`, the server enforces the schema.
    JsonSchema,
    /// `response_format: {type: json_object}`, the schema is told in words.
    JsonObject,
    /// No `response_format`; with a schema, it is told in words.
    Plain,
}

/// The name under which a server takes the limit of output tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenField {
    MaxTokens,
    MaxCompletionTokens,
}

/// The variant of the protocol one model is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) format: AnswerFormat,
    pub(crate) tokens: TokenField,
}

impl Default for Dialect {
    fn default() -> Self {
        Dialect { format: AnswerFormat::JsonSchema, tokens: TokenField::MaxTokens }
    }
}

impl Dialect {
    /// The next dialect to try after a 400 or 422 with these words, or `None` when the refusal is about something else.
    /// Each step goes one way, so a request is written at most four times.
    pub(crate) fn after_refusal(self, request: &ChatRequest, words: &str) -> Option<Dialect> {
        let words = words.to_lowercase();
        let about_tokens = words.contains("max_completion_tokens") || words.contains("'max_tokens'");
        if self.tokens == TokenField::MaxTokens && request.parameters.max_output_tokens.is_some() && about_tokens {
            return Some(Dialect { tokens: TokenField::MaxCompletionTokens, ..self });
        }
        request.response_schema.as_ref()?;
        let about_format = ["response_format", "json_schema", "json_object", "structured output", "guided"];
        if !about_format.iter().any(|word| words.contains(word)) {
            return None;
        }
        match self.format {
            AnswerFormat::JsonSchema => Some(Dialect { format: AnswerFormat::JsonObject, ..self }),
            AnswerFormat::JsonObject => Some(Dialect { format: AnswerFormat::Plain, ..self }),
            AnswerFormat::Plain => None,
        }
    }
}

/// Dialects by model. One schema a server cannot take must not cost the others their enforcement, see
/// [`Dialects::remember`].
#[derive(Debug, Default)]
pub(crate) struct Dialects(Mutex<BTreeMap<String, Dialect>>);

impl Dialects {
    pub(crate) fn of(&self, model: &str) -> Dialect {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(model).copied().unwrap_or_default()
    }

    /// Keeps `dialect` for later requests, unless the refusal was about this one schema.
    pub(crate) fn remember(&self, model: &str, dialect: Dialect, words: &str) {
        if !words.to_lowercase().contains("invalid schema") {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(model.to_owned(), dialect);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{Message, NamedSchema, Parameters};

    fn request() -> ChatRequest {
        ChatRequest {
            model: "m".into(),
            messages: vec![Message::user("hello")],
            parameters: Parameters { max_output_tokens: Some(10), ..Parameters::default() },
            response_schema: Some(NamedSchema { name: "output".into(), schema: json!({"type": "object"}) }),
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn a_refused_format_walks_down_and_ends() {
        let words = "'response_format' of type 'json_schema' is not supported with this model";
        let object = Dialect::default().after_refusal(&request(), words).unwrap();
        assert_eq!(object.format, AnswerFormat::JsonObject);
        let plain = object.after_refusal(&request(), words).unwrap();
        assert_eq!(plain.format, AnswerFormat::Plain);
        assert_eq!(plain.after_refusal(&request(), words), None);
    }

    #[test]
    fn a_refused_token_field_changes_only_its_name() {
        let words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.";
        let next = Dialect::default().after_refusal(&request(), words).unwrap();
        assert_eq!(next, Dialect { format: AnswerFormat::JsonSchema, tokens: TokenField::MaxCompletionTokens });
    }

    #[test]
    fn a_refusal_about_anything_else_changes_nothing() {
        assert_eq!(Dialect::default().after_refusal(&request(), "temperature must be at most 2"), None);
    }

    #[test]
    fn one_invalid_schema_is_not_held_against_the_model() {
        let dialects = Dialects::default();
        let object = Dialect { format: AnswerFormat::JsonObject, ..Dialect::default() };
        dialects.remember("m", object, "Invalid schema for response_format 'output'");
        assert_eq!(dialects.of("m"), Dialect::default());
        dialects.remember("m", object, "json_schema is not supported");
        assert_eq!(dialects.of("m"), object);
        assert_eq!(dialects.of("other"), Dialect::default());
    }
}
