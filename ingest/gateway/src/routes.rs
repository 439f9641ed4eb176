//! The routes: one table, of which the router and the OpenAPI document are made.

use crate::{
    app::App,
    body::Incoming,
    events::{self, Door},
    guard::{Arrival, guard},
    openapi,
    problem::{Kind, Problem},
    questionnaires::{self, Name},
    store::Store,
};
use axum::{
    Json, Router,
    extract::{Path, Request, State},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use http::{HeaderMap, Method};
use std::sync::Arc;

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Takes CloudEvents.
    Events,
    /// Takes webhooks and plain JSON.
    Webhooks,
    /// Takes answers.
    Answers,
    /// Shows a questionnaire.
    Questionnaire,
    /// Shows the OpenAPI document.
    OpenApi,
}

/// One route.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Its path, parameters in braces.
    pub path: &'static str,
    /// What it does.
    pub task: Task,
}

/// All routes.
pub const ROUTES: [Route; 5] = [
    Route { path: "/v1/events/{source}", task: Task::Events },
    Route { path: "/v1/webhooks/{source}", task: Task::Webhooks },
    Route { path: "/v1/questionnaires/{namespace}/{name}/answers", task: Task::Answers },
    Route { path: "/v1/questionnaires/{namespace}/{name}", task: Task::Questionnaire },
    Route { path: "/openapi.json", task: Task::OpenApi },
];

impl Task {
    /// Its method.
    #[must_use]
    pub const fn method(self) -> Method {
        match self {
            Self::Events | Self::Webhooks | Self::Answers => Method::POST,
            Self::Questionnaire | Self::OpenApi => Method::GET,
        }
    }

    fn handler<S: Store>(self) -> MethodRouter<Arc<App<S>>> {
        match self {
            Self::Events => post(take_events::<S>),
            Self::Webhooks => post(take_webhooks::<S>),
            Self::Answers => post(take_answers::<S>),
            Self::Questionnaire => get(show_questionnaire::<S>),
            Self::OpenApi => get(async || Json(openapi::document())),
        }
    }
}

/// The gateway as a service.
pub fn router<S: Store>(app: Arc<App<S>>) -> Router {
    let table = ROUTES.iter().fold(Router::new(), |router, route| router.route(route.path, route.task.handler::<S>()));
    table
        .method_not_allowed_fallback(async || Problem::new(Kind::MethodNotAllowed, "see the header Allow, or /openapi.json"))
        .fallback(async || Problem::new(Kind::NotFound, "there is nothing here; see /openapi.json"))
        .layer(from_fn_with_state(Arc::clone(&app), guard::<S>))
        .with_state(app)
}

/// A request in parts.
fn parts<S: Store>(app: &App<S>, request: Request) -> (HeaderMap, Incoming) {
    let (parts, body) = request.into_parts();
    let deadline = Arrival::deadline(&parts.extensions);
    let incoming = Incoming::new(body, &parts.headers, deadline, app.memory.clone());
    (parts.headers, incoming)
}

async fn take_events<S: Store>(State(app): State<Arc<App<S>>>, Path(source): Path<String>, request: Request) -> Response {
    let (headers, body) = parts(&app, request);
    events::take(&app, Door::Events, &source, &headers, body).await
}

async fn take_webhooks<S: Store>(State(app): State<Arc<App<S>>>, Path(source): Path<String>, request: Request) -> Response {
    let (headers, body) = parts(&app, request);
    events::take(&app, Door::Webhooks, &source, &headers, body).await
}

async fn take_answers<S: Store>(
    State(app): State<Arc<App<S>>>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> Response {
    let (headers, mut body) = parts(&app, request);
    let name = Name { namespace: &namespace, name: &name };
    match questionnaires::take(&app, name, &headers, &mut body).await {
        Ok(progress) => Json(progress).into_response(),
        Err(problem) => {
            app.metrics.refused(None, problem.kind);
            body.discard().await;
            problem.into_response()
        }
    }
}

async fn show_questionnaire<S: Store>(
    State(app): State<Arc<App<S>>>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let name = Name { namespace: &namespace, name: &name };
    match questionnaires::show(&app, name, &headers).await {
        Ok(questionnaire) => Json(questionnaire).into_response(),
        Err(problem) => problem.into_response(),
    }
}
