//! Handing results over: in the container's termination message and each on its subject.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use futures::{StreamExt as _, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use trackway_crds::contracts::{Assignment, Revision, StageResult};
use trackway_nats::{Kv, Nats, NatsConfig, NatsError, Publication, ask, publish_result, result_subject, with_retry};
use trackway_worker::last_words;

/// A pod whose results stand in its termination message waits no longer than this for NATS, from the last of them.
const PUBLISH_LIMIT: Duration = Duration::from_secs(5);
/// Limit of one question for past events, connecting included.
const ASK_LIMIT: Duration = Duration::from_secs(10);

/// What became of connecting.
#[derive(Clone)]
enum State {
    NotWanted,
    Connecting,
    Connected(Nats),
    Refused(String),
}

/// A connection that comes up while the attempt works.
#[derive(Clone)]
pub(crate) struct Connection {
    state: watch::Receiver<State>,
}

impl Connection {
    /// Begins to connect, when a server is configured.
    pub(crate) fn start(config: Option<NatsConfig>) -> Self {
        let Some(config) = config else { return Self { state: watch::channel(State::NotWanted).1 } };
        let (tell, state) = watch::channel(State::Connecting);
        tokio::spawn(async move {
            let state = match Nats::connect(&config, None).await {
                Ok(nats) => State::Connected(nats),
                Err(error) => State::Refused(error.to_string()),
            };
            // Nobody listens any more only when the process ends.
            let _ = tell.send(state);
        });
        Self { state }
    }

    /// The connection, once it stands.
    pub(crate) async fn wait_until(&self, deadline: Instant) -> anyhow::Result<Nats> {
        match tokio::time::timeout_at(deadline, self.wait()).await {
            Ok(outcome) => outcome,
            Err(_) => anyhow::bail!("NATS did not answer in time"),
        }
    }

    /// Asks for past events, once.
    pub(crate) async fn ask(&self, namespace: &str, question: bytes::Bytes) -> Result<bytes::Bytes, NatsError> {
        let deadline = Instant::now() + ASK_LIMIT;
        let nats = self.wait_until(deadline).await.map_err(|error| self.unconnected("ask for past events", &error))?;
        ask(&nats, namespace, question, deadline.saturating_duration_since(Instant::now())).await
    }

    /// The tenant's answers under `key`, once; none where no server is configured.
    pub(crate) async fn answers(&self, key: &str) -> Result<Option<bytes::Bytes>, NatsError> {
        if matches!(*self.state.borrow(), State::NotWanted) {
            return Ok(None);
        }
        let deadline = Instant::now() + ASK_LIMIT;
        let nats = self.wait_until(deadline).await.map_err(|error| self.unconnected("read the tenant's answers", &error))?;
        Ok(Kv::context(&nats).get_nearby(key).await?.map(|entry| entry.value))
    }

    /// What it is that there is no connection.
    fn unconnected(&self, action: &str, error: &anyhow::Error) -> NatsError {
        let (action, reason) = (action.to_owned(), format!("{error:#}"));
        // What was refused stays refused.
        match *self.state.borrow() {
            State::Connecting | State::Connected(_) => NatsError::Transient { action, reason },
            State::NotWanted | State::Refused(_) => NatsError::Permanent { action, reason },
        }
    }

    async fn wait(&self) -> anyhow::Result<Nats> {
        let mut state = self.state.clone();
        let decided = state.wait_for(|state| !matches!(state, State::Connecting)).await;
        match decided.map_or(State::Connecting, |state| state.clone()) {
            State::Connected(nats) => Ok(nats),
            State::NotWanted => anyhow::bail!("no NATS server is configured: set TRACKWAY_NATS_URL"),
            State::Refused(why) => anyhow::bail!("{why}"),
            State::Connecting => anyhow::bail!("the connection to NATS was given up"),
        }
    }
}

/// Tells the results of a pod as they come.
pub(crate) struct Teller<'a> {
    pub(crate) termination_log: PathBuf,
    pub(crate) assignment: &'a Assignment,
    pub(crate) revision: Option<&'a Revision>,
    pub(crate) pod_uid: &'a str,
    pub(crate) connection: Connection,
}

impl Teller<'_> {
    /// Hands over every result that comes, until there are no more and all are published, or [`PUBLISH_LIMIT`] after the last.
    /// The termination message comes first because it costs nothing; it is read only when the container has ended, so whoever
    /// is told by NATS is told sooner. Returns how many there were; an error means that of some nobody will hear.
    pub(crate) async fn tell_all(&self, mut results: mpsc::UnboundedReceiver<StageResult>) -> anyhow::Result<usize> {
        let mut told = Vec::new();
        let mut written = Ok(());
        let mut publishing = FuturesUnordered::new();
        let mut unpublished: Option<anyhow::Error> = None;
        while let Some(result) = self.next(&mut results, &mut publishing, &mut unpublished).await {
            publishing.push(self.publish(result.clone()));
            told.push(result);
            written = self.write(&told);
        }
        let limit = sleep_until(Instant::now() + PUBLISH_LIMIT);
        tokio::pin!(limit);
        while !publishing.is_empty() {
            tokio::select! {
                Some(published) = publishing.next() => note(published, &mut unpublished),
                () = &mut limit => {
                    unpublished = Some(anyhow::anyhow!("NATS did not answer within {PUBLISH_LIMIT:?}"));
                    break;
                }
            }
        }
        match (written, unpublished) {
            (_, None) => Ok(told.len()),
            (Ok(()), Some(error)) => {
                tracing::warn!("not published, it stands in the termination message: {error:#}");
                Ok(told.len())
            }
            (Err(written), Some(published)) => Err(anyhow::anyhow!("{written:#}; and not published: {published:#}")),
        }
    }

    /// The next result; meanwhile those before are published.
    async fn next<F: Future<Output = anyhow::Result<()>>>(
        &self,
        results: &mut mpsc::UnboundedReceiver<StageResult>,
        publishing: &mut FuturesUnordered<F>,
        unpublished: &mut Option<anyhow::Error>,
    ) -> Option<StageResult> {
        loop {
            tokio::select! {
                result = results.recv() => return result,
                Some(published) = publishing.next() => note(published, unpublished),
            }
        }
    }

    fn write(&self, told: &[StageResult]) -> anyhow::Result<()> {
        let Some(words) = last_words(self.assignment, self.revision, self.pod_uid, told) else { return Ok(()) };
        let words = words.context("write the results as JSON")?;
        std::fs::write(&self.termination_log, words)
            .with_context(|| format!("write the termination message to {}", self.termination_log.display()))
    }

    async fn publish(&self, result: StageResult) -> anyhow::Result<()> {
        let run = &self.assignment.run;
        let subject = result_subject(&run.namespace, &run.uid, &result.stage, result.attempt, result.try_, result.index)?;
        let payload = bytes::Bytes::from(serde_json::to_vec(&result).context("write the result as JSON")?);
        let nats = self.connection.wait().await?;
        match with_retry(None, "publish the result", || publish_result(&nats, &subject, payload.clone())).await? {
            Publication::Published => tracing::info!(index = result.index, "result published"),
            Publication::AlreadyThere => {
                tracing::info!(index = result.index, "this try had a result already; the first one counts");
            }
        }
        Ok(())
    }
}

fn note(published: anyhow::Result<()>, unpublished: &mut Option<anyhow::Error>) {
    if let Err(error) = published {
        *unpublished = Some(error);
    }
}
