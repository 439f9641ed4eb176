//! Past events that resemble what a stage works on: asked of the vectorizer once an attempt, and then on record.

use std::{fmt, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::time::Instant;
use trackway_crds::{
    contracts::{
        CONTRACT, NameKind, ResolvedRetrieve, ResolvedStage, RetrieveAnswer, RetrieveError, RetrieveRequest, RetrievedEvent,
        StageInput,
    },
    event_text::query_text,
};
use trackway_nats::{NatsError, Retryable, with_retry};

use crate::{
    failure::{Failure, Step},
    job::{Env, Task},
    load::Loaded,
    stored::Stored,
};

/// How long a vectorizer that is away or busy is asked again.
const LIMIT: Duration = Duration::from_secs(30);
const UNAVAILABLE: &str = "RetrieveUnavailable";
const REFUSED: &str = "RetrieveRefused";

type Asking = BoxFuture<'static, Result<Bytes, NatsError>>;
type Ask = Box<dyn Fn(&str, Bytes) -> Asking + Send + Sync>;

/// Where past events are asked for.
pub struct Retriever {
    ask: Option<Ask>,
}

impl fmt::Debug for Retriever {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retriever").field("offline", &self.ask.is_none()).finish()
    }
}

impl Retriever {
    /// One that asks with `ask`: given the namespace and a [`RetrieveRequest`] as JSON, one exchange with a limit of its own that
    /// brings a [`RetrieveAnswer`] as JSON.
    pub fn new(ask: impl Fn(&str, Bytes) -> Asking + Send + Sync + 'static) -> Self {
        Self { ask: Some(Box::new(ask)) }
    }

    /// One that finds nothing, for where there is no vectorizer to ask.
    #[must_use]
    pub fn offline() -> Self {
        Self { ask: None }
    }
}

/// What the prompt of `stage` sees as `retrieved`; `None` where the stage does not retrieve. What an earlier pod has put on record
/// for this attempt, or for the first one, is taken as it is: attempts differ by the judge's words, not by what was found.
pub(crate) async fn retrieved(
    task: Task<'_>,
    stage: &ResolvedStage,
    loaded: &Loaded,
    stored: &Stored<'_>,
    env: Env<'_>,
) -> Step<Option<Vec<RetrievedEvent>>> {
    let Some(ResolvedRetrieve { top_k }) = stage.retrieves() else { return Ok(None) };
    for attempt in [task.part.attempt, 1] {
        if let Some(found) = stored.named(&stored.name_of(attempt, NameKind::Input)).await? {
            let input: StageInput = stored.read(&format!("the input of attempt {attempt}"), &found.reference).await?;
            tracing::info!(attempt, events = input.retrieved.len(), "adopting the past events on record");
            return Ok(Some(input.retrieved));
        }
    }
    let Some(ask) = &env.outside.retriever.ask else { return Ok(Some(Vec::new())) };
    let batch = &loaded.batch.batch;
    let text = query_text(&loaded.batch.events, task.target.map(|target| &target.value));
    if text.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let request = RetrieveRequest { contract: CONTRACT, tenant: batch.tenant.clone(), before: batch.from, text, top_k };
    let request = serde_json::to_vec(&request).map_err(|error| {
        Failure::permanent(REFUSED, format!("the question for past events cannot be written as JSON: {error}"))
    })?;
    let (request, namespace) = (Bytes::from(request), &task.job.assignment.run.namespace);
    let deadline = task.job.deadline.min(Instant::now() + LIMIT);
    let once = || async { read(&ask(namespace, request.clone()).await?) };
    let mut events = with_retry(Some(deadline), "ask for past events", once).await?;
    events.truncate(usize::try_from(top_k).unwrap_or(usize::MAX));
    tracing::info!(events = events.len(), "past events found");
    Ok(Some(events))
}

fn read(answer: &[u8]) -> Result<Vec<RetrievedEvent>, Unanswered> {
    let answer: RetrieveAnswer = serde_json::from_slice(answer).map_err(|error| Unanswered {
        transient: false,
        message: format!("the vectorizer's answer is not what its contract says: {error}; use one release for all parts"),
    })?;
    match answer.error {
        Some(RetrieveError { transient, message }) => Err(Unanswered { transient, message }),
        None => Ok(answer.events),
    }
}

/// Why there are no past events.
#[derive(Debug)]
struct Unanswered {
    transient: bool,
    message: String,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<NatsError> for Unanswered {
    fn from(error: NatsError) -> Self {
        Self { transient: error.is_transient(), message: error.to_string() }
    }
}

impl Retryable for Unanswered {
    fn is_transient(&self) -> bool {
        self.transient
    }

    fn out_of_time(what: &str, given: Duration) -> Self {
        Self { transient: true, message: format!("{what}: no answer within {given:?}") }
    }
}

impl From<Unanswered> for Failure {
    #[track_caller]
    fn from(Unanswered { transient, message }: Unanswered) -> Self {
        if transient { Self::infrastructure(UNAVAILABLE, message) } else { Self::permanent(REFUSED, message) }
    }
}
