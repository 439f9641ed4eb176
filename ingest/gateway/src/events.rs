//! Taking events.

use crate::{
    app::App,
    body::{self, Incoming},
    cloud_event::{self, Mode, Written},
    convert::{away, of_mapping, of_nats},
    media::{self, Media},
    problem::{Kind, Problem},
    store::{Kept, Store},
};
use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::timeout;
use trackway_crds::contracts::StoredEvent;
use trackway_sources::{AuthKind, Source};

/// Longest body of a batch in bytes.
pub const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Events of one batch that are on their way to the stream at the same time.
const AT_ONCE: usize = 64;
/// When the stream has not answered by then, the sender is told to come again, before it hangs up itself.
const PATIENCE: Duration = Duration::from_secs(8);

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Accepted {
    /// The event's key: what lake, vectors and batches call it.
    pub id: String,
    /// It was taken before.
    pub duplicate: bool,
}

/// By which door events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// CloudEvents.
    Events,
    /// Webhooks and plain JSON.
    Webhooks,
}

/// What a request came to.
#[derive(Debug)]
enum Taken {
    One(Accepted),
    Batch(Vec<Accepted>),
}

/// Answers a request to `source`.
pub async fn take<S: Store>(app: &App<S>, door: Door, source: &str, headers: &HeaderMap, mut body: Incoming) -> Response {
    let known = app.config.source(source);
    let taken = match known {
        Some(source) => take_from(app, door, source, headers, &mut body).await,
        None => Err(Problem::new(Kind::NotFound, "there is no source of this name; its configuration says how it is called")),
    };
    match taken {
        Ok(Taken::One(accepted)) => (StatusCode::ACCEPTED, Json(accepted)).into_response(),
        Ok(Taken::Batch(accepted)) => (StatusCode::ACCEPTED, Json(accepted)).into_response(),
        Err(problem) => {
            app.metrics.refused(known.map(|source| source.id.as_str()), problem.kind);
            body.discard().await;
            problem.into_response()
        }
    }
}

async fn take_from<S: Store>(
    app: &App<S>,
    door: Door,
    source: &Source,
    headers: &HeaderMap,
    body: &mut Incoming,
) -> Result<Taken, Problem> {
    let mode = match door {
        Door::Events => Some(Mode::of(headers)?),
        Door::Webhooks => None,
    };
    let one = usize::try_from(source.limits.max_event_bytes).unwrap_or(usize::MAX);
    let limit = if mode == Some(Mode::Batch) { BATCH_BYTES } else { one };
    let (tenant, bytes) = authenticated(app, source, headers, body, mode, limit).await?;
    app.metrics.received(&source.id, bytes.len());
    body.reserve(body::parsed_size(&bytes)?)?;
    let request = Request { source, tenant: &tenant, headers, now: Timestamp::now() };
    let events = match mode {
        None => vec![request.webhook(&bytes)?],
        Some(Mode::Binary) => vec![request.event(&cloud_event::binary(headers, &bytes)?, bytes.len())?],
        Some(Mode::Structured) => vec![request.event(&cloud_event::structured(&bytes)?, bytes.len())?],
        Some(Mode::Batch) => request.batch(&bytes, one)?,
    };
    app.limits.admit(&source.id, &tenant, events.len())?;
    let mut accepted = keep(app, &source.id, &events, mode == Some(Mode::Batch)).await?;
    match accepted.pop() {
        Some(one) if mode != Some(Mode::Batch) => Ok(Taken::One(one)),
        last => Ok(Taken::Batch(accepted.into_iter().chain(last).collect())),
    }
}

/// The tenant and the body. A token is looked at before the body is read; a signature is over it.
async fn authenticated<S: Store>(
    app: &App<S>,
    source: &Source,
    headers: &HeaderMap,
    body: &mut Incoming,
    mode: Option<Mode>,
    limit: usize,
) -> Result<(Arc<str>, bytes::Bytes), Problem> {
    if source.auth == AuthKind::Bearer {
        let tenant = app.keys.of_bearer(source, headers)?;
        known_media(headers, mode)?;
        return Ok((tenant, body.read(limit).await?));
    }
    if mode == Some(Mode::Binary) {
        let detail = "a signature covers the body only, and in binary mode most of the event is in headers; send it structured";
        return Err(media::unsupported(detail));
    }
    known_media(headers, mode)?;
    let bytes = body.read(limit).await?;
    Ok((app.keys.of_signature(source, headers, &bytes, Timestamp::now())?, bytes))
}

/// Webhooks are JSON; of GitHub's forms the source says more than we could.
fn known_media(headers: &HeaderMap, mode: Option<Mode>) -> Result<(), Problem> {
    let media = Media::of(headers)?;
    if mode.is_none() && !media.is_json() && media.essence() != "application/x-www-form-urlencoded" {
        return Err(media::unsupported("webhooks are read as JSON; send application/json"));
    }
    Ok(())
}

/// A request whose sender is known.
struct Request<'a> {
    source: &'a Source,
    tenant: &'a str,
    headers: &'a HeaderMap,
    now: Timestamp,
}

impl Request<'_> {
    fn webhook(&self, body: &[u8]) -> Result<StoredEvent, Problem> {
        let text = |(name, value): (&'_ http::HeaderName, &'_ http::HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        let headers: Vec<(String, String)> = self.headers.iter().filter_map(text).collect();
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.source.read(self.tenant, &headers, body, self.now).map_err(|error| of_mapping(&error))
    }

    fn event(&self, written: &Written, bytes: usize) -> Result<StoredEvent, Problem> {
        let event = self.source.read_cloud_event(self.tenant, &written.event, &written.sha256, bytes, self.now);
        event.map_err(|error| of_mapping(&error))
    }

    /// All of them or none; the same event twice is fine, two events of one key are not.
    fn batch(&self, body: &[u8], limit: usize) -> Result<Vec<StoredEvent>, Problem> {
        let mut seen: BTreeMap<String, String> = BTreeMap::new();
        let mut events = Vec::new();
        for (index, (written, bytes)) in cloud_event::batch(body, limit)?.into_iter().enumerate() {
            let event = self.event(&written, bytes).map_err(|problem| cloud_event::of_event(index, problem))?;
            let other = seen.insert(event.id.clone(), event.body_sha256.clone());
            if other.is_some_and(|other| other != event.body_sha256) {
                return Err(cloud_event::of_event(index, another()));
            }
            events.push(event);
        }
        Ok(events)
    }
}

/// Stores the events, in any order; the answer is in theirs.
async fn keep<S: Store>(app: &App<S>, source: &str, events: &[StoredEvent], batch: bool) -> Result<Vec<Accepted>, Problem> {
    let all: Vec<_> = events.iter().map(|event| keep_one(app, source, event)).collect();
    let kept = stream::iter(all).buffered(AT_ONCE).enumerate().map(|(index, kept)| match kept {
        Err(problem) if batch => Err(cloud_event::of_event(index, problem)),
        kept => kept,
    });
    kept.try_collect().await
}

async fn keep_one<S: Store>(app: &App<S>, source: &str, event: &StoredEvent) -> Result<Accepted, Problem> {
    let Ok(kept) = timeout(PATIENCE, app.store.keep(event)).await else { return Err(away("the stream gave no answer")) };
    let duplicate = match kept.map_err(|error| of_nats(&error))? {
        Kept::New => false,
        Kept::Before => true,
        Kept::Another => return Err(another()),
    };
    app.metrics.acknowledged(source, duplicate);
    Ok(Accepted { id: event.id.clone(), duplicate })
}

fn another() -> Problem {
    let detail = "another event of this source and id was taken before; give each event an id of its own";
    Problem::new(Kind::Conflict, detail).about("id")
}
