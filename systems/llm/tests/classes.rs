//! The client against the scripted server: one story per class of failure the contracts name.

// clippy allows these in test functions, but not in the helpers beside them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::json;
use trackway_llm::{
    AnswerFormat, ChatReply, ChatRequest, Endpoint, LlmClient, LlmError, Message, NamedSchema, Parameters, PermanentReason,
    RepeatPolicy, TransientReason, parse_json_answer,
};
use trackway_scripted_llm::{CallState, Kind, Rules, ScriptedLlm, When};

const KEY: &str = "sk-not-to-be-shown";

struct Story {
    llm: ScriptedLlm,
    client: LlmClient,
}

impl Story {
    async fn with(rules: &str) -> Story {
        let llm = ScriptedLlm::start("127.0.0.1:0", Rules::from_yaml(rules).unwrap()).await.unwrap();
        let mut endpoint = Endpoint::at(llm.base_url());
        endpoint.api_key = Some(KEY.into());
        Story { client: LlmClient::new(endpoint).unwrap(), llm }
    }

    async fn ask(&self, request: &ChatRequest) -> Result<ChatReply, LlmError> {
        self.ask_within(request, Duration::from_secs(60)).await
    }

    async fn ask_within(&self, request: &ChatRequest, max_total_wait: Duration) -> Result<ChatReply, LlmError> {
        let policy = RepeatPolicy { max_total_wait, first_wait: Duration::from_millis(1), ..RepeatPolicy::default() };
        self.client.chat(request, &policy, &BTreeMap::new()).await
    }

    async fn transient(&self, request: &ChatRequest, max_total_wait: Duration) -> trackway_llm::TransientError {
        match self.ask_within(request, max_total_wait).await {
            Err(LlmError::Transient(error)) => error,
            other => panic!("expected a transient error, got {other:?}"),
        }
    }

    async fn permanent(&self, request: &ChatRequest) -> trackway_llm::PermanentError {
        match self.ask(request).await {
            Err(LlmError::Permanent(error)) => error,
            other => panic!("expected a permanent error, got {other:?}"),
        }
    }
}

fn plain(text: &str) -> ChatRequest {
    ChatRequest {
        model: "writer-1".into(),
        messages: vec![Message::system("You write."), Message::user(text)],
        parameters: Parameters { temperature: Some(0.2), max_output_tokens: Some(500), seed: Some(1) },
        response_schema: None,
        timeout: Duration::from_secs(20),
    }
}

fn structured(text: &str) -> ChatRequest {
    let schema =
        json!({"type": "object", "properties": {"text": {"type": "string"}, "count": {"type": "integer", "minimum": 1}}});
    ChatRequest { response_schema: Some(NamedSchema { name: "output".into(), schema }), ..plain(text) }
}

#[tokio::test]
async fn a_plain_question_is_answered_and_counted() {
    let story = Story::with("").await;
    let reply = story.ask(&plain("Tell me about the batch.")).await.unwrap();
    assert!(!reply.text.is_empty());
    assert_eq!((reply.model_answered.as_str(), reply.finish_reason.as_deref()), ("writer-1", Some("stop")));
    assert!(reply.usage.input > 0 && reply.usage.output > 0 && !reply.usage.estimated);
    assert!(reply.response_id.is_some() && reply.refusal.is_none() && reply.repeats.is_empty());
}

#[tokio::test]
async fn a_structured_question_is_answered_with_an_object_of_its_schema() {
    let story = Story::with("").await;
    let reply = story.ask(&structured("Write.")).await.unwrap();
    let answer = parse_json_answer(&reply.text).unwrap();
    assert!(answer["text"].is_string() && answer["count"].is_u64(), "{answer}");
    assert_eq!(reply.format, AnswerFormat::JsonSchema);
}

#[tokio::test]
async fn headers_of_the_caller_arrive() {
    let story = Story::with("").await;
    let headers = [("x-trackway-run", "uid-1"), ("x-trackway-stage", "insights"), ("x-trackway-attempt", "2")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    story.client.chat(&plain("x"), &RepeatPolicy::default(), &headers).await.unwrap();
    let counts = story.llm.counts();
    assert_eq!(
        (counts.len(), counts[0].run.as_str(), counts[0].stage.as_str(), counts[0].attempt.as_str()),
        (1, "uid-1", "insights", "2")
    );
}

#[tokio::test]
async fn a_busy_server_is_asked_again_after_the_time_it_names() {
    let story = Story::with("- {name: busy, then: {status: 429, retryAfter: 1}, times: 1}").await;
    let started = Instant::now();
    let reply = story.ask(&plain("x")).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!((reply.repeats.len(), reply.repeats[0].reason, reply.repeats[0].waited_millis), (1, "RateLimited", 1000));
    assert_eq!(story.llm.calls().len(), 2);
}

#[tokio::test]
async fn a_server_that_stays_busy_is_left_alone_when_the_waits_are_used_up() {
    let story = Story::with("- {name: busy, then: {status: 429, retryAfter: 0.1}}").await;
    let error = story.transient(&plain("x"), Duration::from_millis(350)).await;
    assert_eq!((error.reason, error.repeats.len()), (TransientReason::RateLimited, 3));
    assert_eq!(error.retry_after, Some(Duration::from_millis(100)));
    assert!(error.repeats.iter().map(|repeat| repeat.waited_millis).sum::<u64>() <= 350);
    assert_eq!(story.llm.calls().len(), 4);
}

#[tokio::test]
async fn a_wait_longer_than_the_budget_is_not_begun_but_told() {
    let story = Story::with("- {name: busy, then: {status: 429, retryAfter: 3600}}").await;
    let error = story.transient(&plain("x"), Duration::from_secs(60)).await;
    assert_eq!((error.retry_after, error.repeats.len()), (Some(Duration::from_secs(3600)), 0));
}

#[tokio::test]
async fn passing_failures_are_repeated_and_reported() {
    for (then, reason) in [
        ("{status: 500}", "ServerError"),
        ("{status: 503}", "ServerError"),
        ("{status: 408}", "Timeout"),
        ("{status: 409}", "Conflict"),
        ("{hangup: true}", "ConnectionLost"),
    ] {
        let story = Story::with(&format!("- {{name: fault, then: {then}, times: 2}}")).await;
        let reply = story.ask(&plain("x")).await.unwrap();
        let reasons: Vec<&str> = reply.repeats.iter().map(|repeat| repeat.reason).collect();
        assert_eq!(reasons, [reason, reason], "{then}");
    }
}

#[tokio::test]
async fn a_server_that_is_down_for_ever_is_a_transient_error() {
    let story = Story::with("- {name: down, then: {status: 500, error: {code: x, message: no disk}}}").await;
    let error = story.transient(&plain("x"), Duration::from_millis(30)).await;
    assert_eq!(error.reason, TransientReason::ServerError);
    assert!(!error.repeats.is_empty());
    let place = format!("POST {}/chat/completions (model writer-1)", story.llm.base_url());
    assert_eq!(
        error.to_string(),
        format!("{place} answered 500 Internal Server Error: no disk. See the server's own logs if this lasts.")
    );
}

#[tokio::test]
async fn failures_that_stay_are_asked_once() {
    for (then, reason) in [
        ("{status: 400}", PermanentReason::BadRequest),
        ("{status: 401}", PermanentReason::Unauthorized),
        ("{status: 402}", PermanentReason::QuotaExhausted),
        ("{status: 403}", PermanentReason::Forbidden),
        ("{status: 404}", PermanentReason::NotFound),
        ("{status: 307}", PermanentReason::Redirected),
        ("{status: 429, error: {code: insufficient_quota}}", PermanentReason::QuotaExhausted),
        ("{status: 400, error: {code: context_length_exceeded}}", PermanentReason::ContextLength),
    ] {
        let story = Story::with(&format!("- {{name: fault, then: {then}}}")).await;
        let error = story.permanent(&plain("x")).await;
        assert_eq!((error.reason, error.repeats.len()), (reason, 0), "{then}");
        assert_eq!(story.llm.calls().len(), 1, "{then}");
    }
}

#[tokio::test]
async fn a_key_echoed_by_the_server_is_shown_nowhere() {
    let story =
        Story::with(&format!("- {{name: echo, then: {{status: 401, error: {{message: 'Key {KEY} is unknown'}}}}}}")).await;
    let error = story.permanent(&plain("x")).await;
    assert!(error.to_string().contains("Key [redacted] is unknown"), "{error}");
    assert!(!format!("{error:?}{:?}", story.client).contains(KEY));
}

#[tokio::test]
async fn an_answer_that_is_no_completion_is_malformed_and_not_repeated() {
    let story = Story::with("- {name: html, then: {brokenBody: true}}").await;
    let error = story.transient(&plain("x"), Duration::from_secs(60)).await;
    assert_eq!((error.reason, error.repeats.len()), (TransientReason::Malformed, 0));
    assert!(error.to_string().contains("<html>"), "{error}");
}

#[tokio::test]
async fn a_refusal_is_a_reply_for_the_caller_to_judge() {
    let story = Story::with("- {name: no, then: {refuse: I would rather not.}}").await;
    let reply = story.ask(&structured("x")).await.unwrap();
    assert_eq!((reply.text.as_str(), reply.refusal.as_deref()), ("", Some("I would rather not.")));
}

#[tokio::test]
async fn prose_and_cut_json_are_replies_without_an_object() {
    for then in ["{prose: Well now}", "{malformed: true}"] {
        let story = Story::with(&format!("- {{name: odd, then: {then}}}")).await;
        let reply = story.ask(&structured("x")).await.unwrap();
        assert!(parse_json_answer(&reply.text).is_err(), "{}", reply.text);
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_timeout() {
    let story = Story::with("").await;
    story.llm.hold(When::default());
    let request = ChatRequest { timeout: Duration::from_millis(200), ..plain("x") };
    let error = story.transient(&request, Duration::ZERO).await;
    assert_eq!((error.reason, error.repeats.len()), (TransientReason::Timeout, 0));
    assert!(error.to_string().ends_with("gave no complete answer within 200ms. Give the model a longer timeout."), "{error}");
    // The server notices that nobody waits any more.
    story.llm.until_calls(|calls| calls.iter().all(|call| call.state == CallState::Gone)).await;
}

#[tokio::test]
async fn the_deadline_ends_request_and_repeats() {
    let story = Story::with("").await;
    story.llm.hold(When::default());
    let deadline = Some(Instant::now() + Duration::from_millis(200));
    let policy = RepeatPolicy { deadline, ..RepeatPolicy::default() };
    let error = story.client.chat(&plain("x"), &policy, &BTreeMap::new()).await.unwrap_err();
    assert_eq!((error.reason(), error.repeats().len()), ("Timeout", 0));
    let late = story.client.chat(&plain("x"), &policy, &BTreeMap::new()).await.unwrap_err();
    assert!(late.to_string().contains("was not sent: the deadline has passed"), "{late}");
    assert_eq!(story.llm.calls().len(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_connect_error() {
    let story = Story::with("").await;
    let client = LlmClient::new(Endpoint::at("http://127.0.0.1:1/v1")).unwrap();
    let policy = RepeatPolicy { max_total_wait: Duration::ZERO, ..RepeatPolicy::default() };
    let error = client.chat(&plain("x"), &policy, &BTreeMap::new()).await.unwrap_err();
    assert_eq!((error.reason(), error.is_transient()), ("Connect", true));
    assert!(
        error.to_string().starts_with("POST http://127.0.0.1:1/v1/chat/completions (model writer-1) cannot be reached"),
        "{error}"
    );
    assert!(story.llm.calls().is_empty());
}

#[tokio::test]
async fn a_server_without_json_schema_is_told_the_schema_and_asked_so_from_then_on() {
    let refusal = "{status: 400, error: {message: \"response_format json_schema is not supported\"}}";
    let story = Story::with(&format!("- {{name: old, when: {{format: json_schema}}, then: {refusal}}}")).await;
    let first = story.ask(&structured("x")).await.unwrap();
    assert_eq!((first.format, story.llm.calls().len()), (AnswerFormat::JsonObject, 2));
    assert!(parse_json_answer(&first.text).unwrap()["text"].is_string());
    let second = story.ask(&structured("y")).await.unwrap();
    assert_eq!((second.format, story.llm.calls().len()), (AnswerFormat::JsonObject, 3));
}

#[tokio::test]
async fn a_server_without_any_response_format_is_asked_plainly() {
    let refusal = "{status: 422, error: {message: \"unknown field response_format\"}}";
    let story = Story::with(&format!(
        "- {{name: a, when: {{format: json_schema}}, then: {refusal}}}\n- {{name: b, when: {{format: json_object}}, then: {refusal}}}"
    ))
    .await;
    let mut request = structured("x");
    let verdict = json!({"type": "object", "properties": {
        "dimensions": {"type": "object", "properties": {"clarity": {"type": "object"}}}, "feedback": {"type": "string"}}});
    request.response_schema = Some(NamedSchema { name: "verdict".into(), schema: verdict });
    let reply = story.ask(&request).await.unwrap();
    assert_eq!((reply.format, story.llm.calls().len()), (AnswerFormat::Plain, 3));
    assert!(parse_json_answer(&reply.text).unwrap()["dimensions"]["clarity"]["score"].is_number());
    assert!(story.llm.calls().iter().all(|call| call.kind == Kind::Judge));
}

#[tokio::test]
async fn a_model_that_wants_its_token_limit_by_another_name_gets_it() {
    let refusal = "{status: 400, error: {message: \"'max_tokens' is not supported, use 'max_completion_tokens' instead.\"}}";
    let story = Story::with(&format!("- {{name: new, then: {refusal}, times: 1}}")).await;
    let reply = story.ask(&structured("x")).await.unwrap();
    assert_eq!((reply.format, story.llm.calls().len()), (AnswerFormat::JsonSchema, 2));
}
