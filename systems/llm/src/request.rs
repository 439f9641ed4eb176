//! What a caller asks for, and the JSON body it becomes.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    dialect::{AnswerFormat, Dialect, TokenField},
    strict::strict_schema,
};

/// One question to a model.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    /// The model's name as the server knows it.
    pub model: String,
    /// The conversation so far, oldest first.
    pub messages: Vec<Message>,
    /// Sampling parameters; what is `None` is not sent.
    pub parameters: Parameters,
    /// The JSON Schema the answer should follow. Servers may ignore it: validate the answer.
    pub response_schema: Option<NamedSchema>,
    /// The longest one HTTP request may take, from connecting to the last byte of its answer.
    pub timeout: Duration,
}

/// Sampling parameters of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters {
    /// Sampling temperature, usually 0 to 2.
    pub temperature: Option<f64>,
    /// Upper bound of tokens in the answer.
    pub max_output_tokens: Option<u32>,
    /// Asks the server for reproducible sampling, where it can.
    pub seed: Option<i64>,
}

/// A schema and the name a server sees for it: 1 to 64 of `A-Z a-z 0-9 _ -`.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedSchema {
    /// The name, for example `output` or `verdict`.
    pub name: String,
    /// A JSON Schema of an object.
    pub schema: Value,
}

/// One message of the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// Who speaks in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions.
    System,
    /// The question and its data.
    User,
    /// An earlier answer of the model, as in a repair turn.
    Assistant,
}

impl Message {
    /// An instruction.
    pub fn system(content: impl Into<String>) -> Message {
        Message { role: Role::System, content: content.into() }
    }

    /// A question with its data.
    pub fn user(content: impl Into<String>) -> Message {
        Message { role: Role::User, content: content.into() }
    }

    /// An earlier answer of the model.
    pub fn assistant(content: impl Into<String>) -> Message {
        Message { role: Role::Assistant, content: content.into() }
    }
}

/// The body of `POST /chat/completions`.
#[derive(Serialize)]
pub(crate) struct Body<'a> {
    model: &'a str,
    messages: Vec<Message>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<Value>,
}

impl<'a> Body<'a> {
    /// Writes `request` in the dialect its server understands.
    pub(crate) fn new(request: &'a ChatRequest, dialect: Dialect) -> Body<'a> {
        let limit = request.parameters.max_output_tokens;
        let mut messages = request.messages.clone();
        let response_format = request.response_schema.as_ref().and_then(|named| match dialect.format {
            AnswerFormat::JsonSchema => {
                let strict = strict_schema(&named.schema);
                let schema = json!({"name": named.name, "schema": strict.schema, "strict": strict.strict});
                Some(json!({"type": "json_schema", "json_schema": schema}))
            }
            AnswerFormat::JsonObject => {
                messages.push(schema_in_words(named));
                Some(json!({"type": "json_object"}))
            }
            AnswerFormat::Plain => {
                messages.push(schema_in_words(named));
                None
            }
        });
        Body {
            model: &request.model,
            messages,
            temperature: request.parameters.temperature,
            max_tokens: limit.filter(|_| dialect.tokens == TokenField::MaxTokens),
            max_completion_tokens: limit.filter(|_| dialect.tokens == TokenField::MaxCompletionTokens),
            seed: request.parameters.seed,
            response_format,
        }
    }
}

/// Where the server takes no schema, the model is told it. The word JSON is required by servers that know `json_object`.
fn schema_in_words(named: &NamedSchema) -> Message {
    let NamedSchema { name, schema } = named;
    Message::system(format!(
        "Answer with one JSON object and nothing else. It must be valid for the JSON Schema {name:?}:\n{schema}"
    ))
}
