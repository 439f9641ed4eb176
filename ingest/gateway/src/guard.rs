//! What every request passes before anything is done for it.

use crate::{
    app::App,
    problem::{Kind, Problem},
    store::Store,
};
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{Extensions, HeaderMap};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Most headers of a request.
pub const MAX_HEADERS: usize = 64;
/// Most bytes of all their names and values.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;
/// A request must be here, body and all, so long after its first byte.
pub const REQUEST_TIME: Duration = Duration::from_secs(10);
/// When all hands are full.
const SOON: Duration = Duration::from_secs(1);

/// When a request must be here. Known to the connection, which saw its first byte.
#[derive(Clone, Copy, Debug)]
pub struct Arrival(pub Instant);

impl Arrival {
    /// As the connection says; without one, [`REQUEST_TIME`] from now.
    #[must_use]
    pub fn deadline(extensions: &Extensions) -> Instant {
        extensions.get::<Self>().map_or_else(|| Instant::now() + REQUEST_TIME, |arrival| arrival.0)
    }
}

/// Refuses what has too many headers or comes when all hands are full; counts and times the rest.
pub async fn guard<S: Store>(State(app): State<Arc<App<S>>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    // A path of the table, never the path that was asked for: strangers would fill our memory with labels.
    let asked = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route =
        crate::routes::ROUTES.iter().map(|route| route.path).find(|path| asked.as_deref() == Some(*path)).unwrap_or_default();
    let response = match (check(request.headers()), app.requests.try_acquire()) {
        (Err(problem), _) => problem.into_response(),
        (_, Err(_)) => Problem::new(Kind::Unavailable, "the gateway has its hands full; send it again in a second")
            .after(SOON)
            .into_response(),
        (Ok(()), Ok(_permit)) => told_as_problem(next.run(request).await),
    };
    app.metrics.answered(route, response.status().as_u16(), started.elapsed().as_secs_f64());
    response
}

/// What the router refuses by itself, in our words: a path that is no text.
fn told_as_problem(response: Response) -> Response {
    if response.status().is_client_error() && response.extensions().get::<Kind>().is_none() {
        return Problem::new(Kind::Malformed, "the path is no percent-encoded UTF-8; write it as the route says").into_response();
    }
    response
}

fn check(headers: &HeaderMap) -> Result<(), Problem> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if headers.len() <= MAX_HEADERS && bytes <= MAX_HEADER_BYTES {
        return Ok(());
    }
    let detail = format!(
        "the request has {} headers of {bytes} bytes; at most {MAX_HEADERS} of {MAX_HEADER_BYTES} bytes are read",
        headers.len()
    );
    Err(Problem::new(Kind::HeadersTooLarge, detail))
}
