//! The HTTP server: the protocol under `/v1`, control under `/control`.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State as Shared},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, ToSocketAddrs},
    task::AbortHandle,
};

use crate::{
    answer,
    call::{Call, Kind},
    embed::{DIMENSIONS, embedding},
    rules::{ErrorWords, RuleError, Rules, Then, When},
    state::{CallRecord, Count, HeldCall, State},
};

/// A prompt may hold a whole batch document.
const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;
const MAX_EMBEDDING_DIMENSIONS: u64 = 4096;

/// How the server behaves where no rule says otherwise.
#[derive(Clone, Debug)]
pub struct Options {
    /// The rules at start.
    pub rules: Rules,
    /// Entries of a list named `targets`.
    pub targets: usize,
    /// Time before each answer but a judge's.
    pub latency_generate: Duration,
    /// Time before each verdict.
    pub latency_judge: Duration,
    /// One JSON line per finished call on standard output.
    pub log: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { rules: Rules::none(), targets: 5, latency_generate: Duration::ZERO, latency_judge: Duration::ZERO, log: false }
    }
}

/// A running server; it stops taking connections when this is dropped.
pub struct ScriptedLlm {
    state: Arc<State>,
    address: SocketAddr,
    task: AbortHandle,
}

impl ScriptedLlm {
    /// Listens on `address` (port 0: a free one) and answers by `rules`.
    pub async fn start(address: impl ToSocketAddrs, rules: Rules) -> std::io::Result<ScriptedLlm> {
        ScriptedLlm::start_with(address, Options { rules, ..Options::default() }).await
    }

    /// As [`ScriptedLlm::start`], with all options.
    pub async fn start_with(address: impl ToSocketAddrs, options: Options) -> std::io::Result<ScriptedLlm> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = State::new(&options.rules, options.log);
        let app = router(App { state: state.clone(), options: Arc::new(options) });
        let task = tokio::spawn(async move {
            // Serving ends only with its task.
            let _ = axum::serve(listener, app).await;
        });
        Ok(ScriptedLlm { state, address, task: task.abort_handle() })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What clients take as base URL, ending in `/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Replaces the rules.
    pub fn set_rules(&self, rules: &Rules) {
        self.state.set_rules(rules);
    }

    /// Holds the answers to requests that match until [`ScriptedLlm::release`] with the id this returns.
    pub fn hold(&self, when: When) -> String {
        self.state.hold(when, None)
    }

    /// As [`ScriptedLlm::hold`], for the next `times` matching requests only.
    pub fn hold_next(&self, when: When, times: u64) -> String {
        self.state.hold(when, Some(times))
    }

    /// Ends a hold and answers what it held; returns how many calls that is.
    pub fn release(&self, hold: &str) -> usize {
        self.state.release(Some(hold))
    }

    /// Ends all holds and answers what they held; returns how many calls that is.
    pub fn release_all(&self) -> usize {
        self.state.release(None)
    }

    /// Calls that wait for a release.
    pub fn held(&self) -> Vec<HeldCall> {
        self.state.held()
    }

    /// Returns once at least `calls` calls are held.
    pub async fn until_held(&self, calls: usize) {
        self.state.until(|state| state.held().len() >= calls).await;
    }

    /// Returns once `reached` says so of all calls.
    pub async fn until_calls(&self, mut reached: impl FnMut(&[CallRecord]) -> bool) {
        self.state.until(|state| reached(&state.calls())).await;
    }

    /// All calls in order of arrival; of very many, the last 20,000.
    pub fn calls(&self) -> Vec<CallRecord> {
        self.state.calls()
    }

    /// How often each piece of work was asked for.
    pub fn counts(&self) -> Vec<Count> {
        self.state.counts()
    }

    /// Forgets calls, counts and holds; rules count from the start.
    pub fn reset(&self) {
        self.state.reset();
    }
}

impl Drop for ScriptedLlm {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct App {
    state: Arc<State>,
    options: Arc<Options>,
}

fn router(app: App) -> Router {
    Router::new()
        .route("/v1/chat/completions", post(chat))
        .route("/v1/embeddings", post(embeddings))
        .route("/v1/models", get(answer::models))
        .route("/control/rules", post(set_rules))
        .route("/control/hold", post(hold))
        .route("/control/held", get(held))
        .route("/control/release", post(release))
        .route("/control/calls", get(calls))
        .route("/control/reset", post(reset))
        .route("/healthz", get(|| async { "ok" }))
        .layer(DefaultBodyLimit::max(MAX_REQUEST_BYTES))
        .with_state(app)
}

impl App {
    /// Lets `call` wait as long as holds, rules and latencies say, then answers it.
    async fn answered(&self, call: Call, answer: impl FnOnce(&Call, &Then) -> Response) -> Response {
        let mut arrival = self.state.arrive(&call);
        let then = arrival.then.clone().unwrap_or_default();
        arrival.released().await;
        let usual = if call.kind == Kind::Judge { self.options.latency_judge } else { self.options.latency_generate };
        tokio::time::sleep(then.delay_millis.map_or(usual, Duration::from_millis)).await;
        let response = answer(&call, &then);
        arrival.finish(response.status().as_u16());
        response
    }
}

/// A request that cannot be answered, and why.
struct BadRequest(String);

impl IntoResponse for BadRequest {
    fn into_response(self) -> Response {
        answer::error(StatusCode::BAD_REQUEST, ErrorWords { code: "invalid_request".to_owned(), message: self.0 })
    }
}

fn json_body(body: &str) -> Result<Value, BadRequest> {
    serde_json::from_str(body).map_err(|error| BadRequest(format!("the body is not JSON: {error}")))
}

async fn chat(Shared(app): Shared<App>, headers: HeaderMap, body: String) -> Result<Response, BadRequest> {
    let call = Call::chat(&json_body(&body)?, headers).map_err(BadRequest)?;
    Ok(app.answered(call, |call, then| answer::chat(call, then, app.options.targets)).await)
}

async fn embeddings(Shared(app): Shared<App>, headers: HeaderMap, body: String) -> Result<Response, BadRequest> {
    let body = json_body(&body)?;
    let (call, inputs) = Call::embeddings(&body, headers).map_err(BadRequest)?;
    let asked = body.get("dimensions").and_then(Value::as_u64).map(|asked| asked.clamp(1, MAX_EMBEDDING_DIMENSIONS));
    let dimensions = asked.and_then(|asked| usize::try_from(asked).ok()).unwrap_or(DIMENSIONS);
    let answer = |call: &Call, then: &Then| {
        if let Some(failure) = answer::failure(then) {
            return failure;
        }
        let one = |(index, text): (usize, &String)| json!({"object": "embedding", "index": index, "embedding": embedding(text, dimensions)});
        let data: Vec<Value> = inputs.iter().enumerate().map(one).collect();
        let tokens = call.text.chars().count().div_ceil(4);
        let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
        Json(json!({"object": "list", "model": call.model, "data": data, "usage": usage})).into_response()
    };
    Ok(app.answered(call, answer).await)
}

async fn set_rules(Shared(app): Shared<App>, body: String) -> Result<Json<Value>, BadRequest> {
    let rules = Rules::from_yaml(&body).map_err(|error: RuleError| BadRequest(error.to_string()))?;
    app.state.set_rules(&rules);
    Ok(Json(json!({"rules": rules.iter().count()})))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldBody {
    #[serde(default)]
    when: When,
    times: Option<u64>,
}

async fn hold(Shared(app): Shared<App>, Json(body): Json<HoldBody>) -> Json<Value> {
    Json(json!({"id": app.state.hold(body.when, body.times)}))
}

async fn held(Shared(app): Shared<App>) -> Json<Value> {
    Json(json!({"held": app.state.held()}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleaseBody {
    id: Option<String>,
    #[serde(default)]
    all: bool,
}

async fn release(Shared(app): Shared<App>, Json(body): Json<ReleaseBody>) -> Result<Json<Value>, BadRequest> {
    match (&body.id, body.all) {
        (Some(id), false) => Ok(Json(json!({"released": app.state.release(Some(id))}))),
        (None, true) => Ok(Json(json!({"released": app.state.release(None)}))),
        _ => Err(BadRequest("give either id, the id of a hold, or all: true".to_owned())),
    }
}

async fn calls(Shared(app): Shared<App>) -> Json<Value> {
    Json(json!({"counts": app.state.counts(), "calls": app.state.calls()}))
}

async fn reset(Shared(app): Shared<App>) -> Json<Value> {
    app.state.reset();
    Json(json!({}))
}
