//! An API server for tests: answers each request from a list, in order, and remembers what was asked.

use http::{Request, Response};
use kube::{Client, client::Body};
use serde_json::Value;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};
use tower::service_fn;

/// What was asked, as `METHOD PATH?QUERY` and body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) body: Value,
}

/// The requests so far.
pub(crate) type Log = Arc<Mutex<Vec<Asked>>>;

/// A client whose requests get `answers`; asking once more is an error of the connection.
pub(crate) fn api_server(answers: Vec<(u16, Value)>) -> (Client, Log) {
    let log = Log::default();
    let asked = Arc::clone(&log);
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    let service = service_fn(move |request: Request<Body>| {
        let asked = Arc::clone(&asked);
        let answers = Arc::clone(&answers);
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let bytes = request.into_body().collect_bytes().await?;
            let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
            asked.lock().unwrap().push(Asked { line, body });
            let (code, answer) = answers.lock().unwrap().pop_front().ok_or("connection refused")?;
            let response = Response::builder().status(code).body(Body::from(serde_json::to_vec(&answer)?))?;
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(response)
        }
    });
    (Client::new(service, "team-a"), log)
}

/// A failure as the API server writes it.
pub(crate) fn failure(code: u16, reason: &str, message: &str) -> (u16, Value) {
    (code, serde_json::json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}))
}
