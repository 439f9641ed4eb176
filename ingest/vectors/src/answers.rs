//! From a question to its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use trackway_crds::contracts::{
    CONTRACT, MAX_QUERY_BYTES, MAX_TOP_K, RetrieveAnswer, RetrieveError, RetrieveRequest, RetrievedEvent,
};
use trackway_nats::{MAX_ANSWER_BYTES, Nats, NatsError, Question, Questions};
use trackway_service::unless;
use trackway_sources::Binding;

use crate::cache::Cache;
use crate::embedder::Embedder;
use crate::metrics::{Metrics, OutcomeLabels};
use crate::writer::aside;

/// Replicas share the questions.
const GROUP: &str = "vectorizer";
/// Questions answered at the same time; others wait in the connection.
const AT_ONCE: usize = 16;
/// Shorter than whoever asks waits, so that it learns the reason.
const EMBEDDING_LIMIT: Duration = Duration::from_secs(5);
const LOADING_LIMIT: Duration = Duration::from_secs(3);
/// How long answers under way may take when the process is told to stop.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// Longest message of an error in characters.
const MAX_MESSAGE: usize = 500;

/// Answers questions.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) bindings: Vec<Binding>,
    pub(crate) embedder: Arc<Embedder>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) metrics: Metrics,
}

/// Why there is no answer.
struct Refusal {
    transient: bool,
    message: String,
}

impl Refusal {
    fn permanent(message: impl Into<String>) -> Self {
        Self { transient: false, message: message.into() }
    }

    fn transient(message: impl Into<String>) -> Self {
        Self { transient: true, message: message.into() }
    }
}

impl Answers {
    /// Answers all questions of `nats` until `stop`.
    pub(crate) async fn run(self: Arc<Self>, nats: &Nats, stop: &CancellationToken) -> Result<(), NatsError> {
        let mut questions = Questions::open(nats, GROUP)?;
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut answering = JoinSet::new();
        loop {
            let next = async {
                let place = Arc::clone(&room).acquire_owned().await;
                (place, questions.next().await)
            };
            let Some((place, question)) = unless(stop, next).await else { break };
            let (answers, question) = (Arc::clone(&self), question?);
            while answering.try_join_next().is_some() {}
            answering.spawn(async move {
                answers.reply(&question).await;
                drop(place);
            });
        }
        let last = async { while answering.join_next().await.is_some() {} };
        // Who hears nothing asks another replica.
        let _ = tokio::time::timeout(LAST_ANSWERS, last).await;
        Ok(())
    }

    async fn reply(&self, question: &Question) {
        let started = Instant::now();
        let answer = self.answer(&question.namespace, &question.payload).await;
        self.metrics.answer.observe(started.elapsed().as_secs_f64());
        if let Err(error) = question.answer(answer).await {
            tracing::warn!(%error, "an answer was not sent; whoever asked will ask again");
        }
    }

    /// The answer to `question` of `namespace`, a [`RetrieveAnswer`] as JSON.
    pub(crate) async fn answer(&self, namespace: &str, question: &[u8]) -> Bytes {
        let (outcome, answer) = match self.find(namespace, question).await {
            Ok(events) => ("answered", fitting(events)),
            Err(Refusal { transient, message }) => {
                tracing::warn!(namespace, transient, message, "no answer");
                let outcome = if transient { "failed" } else { "refused" };
                let error = RetrieveError { transient, message: message.chars().take(MAX_MESSAGE).collect() };
                (outcome, RetrieveAnswer { contract: CONTRACT, events: Vec::new(), error: Some(error) })
            }
        };
        self.metrics.questions.get_or_create(&OutcomeLabels { outcome }).inc();
        serde_json::to_vec(&answer).unwrap_or_default().into()
    }

    async fn find(&self, namespace: &str, question: &[u8]) -> Result<Vec<RetrievedEvent>, Refusal> {
        let question = read(question)?;
        let tenant = &question.tenant;
        // Said before anything of the tenant is looked at, and alike of tenants that are there and that are not.
        if !self.bindings.iter().any(|binding| binding.name == namespace && binding.takes(tenant)) {
            let message =
                format!("namespace {namespace} is not bound to tenant {tenant:?}: bind it in the ingest's configuration");
            return Err(Refusal::permanent(message));
        }
        let vector = self.embedder.of_question(&question.text, EMBEDDING_LIMIT).await.map_err(|error| Refusal {
            transient: error.is_transient(),
            message: format!("the embedding model gave no vector: {error}"),
        })?;
        // A task of its own: what it has begun to load, the next question finds.
        let (cache, name) = (Arc::clone(&self.cache), tenant.clone());
        let loading = tokio::spawn(async move { cache.tenant(&name).await });
        let found = match tokio::time::timeout(LOADING_LIMIT, loading).await {
            Ok(Ok(found)) => found.map_err(|error| Refusal::transient(format!("the vectors cannot be read: {error}")))?,
            Ok(Err(error)) => return Err(Refusal::transient(format!("the vectors were not read: {error}"))),
            Err(_) => return Err(Refusal::transient("the tenant's vectors are still being loaded: ask again")),
        };
        let (before, limit) = (question.before.as_microsecond(), question.top_k as usize);
        let started = Instant::now();
        let nearest = aside(move || found.nearest(&vector, before, limit)).await;
        self.metrics.scan.observe(started.elapsed().as_secs_f64());
        Ok(nearest)
    }
}

fn read(question: &[u8]) -> Result<RetrieveRequest, Refusal> {
    let question: RetrieveRequest = serde_json::from_slice(question)
        .map_err(|error| Refusal::permanent(format!("the question is not understood: {error}")))?;
    let wrong = |message: String| Err(Refusal::permanent(message));
    if question.contract != CONTRACT {
        return wrong(format!(
            "the question has contract {}, known is {CONTRACT}: use one release for all parts",
            question.contract
        ));
    }
    if question.text.is_empty() || question.text.len() > MAX_QUERY_BYTES {
        return wrong(format!("text has {} bytes: give it 1 to {MAX_QUERY_BYTES}", question.text.len()));
    }
    if !(1..=MAX_TOP_K).contains(&question.top_k) {
        return wrong(format!("topK is {}: give 1 to {MAX_TOP_K}", question.top_k));
    }
    Ok(question)
}

/// As many of the nearest events as one message takes.
fn fitting(events: Vec<RetrievedEvent>) -> RetrieveAnswer {
    /// What is around the list.
    const FRAME: usize = 64;
    let mut bytes = FRAME;
    let asked = events.len();
    let fits = |event: &RetrievedEvent| {
        bytes += serde_json::to_vec(event).map_or(MAX_ANSWER_BYTES, |event| event.len() + 1);
        bytes <= MAX_ANSWER_BYTES
    };
    let events: Vec<_> = events.into_iter().take_while(fits).collect();
    if events.len() < asked {
        tracing::info!(found = asked, told = events.len(), "the answer was cut to what one message takes");
    }
    RetrieveAnswer { contract: CONTRACT, events, error: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trackway_crds::contracts::Event;
    use trackway_crds::track::Priority;

    fn found(id: usize, bytes: usize) -> RetrievedEvent {
        let event = Event {
            id: id.to_string(),
            source: "s".to_owned(),
            type_: "push".to_owned(),
            time: jiff::Timestamp::UNIX_EPOCH,
            subject: None,
            priority: Priority::Low,
            data: "x".repeat(bytes).into(),
        };
        RetrievedEvent { similarity: 1, event }
    }

    #[test]
    fn what_does_not_fit_a_message_is_the_farthest() {
        let answer = fitting((0..10).map(|id| found(id, 200 << 10)).collect());
        let ids: Vec<_> = answer.events.iter().map(|found| found.event.id.as_str()).collect();
        assert_eq!(ids, ["0", "1", "2", "3"]);
        assert!(serde_json::to_vec(&answer).unwrap().len() <= MAX_ANSWER_BYTES);
        let tight = fitting((0..1_000).map(|id| found(id, 1_000)).collect());
        assert!(serde_json::to_vec(&tight).unwrap().len() <= MAX_ANSWER_BYTES && tight.events.len() > 700);
        assert!(fitting(vec![found(0, 1 << 20)]).events.is_empty());
    }
}
