//! Waking whoever waits for results. A wake brings the result along, which no later message of its subject can change; a lost
//! wake loses nothing but time, because the stream can be read.

use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use tokio::time::sleep;

use crate::error::from_consumer;
use crate::retry::Retryable;
use crate::streams::RESULTS_STREAM;
use crate::{Nats, NatsError};

const WAIT_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Why to look at results now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// A subject has its result, stored and readable.
    Result {
        /// The subject.
        subject: String,
        /// What was published, unread.
        payload: Bytes,
    },
    /// Results may have come unseen (at the start and after every reconnect): read all that are open.
    Resync,
}

/// Wakes for every result stored under `subjects` (see [`crate::results_of_namespace`]) from now on. Begins with
/// [`Wake::Resync`], survives restarts of NATS and says [`Wake::Resync`] after each. Ends only after a permanent error, which
/// it yields.
pub fn watch_results(nats: &Nats, subjects: &str) -> impl Stream<Item = Result<Wake, NatsError>> + Send + use<> {
    let watch = Watch { nats: nats.clone(), subjects: subjects.to_owned(), open: None };
    stream::unfold(Some(watch), |watch| async {
        let mut watch = watch?;
        match watch.next().await {
            Ok(wake) => Some((Ok(wake), Some(watch))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

struct Watch {
    nats: Nats,
    subjects: String,
    open: Option<Open>,
}

struct Open {
    messages: Ordered,
    /// The connection the consumer was made on; it does not outlive it.
    generation: u64,
}

impl Watch {
    async fn next(&mut self) -> Result<Wake, NatsError> {
        loop {
            let Some(open) = &mut self.open else {
                match consume(&self.nats, &self.subjects).await {
                    // The consumer delivers what is stored from now on; what came before is for the reader to find.
                    Ok(open) => self.open = Some(open),
                    Err(error) if error.is_transient() => {
                        tracing::warn!(%error, "cannot watch results, trying again");
                        sleep(WAIT_AFTER_FAILURE).await;
                        continue;
                    }
                    Err(error) => return Err(error),
                }
                return Ok(Wake::Resync);
            };
            tokio::select! {
                message = open.messages.next() => match message {
                    Some(Ok(message)) => return Ok(Wake::Result { subject: message.subject.to_string(), payload: message.payload.clone() }),
                    Some(Err(error)) => {
                        tracing::warn!(%error, "watch of results broke off, making it anew");
                        self.open = None;
                    }
                    None => self.open = None,
                },
                () = self.nats.reconnected_since(open.generation) => self.open = None,
            }
        }
    }
}

async fn consume(nats: &Nats, subjects: &str) -> Result<Open, NatsError> {
    let action = format!("watch {subjects}");
    let generation = nats.generation();
    let config =
        OrderedConfig { filter_subject: subjects.to_owned(), deliver_policy: DeliverPolicy::New, ..OrderedConfig::default() };
    let create = async {
        let consumer = nats.jetstream().create_consumer_on_stream(config, RESULTS_STREAM).await;
        let consumer = consumer.map_err(|error| from_consumer(&action, &error))?;
        consumer.messages().await.map_err(|error| NatsError::transient(&action, error))
    };
    let messages = nats.request(&action, &["$JS.API.CONSUMER.CREATE.RESULTS"], create).await?;
    Ok(Open { messages, generation })
}
