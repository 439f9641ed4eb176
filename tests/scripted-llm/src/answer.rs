//! From a recognised request and the rule that matched to an HTTP answer.

use std::convert::Infallible;

use axum::{
    Json,
    body::{Body, Bytes},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};

use crate::{
    call::{Call, Kind},
    facts::Facts,
    rules::{ErrorWords, Then},
    synth::{self, Source},
    verdict::verdict,
};

/// The answer to a chat request.
pub(crate) fn chat(call: &Call, then: &Then, targets: usize) -> Response {
    if let Some(response) = failure(then) {
        return response;
    }
    let message = match &then.refuse {
        Some(words) => json!({"role": "assistant", "content": null, "refusal": words}),
        None => json!({"role": "assistant", "content": content(call, then, targets), "refusal": null}),
    };
    let written = message["content"].as_str().or(message["refusal"].as_str()).unwrap_or_default();
    let (input, output) = (tokens(&call.text), tokens(written));
    let completion = json!({
        "id": format!("chatcmpl-{}", call.hash.get(..12).unwrap_or_default()),
        "object": "chat.completion",
        "created": 0,
        "model": call.model,
        "choices": [{"index": 0, "finish_reason": if then.malformed { "length" } else { "stop" }, "message": message}],
        "usage": {"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output},
    });
    if then.hangup { broken_off(&completion) } else { Json(completion).into_response() }
}

/// What a rule says instead of an answer.
pub(crate) fn failure(then: &Then) -> Option<Response> {
    if then.broken_body {
        return Some((StatusCode::OK, "<html><body>upstream is starting</body></html>").into_response());
    }
    let status = StatusCode::from_u16(then.status?).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = error(status, then.error.clone().unwrap_or_else(|| usual_words(status)));
    let wait = then.retry_after.as_ref().map(|wait| wait.as_str().map_or_else(|| wait.to_string(), str::to_owned));
    if let Some(wait) = wait.and_then(|wait| HeaderValue::try_from(wait).ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    Some(response)
}

/// An error as the protocol words it.
pub(crate) fn error(status: StatusCode, words: ErrorWords) -> Response {
    let kind = if status.is_server_error() { "server_error" } else { "invalid_request_error" };
    let error = json!({"message": words.message, "type": kind, "param": null, "code": words.code});
    (status, Json(json!({"error": error}))).into_response()
}

fn usual_words(status: StatusCode) -> ErrorWords {
    let (code, message) = match status.as_u16() {
        400 => ("invalid_request", "The request is not valid."),
        401 => ("invalid_api_key", "Incorrect API key provided."),
        403 => ("forbidden", "This key may not use this model."),
        404 => ("model_not_found", "The model does not exist."),
        429 => ("rate_limit_exceeded", "Rate limit reached for requests."),
        _ => ("scripted", "The script says so."),
    };
    ErrorWords { code: code.to_owned(), message: message.to_owned() }
}

fn content(call: &Call, then: &Then, targets: usize) -> String {
    if let Some(prose) = &then.prose {
        return prose.clone();
    }
    if let Some(json) = &then.json {
        return json.to_string();
    }
    let takes_text = call.schema.as_ref().is_some_and(|schema| schema.pointer("/properties/text").is_some());
    if let Some(text) = &then.text {
        return if takes_text { json!({"text": text}).to_string() } else { text.clone() };
    }
    let facts = Facts::read(&call.text);
    let source = Source { seed: &call.hash, facts: &facts, targets: then.targets.unwrap_or(targets) };
    let answer = match &call.schema {
        None => synth::prose(&source),
        Some(schema) if call.kind == Kind::Judge => verdict(&call.hash, schema, then).to_string(),
        Some(schema) => replaced(synth::value(&source, schema), then).to_string(),
    };
    if !then.malformed {
        return answer;
    }
    let half = answer.char_indices().nth(answer.chars().count() / 2).map_or(0, |(at, _)| at);
    answer.get(..half).unwrap_or_default().to_owned()
}

fn replaced(mut answer: Value, then: &Then) -> Value {
    if let (Some(answer), Some(fields)) = (answer.as_object_mut(), &then.replace) {
        answer.extend(fields.clone());
    }
    let items = answer.get_mut("items").and_then(Value::as_array_mut).into_iter().flatten().rev();
    for item in items.take(then.withhold.unwrap_or(0)).filter_map(Value::as_object_mut) {
        item.insert("approve".to_owned(), false.into());
        item.insert("reason".to_owned(), "Says the same as another one.".into());
    }
    answer
}

fn tokens(text: &str) -> usize {
    text.chars().count().div_ceil(4)
}

/// Promises the whole answer, sends half of it and breaks the connection.
fn broken_off(completion: &Value) -> Response {
    let whole = completion.to_string().into_bytes();
    let half = Bytes::copy_from_slice(whole.get(..whole.len() / 2).unwrap_or_default());
    let first = stream::iter([Ok::<_, std::io::Error>(half)]);
    // The pause lets the first half leave before the connection is torn down.
    let then = stream::once(async {
        tokio::task::yield_now().await;
        Err(std::io::Error::other("scripted hang-up"))
    });
    let headers = [(header::CONTENT_TYPE, "application/json".to_owned()), (header::CONTENT_LENGTH, whole.len().to_string())];
    (headers, Body::from_stream(first.chain(then))).into_response()
}

/// The list of models; any other name works too.
pub(crate) async fn models() -> Result<Json<Value>, Infallible> {
    Ok(Json(json!({"object": "list", "data": [{"id": "scripted", "object": "model", "created": 0, "owned_by": "trackway"}]})))
}
