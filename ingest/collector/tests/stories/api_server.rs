//! An API server in memory: lists Tracks, keeps BatchRuns.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use http::{Method, Request, Response};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::service_fn;

#[derive(Default)]
struct State {
    tracks: Vec<Value>,
    runs: BTreeMap<String, Value>,
    creates: Vec<String>,
    away: bool,
}

/// Clones share it.
#[derive(Clone)]
pub(crate) struct ApiServer {
    state: Arc<Mutex<State>>,
    lists: watch::Sender<bool>,
}

impl ApiServer {
    /// With Tracks of team-a that take every batch.
    pub(crate) fn with_tracks(names: &[&str]) -> Self {
        let tracks = names.iter().map(|name| track(name)).collect();
        let state = State { tracks, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), lists: watch::Sender::new(true) }
    }

    /// Whether lists are answered; until then whoever asks waits.
    pub(crate) fn answer_lists(&self, answer: bool) {
        self.lists.send_replace(answer);
    }

    /// Whether writes fail with 503.
    pub(crate) fn set_away(&self, away: bool) {
        self.state.lock().unwrap().away = away;
    }

    /// Forgets all runs, as a clean-up would.
    pub(crate) fn delete_runs(&self) {
        self.state.lock().unwrap().runs.clear();
    }

    /// Names of the runs ever created, in order of creation.
    pub(crate) fn creates(&self) -> Vec<String> {
        self.state.lock().unwrap().creates.clone()
    }

    pub(crate) fn client(&self) -> Client {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (code, answer) = server.answer(request).await?;
                let body = Body::from(serde_json::to_vec(&answer)?);
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Response::builder().status(code).body(body)?)
            }
        });
        Client::new(service, "team-a")
    }

    async fn answer(&self, request: Request<Body>) -> Result<(u16, Value), kube::Error> {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        if path.ends_with("/namespaces/team-a/tracks") {
            if query.contains("watch=true") {
                // No Track changes in these stories.
                std::future::pending::<()>().await;
            }
            self.lists.subscribe().wait_for(|answer| *answer).await.unwrap();
            let items = self.state.lock().unwrap().tracks.clone();
            return Ok((
                200,
                json!({"kind": "TrackList", "apiVersion": "trackway.dev/v1alpha1",
                "metadata": {"resourceVersion": "1"}, "items": items}),
            ));
        }
        let create = request.method() == Method::POST;
        let body = request.into_body().collect_bytes().await?;
        let mut state = self.state.lock().unwrap();
        if state.away {
            return Ok(failure(503, "ServiceUnavailable"));
        }
        Ok(if create { state.create(&body) } else { state.read(&path) })
    }
}

impl State {
    fn create(&mut self, body: &[u8]) -> (u16, Value) {
        let run: Value = serde_json::from_slice(body).unwrap();
        let name = run["metadata"]["name"].as_str().unwrap().to_owned();
        if self.runs.contains_key(&name) {
            return failure(409, "AlreadyExists");
        }
        self.runs.insert(name.clone(), run.clone());
        self.creates.push(name);
        (201, run)
    }

    fn read(&self, path: &str) -> (u16, Value) {
        let name = path.rsplit('/').next().unwrap();
        self.runs.get(name).map_or_else(|| failure(404, "NotFound"), |run| (200, run.clone()))
    }
}

fn failure(code: u16, reason: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason}))
}

fn track(name: &str) -> Value {
    json!({"apiVersion": "trackway.dev/v1alpha1", "kind": "Track",
        "metadata": {"name": name, "namespace": "team-a", "generation": 1, "uid": name, "resourceVersion": "1"},
        "spec": {"audience": "x", "selector": {}, "models": [], "judge": {}, "stages": [],
            "promptsFrom": {"configMapRef": {"name": "p"}}}})
}
