//! Handing the result over: as the container's termination message and on its subject.

use std::{path::Path, time::Duration};

use anyhow::Context as _;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use trackway_crds::contracts::{Assignment, StageResult};
use trackway_nats::{Nats, NatsConfig, Publication, publish_result, result_subject, with_retry};

/// A pod whose result stands in its termination message waits no longer than this for NATS.
const PUBLISH_LIMIT: Duration = Duration::from_secs(5);

/// What became of connecting.
#[derive(Clone)]
enum State {
    NotWanted,
    Connecting,
    Connected(Nats),
    Refused(String),
}

/// A connection that comes up while the attempt works.
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
        let mut state = self.state.clone();
        let decided = tokio::time::timeout_at(deadline, state.wait_for(|state| !matches!(state, State::Connecting))).await;
        let decided = decided.ok().and_then(Result::ok).map_or(State::Connecting, |state| state.clone());
        match decided {
            State::Connected(nats) => Ok(nats),
            State::NotWanted => anyhow::bail!("no NATS server is configured: set TRACKWAY_NATS_URL"),
            State::Refused(why) => anyhow::bail!("{why}"),
            State::Connecting => anyhow::bail!("NATS did not answer in time"),
        }
    }
}

/// Writes the termination message, then publishes. The message comes first because it costs nothing and is read only when the
/// container has ended; whoever is told by NATS is told milliseconds later.
pub(crate) async fn hand_over(
    termination_log: &Path,
    assignment: &Assignment,
    connection: Connection,
    result: &StageResult,
) -> anyhow::Result<()> {
    let json = serde_json::to_vec(result).context("write the result as JSON")?;
    let written = std::fs::write(termination_log, &json)
        .with_context(|| format!("write the termination message to {}", termination_log.display()));
    let published = match timeout(PUBLISH_LIMIT, publish(assignment, &connection, &json)).await {
        Ok(published) => published,
        Err(_) => Err(anyhow::anyhow!("NATS did not answer within {PUBLISH_LIMIT:?}")),
    };
    match (written, published) {
        (_, Ok(Publication::Published)) => tracing::info!("result published"),
        (_, Ok(Publication::AlreadyThere)) => tracing::info!("this try had a result already; the first one counts"),
        (Ok(()), Err(error)) => {
            tracing::warn!("result not published, it stands in the termination message: {error:#}");
        }
        (Err(written), Err(published)) => anyhow::bail!("{written:#}; and not published: {published:#}"),
    }
    Ok(())
}

async fn publish(assignment: &Assignment, connection: &Connection, json: &[u8]) -> anyhow::Result<Publication> {
    let deadline = Instant::now() + PUBLISH_LIMIT;
    let nats = connection.wait_until(deadline).await?;
    let Assignment { run, stage, attempt, try_, .. } = assignment;
    let subject = result_subject(&run.namespace, &run.uid, stage, *attempt, *try_, 0)?;
    let payload = bytes::Bytes::copy_from_slice(json);
    let published = with_retry(Some(deadline), "publish the result", || publish_result(&nats, &subject, payload.clone())).await?;
    Ok(published)
}
