//! The answer, read leniently: servers that call themselves compatible leave out, null or reshape nearly every field.

use serde_json::Value;

use crate::{dialect::AnswerFormat, repeat::Repeat, request::ChatRequest};

/// What a model answered.
#[derive(Clone, Debug, PartialEq)]
pub struct ChatReply {
    /// The answer's text; empty when the model refused or produced nothing.
    pub text: String,
    /// The model that answered, as the server names it; the model asked for when it names none.
    pub model_answered: String,
    /// Why the model stopped: `stop`, `length`, `content_filter`, …
    pub finish_reason: Option<String>,
    /// Tokens read and written.
    pub usage: Usage,
    /// The server's id of this answer.
    pub response_id: Option<String>,
    /// The model's words when it refuses to answer.
    pub refusal: Option<String>,
    /// How the answer's shape was asked for in the end.
    pub format: AnswerFormat,
    /// Repeats of the HTTP request before this answer, in order.
    pub repeats: Vec<Repeat>,
    /// From the first request's start to the last byte of the answer, waits included, in milliseconds.
    pub millis: u64,
}

/// Tokens of one answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the request.
    pub input: u64,
    /// Tokens of the answer.
    pub output: u64,
    /// True when the server told none and they were estimated as a quarter of the characters.
    pub estimated: bool,
}

/// What one HTTP answer said, before repeats and time are added.
pub(crate) struct Completion {
    pub(crate) text: String,
    pub(crate) model: Option<String>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) usage: Usage,
    pub(crate) id: Option<String>,
    pub(crate) refusal: Option<String>,
}

impl Completion {
    /// Reads a completion; `None` when there is no choice with a message in it.
    pub(crate) fn read(body: &Value, request: &ChatRequest) -> Option<Completion> {
        let choice = body.get("choices")?.get(0)?;
        let message = choice.get("message").and_then(Value::as_object)?;
        let text = text_of(message.get("content").unwrap_or(&Value::Null), "text");
        let refusal = string(message.get("refusal"))
            .or_else(|| Some(text_of(message.get("content")?, "refusal")))
            .filter(|words| !words.is_empty());
        let usage = usage(body.get("usage")).unwrap_or_else(|| estimate(request, &text));
        Some(Completion {
            text,
            model: string(body.get("model")).filter(|model| !model.is_empty()),
            finish_reason: string(choice.get("finish_reason")),
            usage,
            id: string(body.get("id")).filter(|id| !id.is_empty()),
            refusal,
        })
    }
}

/// Content is a string, null, or a list of parts of which those with the field `part` count.
fn text_of(content: &Value, part: &str) -> String {
    match content {
        Value::String(text) if part == "text" => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|item| item.get(part)?.as_str()).collect(),
        _ => String::new(),
    }
}

fn string(value: Option<&Value>) -> Option<String> {
    value?.as_str().map(str::to_owned)
}

fn usage(usage: Option<&Value>) -> Option<Usage> {
    let count = |field: &str| usage?.get(field)?.as_u64();
    Some(Usage { input: count("prompt_tokens")?, output: count("completion_tokens").unwrap_or_default(), estimated: false })
}

fn estimate(request: &ChatRequest, answer: &str) -> Usage {
    let asked: usize = request.messages.iter().map(|message| message.content.chars().count()).sum();
    let quarter = |characters: usize| characters.div_ceil(4) as u64;
    Usage { input: quarter(asked), output: quarter(answer.chars().count()), estimated: true }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::{Message, Parameters};

    fn read(body: Value) -> Option<Completion> {
        let request = ChatRequest {
            model: "m".into(),
            messages: vec![Message::user("12345678")],
            parameters: Parameters::default(),
            response_schema: None,
            timeout: Duration::from_secs(1),
        };
        Completion::read(&body, &request)
    }

    #[test]
    fn a_full_answer_is_read() {
        let completion = read(json!({
            "id": "r1", "model": "m-2026", "usage": {"prompt_tokens": 3, "completion_tokens": 4},
            "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "hi", "refusal": null}}],
        }))
        .unwrap();
        assert_eq!((completion.text.as_str(), completion.model.as_deref()), ("hi", Some("m-2026")));
        assert_eq!(completion.usage, Usage { input: 3, output: 4, estimated: false });
        assert_eq!((completion.id.as_deref(), completion.refusal), (Some("r1"), None));
    }

    #[test]
    fn a_bare_answer_is_enough_and_its_tokens_are_estimated() {
        let completion = read(json!({"choices": [{"message": {"content": "hello"}}], "usage": null})).unwrap();
        assert_eq!(completion.usage, Usage { input: 2, output: 2, estimated: true });
        assert_eq!((completion.model, completion.finish_reason, completion.id), (None, None, None));
    }

    #[test]
    fn content_in_parts_is_joined() {
        let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        assert_eq!(read(json!({"choices": [{"message": {"content": parts}}]})).unwrap().text, "ab");
        let refused = read(json!({"choices": [{"message": {"content": [{"type": "refusal", "refusal": "no"}]}}]})).unwrap();
        assert_eq!((refused.text.as_str(), refused.refusal.as_deref()), ("", Some("no")));
    }

    #[test]
    fn without_a_choice_there_is_no_answer() {
        assert!(read(json!({"choices": []})).is_none());
        assert!(read(json!("hello")).is_none());
    }
}
