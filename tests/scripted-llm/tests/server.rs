//! The server as its users see it: over HTTP.

// clippy allows these in test functions, but not in the helpers beside them.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use trackway_scripted_llm::{Options, Rules, ScriptedLlm};

struct Server {
    llm: ScriptedLlm,
    http: Client,
}

impl Server {
    async fn with(rules: &str) -> Server {
        // reqwest panics without a provider; a second test in the same process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = Options { rules: Rules::from_yaml(rules).unwrap(), ..Options::default() };
        Server { llm: ScriptedLlm::start_with("127.0.0.1:0", options).await.unwrap(), http: Client::new() }
    }

    async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        let url = format!("http://{}{path}", self.llm.address());
        let run = [
            ("x-trackway-run", "uid-1"),
            ("x-trackway-stage", "insights"),
            ("x-trackway-attempt", "1"),
            ("x-trackway-index", "0"),
        ];
        let request = run.iter().fold(self.http.post(url), |request, (name, value)| request.header(*name, *value));
        let response = request.json(&body).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    async fn get(&self, path: &str) -> Value {
        let response = self.http.get(format!("http://{}{path}", self.llm.address())).send().await.unwrap();
        response.json().await.unwrap()
    }
}

fn question(name: &str, text: &str, schema: Value) -> Value {
    json!({
        "model": "m", "messages": [{"role": "user", "content": text}],
        "response_format": {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": true}},
    })
}

fn verdict_question(text: &str) -> Value {
    question(
        "verdict",
        text,
        json!({"type": "object", "properties": {
        "dimensions": {"type": "object", "properties": {"clarity": {"type": "object"}, "relevance": {"type": "object"}}},
        "feedback": {"type": "string"}}}),
    )
}

fn answer(completion: &Value) -> Value {
    serde_json::from_str(completion["choices"][0]["message"]["content"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn the_same_question_gets_the_same_answer_from_any_server() {
    let prompt = r#"Events: [{"id": "e1", "type": "push", "data": {"sender": {"login": "octocat"}}}]"#;
    let asked = question("output", prompt, json!({"type": "object", "properties": {"text": {"type": "string"}}}));
    let (_, one) = Server::with("").await.post("/v1/chat/completions", asked.clone()).await;
    let (_, two) = Server::with("").await.post("/v1/chat/completions", asked).await;
    assert_eq!(one, two);
    let text = answer(&one)["text"].as_str().unwrap().to_owned();
    assert!(text.contains("e1") && text.contains("push"), "{text}");
}

#[tokio::test]
async fn a_judge_is_below_threshold_on_the_first_attempt_only() {
    let server = Server::with(
        r#"- {name: thin, when: {kind: judge, contains: [draft], attempt: 1}, then: {scores: {clarity: 0.4, "*": 0.6}, feedback: More.}, times: 1}"#,
    )
    .await;
    let (_, first) = server.post("/v1/chat/completions", verdict_question("a draft")).await;
    assert_eq!(answer(&first)["dimensions"]["clarity"]["score"], 0.4);
    assert_eq!(answer(&first)["dimensions"]["relevance"]["score"], 0.6);
    assert_eq!(answer(&first)["feedback"], "More.");
    let (_, second) = server.post("/v1/chat/completions", verdict_question("a draft")).await;
    assert!(answer(&second)["dimensions"]["clarity"]["score"].as_f64().unwrap() >= 0.78);
    let rules: Vec<Option<String>> = server.llm.calls().into_iter().map(|call| call.rule).collect();
    assert_eq!(rules, [Some("thin".to_owned()), None]);
}

#[tokio::test]
async fn a_review_withholds_as_many_as_the_rule_says() {
    let server = Server::with("- {name: strict, when: {contains: [review]}, then: {withhold: 1}}").await;
    let item = json!({"type": "object", "properties": {"key": {"type": "string"}, "approve": {"type": "boolean"}}});
    let schema = json!({"type": "object", "properties": {"items": {"type": "array", "items": item}}});
    let asked = question("output", r#"review {"items": [{"key": "a"}, {"key": "b"}]}"#, schema);
    let (_, answered) = server.post("/v1/chat/completions", asked).await;
    let approved: Vec<Value> =
        answer(&answered)["items"].as_array().unwrap().iter().map(|item| item["approve"].clone()).collect();
    assert_eq!(approved, [true, false]);
}

#[tokio::test]
async fn errors_are_worded_as_the_protocol_words_them() {
    let server = Server::with("- {name: busy, then: {status: 429, retryAfter: 7}}").await;
    let url = format!("{}/chat/completions", server.llm.base_url());
    let response = server.http.post(url).json(&verdict_question("x")).send().await.unwrap();
    assert_eq!((response.status(), response.headers()["retry-after"].to_str().unwrap()), (StatusCode::TOO_MANY_REQUESTS, "7"));
    assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], "rate_limit_exceeded");
    let (status, body) = server.post("/v1/chat/completions", json!({"model": "m"})).await;
    assert_eq!((status, &body["error"]["message"]), (StatusCode::BAD_REQUEST, &json!("'messages' must be a list")));
}

#[tokio::test]
async fn a_held_answer_waits_for_its_release_and_calls_are_counted() {
    let server = Server::with("").await;
    let (_, hold) = server.post("/control/hold", json!({"when": {"kind": "judge"}})).await;
    let asked = verdict_question("x");
    let ask = server.post("/v1/chat/completions", asked.clone());
    let release = async {
        server.llm.until_held(1).await;
        let held = server.get("/control/held").await;
        assert_eq!((&held["held"][0]["hold"], &held["held"][0]["stage"]), (&hold["id"], &json!("insights")));
        server.post("/control/release", json!({"id": hold["id"]})).await
    };
    let ((status, _), (_, released)) = tokio::join!(ask, release);
    assert_eq!((status, released), (StatusCode::OK, json!({"released": 1})));

    let (status, _) = server.post("/v1/chat/completions", asked).await;
    assert_eq!(status, StatusCode::OK);
    let calls = server.get("/control/calls").await;
    let count = json!({"kind": "judge", "run": "uid-1", "stage": "insights", "attempt": "1", "index": "0", "calls": 2, "ok": 2});
    assert_eq!(calls["counts"], json!([count]));
    assert_eq!(calls["calls"].as_array().unwrap().len(), 2);

    server.post("/control/reset", json!({})).await;
    assert_eq!(server.get("/control/calls").await, json!({"calls": [], "counts": []}));
}

#[tokio::test]
async fn a_hold_can_take_one_call_and_let_the_next_pass() {
    let server = Server::with("").await;
    server.post("/control/hold", json!({"when": {}, "times": 1})).await;
    let first = server.post("/v1/chat/completions", verdict_question("one"));
    let second = async {
        server.llm.until_held(1).await;
        let passed = server.post("/v1/chat/completions", verdict_question("two")).await;
        server.post("/control/release", json!({"all": true})).await;
        passed
    };
    let ((first, _), (second, _)) = tokio::join!(first, second);
    assert_eq!((first, second), (StatusCode::OK, StatusCode::OK));
}

#[tokio::test]
async fn rules_are_replaced_while_it_runs_and_bad_ones_are_refused() {
    let server = Server::with("").await;
    let (status, body) = server.post("/control/rules", json!([{"name": "down", "then": {"status": 500}}])).await;
    assert_eq!((status, body), (StatusCode::OK, json!({"rules": 1})));
    assert_eq!(server.post("/v1/chat/completions", verdict_question("x")).await.0, StatusCode::INTERNAL_SERVER_ERROR);
    let (status, body) = server.post("/control/rules", json!([{"name": "none", "then": {}}])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(body["error"]["message"], "rule \"none\": then is empty; give an outcome, or delayMillis");
}

#[tokio::test]
async fn a_broken_connection_breaks_in_the_middle_of_the_answer() {
    let server = Server::with("- {name: cut, then: {hangup: true}}").await;
    let url = format!("{}/chat/completions", server.llm.base_url());
    let outcome = server.http.post(url).json(&verdict_question("x")).send().await;
    let body = match outcome {
        Ok(response) => response.bytes().await,
        Err(error) => Err(error),
    };
    assert!(body.is_err());
}

#[tokio::test]
async fn latency_comes_from_the_options_and_a_rule_changes_it() {
    let rules = Rules::from_yaml("- {name: fast, when: {contains: [now]}, then: {delayMillis: 0}}").unwrap();
    let options = Options { rules, latency_judge: Duration::from_millis(400), ..Options::default() };
    let mut server = Server::with("").await;
    server.llm = ScriptedLlm::start_with("127.0.0.1:0", options).await.unwrap();
    server.post("/v1/chat/completions", verdict_question("later")).await;
    server.post("/v1/chat/completions", verdict_question("now")).await;
    let millis: Vec<u64> = server.llm.calls().iter().filter_map(|call| call.millis).collect();
    assert!(millis[0] >= 400 && millis[1] < 400, "{millis:?}");
}

#[tokio::test]
async fn embeddings_and_models_are_answered() {
    let server = Server::with("").await;
    let (_, body) = server.post("/v1/embeddings", json!({"model": "e", "input": ["a push", "an issue"], "dimensions": 8})).await;
    assert_eq!(body["data"].as_array().unwrap().len(), 2);
    assert_eq!(body["data"][1]["embedding"].as_array().unwrap().len(), 8);
    assert!(body["usage"]["prompt_tokens"].as_u64().unwrap() > 0);
    assert_eq!(server.get("/v1/models").await["data"][0]["id"], "scripted");
}
