//! The HTTP server.

use std::{io::Write as _, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State as Shared,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, ToSocketAddrs},
    task::AbortHandle,
};

use crate::state::{Behaviour, Received, SecretError, State};

/// A running receiver; it stops taking connections when this is dropped.
pub struct WebhookSink {
    state: Arc<State>,
    address: SocketAddr,
    task: AbortHandle,
}

impl WebhookSink {
    /// A secret for tests.
    pub const SECRET: &'static str = "whsec_c3RhbmQtaW4tZm9yLWEtcmVjZWl2ZXItb2Ytbm90aWNlcw==";

    /// Listens on `address` (port 0: a free one) and takes what is signed with one of `secrets`. `log`: one JSON line per request
    /// on standard output.
    ///
    /// # Errors
    /// When the address is taken, or a secret is none.
    pub async fn start(address: impl ToSocketAddrs, secrets: &[String], log: bool) -> std::io::Result<Self> {
        let invalid = |error: SecretError| std::io::Error::new(std::io::ErrorKind::InvalidInput, error);
        let state = Arc::new(State::new(secrets).map_err(invalid)?);
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let app = router(App { state: state.clone(), log });
        let task = tokio::spawn(async move {
            // Serving ends only with its task.
            let _ = axum::serve(listener, app).await;
        });
        Ok(Self { state, address, task: task.abort_handle() })
    }

    /// A receiver on a free port of this machine that knows [`Self::SECRET`].
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn local() -> std::io::Result<Self> {
        Self::start("127.0.0.1:0", &[Self::SECRET.to_owned()], false).await
    }

    /// Where notices for `channel` can be posted: `http://ADDRESS/CHANNEL`.
    #[must_use]
    pub fn url(&self, channel: &str) -> String {
        format!("http://{}/{channel}", self.address)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a behaviour; of those that fit a request, the first that is not used up counts.
    pub fn behave(&self, behaviour: Behaviour) {
        self.state.behave(behaviour);
    }

    /// Forgets how to behave.
    pub fn well(&self) {
        self.state.well();
    }

    /// Forgets what came and how to behave.
    pub fn reset(&self) {
        self.state.reset();
    }

    /// What came, in order of first arrival.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.state.received()
    }

    /// Requests that came.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.state.requests().0
    }

    /// Returns once at least so many requests came.
    pub async fn until_requests(&self, requests: u64) {
        self.state.until(|state| state.requests().0 >= requests).await;
    }

    /// Returns once at least so many requests were answered.
    pub async fn until_answered(&self, requests: u64) {
        self.state.until(|state| state.requests().1 >= requests).await;
    }
}

impl Drop for WebhookSink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct App {
    state: Arc<State>,
    log: bool,
}

fn router(app: App) -> Router {
    Router::new()
        .route("/received", get(received))
        .route("/behave", post(behave))
        .route("/reset", post(reset))
        .route("/healthz", get(|| async { "ok" }))
        .fallback(notice)
        .with_state(app)
}

async fn notice(Shared(app): Shared<App>, method: Method, uri: Uri, headers: HeaderMap, body: String) -> Response {
    if method != Method::POST {
        return (StatusCode::METHOD_NOT_ALLOWED, "notices are posted").into_response();
    }
    let path = uri.path();
    let arrival = app.state.arrive(path, &headers, &body);
    if let Some(millis) = arrival.behaviour.delay_millis {
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
    let response = answer(&arrival.behaviour, arrival.verified);
    let status = response.status();
    app.state.answered(path, &arrival.id, status.is_success());
    if app.log {
        let said = json!({
            "path": path, "id": arrival.id, "key": arrival.key, "verified": arrival.verified, "status": status.as_u16(),
        });
        log_line(&said);
    }
    response
}

fn answer(behaviour: &Behaviour, verified: bool) -> Response {
    if !verified {
        return (StatusCode::UNAUTHORIZED, "the signature is not valid").into_response();
    }
    let status = behaviour.status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::NO_CONTENT);
    let mut response = (status, behaviour.body.clone()).into_response();
    if let Some(wait) = behaviour.retry_after.as_ref().and_then(|wait| HeaderValue::try_from(wait).ok()) {
        response.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    response
}

async fn received(Shared(app): Shared<App>) -> Json<Value> {
    let (requests, answered) = app.state.requests();
    Json(json!({"requests": requests, "answered": answered, "received": app.state.received()}))
}

async fn behave(Shared(app): Shared<App>, body: String) -> Response {
    match serde_json::from_str::<Behaviour>(&body) {
        Err(error) => (StatusCode::BAD_REQUEST, format!("the body is no behaviour: {error}\n")).into_response(),
        Ok(Behaviour { status: Some(status), .. }) if !(200..=599).contains(&status) => {
            (StatusCode::BAD_REQUEST, format!("status is {status}; give one of 200 to 599\n")).into_response()
        }
        Ok(behaviour) => {
            app.state.behave(behaviour);
            StatusCode::NO_CONTENT.into_response()
        }
    }
}

async fn reset(Shared(app): Shared<App>) -> StatusCode {
    app.state.reset();
    StatusCode::NO_CONTENT
}

/// Writes one JSON line to standard output.
pub fn log_line(value: &Value) {
    // A closed standard output is nobody's business.
    let _ = writeln!(std::io::stdout(), "{value}");
}
