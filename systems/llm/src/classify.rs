//! From an HTTP answer that is no completion to a class, a reason and a sentence.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;

use crate::error::{LlmError, PermanentReason, TransientReason};

/// Longest part of a server's words that enters a message.
const MAX_WORDS: usize = 300;

/// What a server said when it said no.
pub(crate) struct Refusal {
    /// Error code or type, lower case, empty when none was told.
    code: String,
    /// Its message, or the body's text.
    pub(crate) words: String,
}

impl Refusal {
    /// Reads the shapes servers use: `{"error": {message, code, type}}`, `{"error": "…"}`, `{"message"}`, `{"detail"}`, text.
    pub(crate) fn read(body: &str) -> Refusal {
        let json: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        let error = json.get("error").unwrap_or(&json);
        let field = |name: &str| error.get(name).filter(|value| !value.is_null());
        let code = ["code", "type"].iter().filter_map(|name| field(name)).map(plain).collect::<Vec<_>>().join(" ");
        let words = field("message").or_else(|| field("detail")).map_or_else(|| plain(error), plain);
        let words = if json.is_null() { body.trim().to_owned() } else { words };
        Refusal { code: code.to_lowercase(), words }
    }

    fn says(&self, any: &[&str]) -> bool {
        let words = self.words.to_lowercase();
        any.iter().any(|part| self.code.contains(part) || words.contains(part))
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The error for an answer with `status`; `place` says who was asked for what.
pub(crate) fn classify(status: StatusCode, refusal: &Refusal, retry_after: Option<Duration>, place: &str) -> LlmError {
    match class(status, refusal) {
        Ok((reason, advice)) => LlmError::transient(reason, sentence(status, refusal, place, advice), retry_after),
        Err((reason, advice)) => LlmError::permanent(reason, sentence(status, refusal, place, advice)),
    }
}

type Class = Result<(TransientReason, &'static str), (PermanentReason, &'static str)>;

/// Transient is `Ok`, permanent is `Err`; beside the reason, what to do about it.
fn class(status: StatusCode, refusal: &Refusal) -> Class {
    use PermanentReason as Permanent;
    use TransientReason as Transient;
    let quota = ["insufficient_quota", "exceeded your current quota", "insufficient balance", "billing"];
    match status.as_u16() {
        402 => Err((Permanent::QuotaExhausted, "Add credit to the account, or use another endpoint.")),
        403 | 429 if refusal.says(&quota) => {
            Err((Permanent::QuotaExhausted, "Raise the account's quota, or use another endpoint."))
        }
        429 => Ok((Transient::RateLimited, "Lower the load on this endpoint, or raise its rate limit.")),
        408 => Ok((Transient::Timeout, "The server waited too long for the request.")),
        409 => Ok((Transient::Conflict, "The server asked to try again.")),
        500..=599 => Ok((Transient::ServerError, "See the server's own logs if this lasts.")),
        401 => Err((Permanent::Unauthorized, "Check the key the endpoint's apiKeySecretRef names.")),
        403 => Err((Permanent::Forbidden, "Give the key access to this model, or use another key.")),
        404 | 405 => Err((
            Permanent::NotFound,
            "Check the model's name and that baseURL ends where /chat/completions and /embeddings begin.",
        )),
        413 => Err((Permanent::ContextLength, "Shorten the prompt: fewer or smaller events, or truncate them.")),
        300..=399 => Err((Permanent::Redirected, "Redirects are not followed: set baseURL to the final address.")),
        _ if refusal.says(&["context_length", "context length", "maximum context", "context window", "prompt is too long"]) => {
            Err((Permanent::ContextLength, "Shorten the prompt, lower maxOutputTokens, or use a model with a longer context."))
        }
        _ if refusal.says(&["content_filter", "content_policy", "content management policy"]) => {
            Err((Permanent::Refused, "The server's content filter refuses this prompt: change it."))
        }
        _ => Err((Permanent::BadRequest, "Check the model's parameters, the prompt and the output schema.")),
    }
}

fn sentence(status: StatusCode, refusal: &Refusal, place: &str, advice: &str) -> String {
    let words = shortened(&refusal.words);
    let said = if words.is_empty() { String::new() } else { format!(": {words}") };
    let end = if said.ends_with(['.', '!', '?', '…']) { "" } else { "." };
    format!("{place} answered {status}{said}{end} {advice}")
}

/// One line of at most [`MAX_WORDS`] characters.
pub(crate) fn shortened(words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_WORDS) {
        None => line,
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default().trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(status: u16, body: &str) -> String {
        let error = classify(StatusCode::from_u16(status).unwrap(), &Refusal::read(body), None, "POST http://llm/v1 (model m)");
        format!("{} {}", if error.is_transient() { "transient" } else { "permanent" }, error.reason())
    }

    #[test]
    fn every_status_has_its_class() {
        for (status, body, expected) in [
            (408, "", "transient Timeout"),
            (409, "", "transient Conflict"),
            (429, r#"{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}"#, "transient RateLimited"),
            (
                429,
                r#"{"error": {"message": "You exceeded your current quota", "type": "insufficient_quota"}}"#,
                "permanent QuotaExhausted",
            ),
            (402, "", "permanent QuotaExhausted"),
            (500, "oops", "transient ServerError"),
            (503, "", "transient ServerError"),
            (529, r#"{"type": "error", "error": {"type": "overloaded_error"}}"#, "transient ServerError"),
            (400, r#"{"error": "temperature must be below 2"}"#, "permanent BadRequest"),
            (400, r#"{"error": {"code": "context_length_exceeded", "message": "too long"}}"#, "permanent ContextLength"),
            (400, r#"{"message": "This model's maximum context length is 8192 tokens"}"#, "permanent ContextLength"),
            (400, r#"{"error": {"code": "content_filter", "message": "filtered"}}"#, "permanent Refused"),
            (413, "", "permanent ContextLength"),
            (422, r#"{"detail": [{"loc": ["body"]}]}"#, "permanent BadRequest"),
            (401, "", "permanent Unauthorized"),
            (403, "", "permanent Forbidden"),
            (404, r#"{"detail": "Not Found"}"#, "permanent NotFound"),
            (302, "", "permanent Redirected"),
        ] {
            assert_eq!(reason(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn messages_say_who_what_and_what_to_do() {
        let refusal = Refusal::read(r#"{"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}"#);
        let error = classify(StatusCode::UNAUTHORIZED, &refusal, None, "POST http://llm/v1/chat/completions (model m)");
        assert_eq!(
            error.to_string(),
            "POST http://llm/v1/chat/completions (model m) answered 401 Unauthorized: Incorrect API key provided. \
             Check the key the endpoint's apiKeySecretRef names."
        );
    }

    #[test]
    fn long_bodies_are_cut() {
        let error = classify(StatusCode::BAD_GATEWAY, &Refusal::read(&"ä\n".repeat(5_000)), None, "POST u (model m)");
        assert!(error.to_string().chars().count() < 420, "{error}");
        assert!(error.to_string().contains("ä…"), "{error}");
    }
}
