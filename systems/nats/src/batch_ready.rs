//! Sealed batches: published once, taken by priority.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::{Batch, Config};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer};
use bytes::Bytes;
use futures::future::select_all;
use futures::{FutureExt, StreamExt};
use tokio::time::{sleep, timeout};
use trackway_crds::track::Priority;

use crate::error::from_consumer;
use crate::retry::Retryable;
use crate::streams::BATCH_READY_STREAM;
use crate::subjects::{BATCH_READY, token};
use crate::write_once::publish_once;
use crate::{Delivery, Nats, NatsError, Publication};

/// How long a delivery may stay without acknowledgement or [`Delivery::progress`] before it is delivered again.
const ACK_WAIT: Duration = Duration::from_secs(60);
/// How long the server keeps an unanswered request for a message.
const IDLE_WAIT: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
const WAIT_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// A consumer takes nothing of a lower priority while one above has any.
const DRAIN_ORDER: [Priority; 3] = [Priority::High, Priority::Medium, Priority::Low];

/// Publishes a sealed batch as `BATCH_READY.<priority>.<batch id>`, once for the 30 days the stream keeps it. Safe to repeat.
///
/// # Errors
/// [`NatsError`]; a batch id that cannot be part of a subject is permanent.
pub async fn publish_batch_ready(nats: &Nats, priority: Priority, id: &str, payload: Bytes) -> Result<Publication, NatsError> {
    token("batch id", id)?;
    publish_once(nats, &format!("{BATCH_READY}.{}.{id}", priority.as_str()), HeaderMap::new(), payload).await
}

/// Takes sealed batches, one at a time, High first, from durable consumers that all processes of the same `name` share.
#[derive(Debug)]
pub struct BatchReadyConsumer {
    nats: Nats,
    name: String,
    lanes: Vec<Lane>,
    generation: u64,
}

/// One priority. `waiting` is a request the server answers as soon as a message comes; it is kept across calls, because a
/// message already under way to a dropped request would be late by [`ACK_WAIT`].
struct Lane {
    priority: Priority,
    consumer: PullConsumer,
    waiting: Option<Batch>,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Lane").field("priority", &self.priority).finish_non_exhaustive()
    }
}

impl BatchReadyConsumer {
    /// Makes or finds the durable consumers `<name>-high`, `<name>-medium` and `<name>-low`.
    ///
    /// # Errors
    /// [`NatsError`]; transient also while the stream is not made yet.
    pub async fn open(nats: &Nats, name: &str) -> Result<Self, NatsError> {
        token("consumer name", name)?;
        let mut consumer = Self { nats: nats.clone(), name: name.to_owned(), lanes: Vec::new(), generation: nats.generation() };
        consumer.open_lanes().await?;
        Ok(consumer)
    }

    /// Waits for the next batch. Transient trouble is logged and waited out here. Cancelling the wait loses nothing: a
    /// delivery nobody saw comes again after a minute.
    ///
    /// # Errors
    /// Only [`NatsError::Permanent`].
    pub async fn next(&mut self) -> Result<Delivery, NatsError> {
        loop {
            match self.try_next().await {
                Ok(Some(delivery)) => return Ok(delivery),
                Ok(None) => {}
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, "cannot take batches, trying again");
                    sleep(WAIT_AFTER_FAILURE).await;
                    self.reopen().await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn open_lanes(&mut self) -> Result<(), NatsError> {
        let mut lanes = Vec::with_capacity(DRAIN_ORDER.len());
        for priority in DRAIN_ORDER {
            lanes.push(Lane::open(&self.nats, &self.name, priority).await?);
        }
        self.generation = self.nats.generation();
        self.lanes = lanes;
        Ok(())
    }

    async fn reopen(&mut self) -> Result<(), NatsError> {
        match self.open_lanes().await {
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "cannot open the consumers of batches, trying again");
                Ok(())
            }
            outcome => outcome,
        }
    }

    /// One pass: what is there now in order of priority, else whatever comes first. `None`: nothing came, look again.
    async fn try_next(&mut self) -> Result<Option<Delivery>, NatsError> {
        let generation = self.nats.generation();
        if generation != self.generation {
            // Requests made on an earlier connection are answered by nobody.
            self.lanes.iter_mut().for_each(|lane| lane.waiting = None);
            self.generation = generation;
        }
        for lane in &mut self.lanes {
            if let Some(message) = lane.take_now(&self.nats).await? {
                return Delivery::new(&self.nats, lane.priority, message).map(Some);
            }
        }
        for lane in &mut self.lanes {
            lane.request(&self.nats).await?;
        }
        let waits = self.lanes.iter_mut().map(|lane| lane.wait().boxed());
        tokio::select! {
            (outcome, _, _) = select_all(waits) => match outcome? {
                Some((priority, message)) => Delivery::new(&self.nats, priority, message).map(Some),
                None => Ok(None),
            },
            () = self.nats.reconnected_since(generation) => Ok(None),
        }
    }
}

impl Lane {
    async fn open(nats: &Nats, name: &str, priority: Priority) -> Result<Self, NatsError> {
        let durable = format!("{name}-{}", priority.as_str().to_lowercase());
        let action = format!("open consumer {durable} of {BATCH_READY_STREAM}");
        let config = Config {
            durable_name: Some(durable),
            filter_subject: format!("{BATCH_READY}.{}.>", priority.as_str()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: ACK_WAIT,
            // Whether a message is poison is for the one who reads it to say, see `Delivery::delivered`.
            max_deliver: -1,
            ..Config::default()
        };
        let create = async {
            let created = nats.jetstream().create_consumer_on_stream(config, BATCH_READY_STREAM).await;
            created.map_err(|error| from_consumer(&action, &error))
        };
        let consumer = nats.request(&action, &["$JS.API.CONSUMER.CREATE.BATCH_READY"], create).await?;
        Ok(Self { priority, consumer, waiting: None })
    }

    /// A message that is there already.
    async fn take_now(&mut self, nats: &Nats) -> Result<Option<Message>, NatsError> {
        if let Some(waiting) = &mut self.waiting {
            match waiting.next().now_or_never() {
                // The server would have answered the open request.
                None => return Ok(None),
                Some(answer) => {
                    self.waiting = None;
                    if let Some(message) = self.answered(answer)? {
                        return Ok(Some(message));
                    }
                }
            }
        }
        let action = format!("take a batch of priority {}", self.priority.as_str());
        let fetch = async {
            let failed = |error| NatsError::transient(&action, error);
            let mut batch = self.consumer.fetch().max_messages(1).messages().await.map_err(|error| failed(error.to_string()))?;
            let answer = timeout(ANSWER_LIMIT, batch.next()).await.map_err(|_| failed("no answer within 5 s".to_owned()))?;
            self.answered(answer)
        };
        nats.request(&action, &["$JS.API.CONSUMER.MSG.NEXT.BATCH_READY"], fetch).await
    }

    /// Asks the server for the next message, unless a request stands.
    async fn request(&mut self, nats: &Nats) -> Result<(), NatsError> {
        if self.waiting.is_none() {
            let action = format!("wait for a batch of priority {}", self.priority.as_str());
            let request = async {
                let opened = self.consumer.batch().max_messages(1).expires(IDLE_WAIT).messages().await;
                opened.map_err(|error| NatsError::transient(&action, error))
            };
            self.waiting = Some(nats.request(&action, &["$JS.API.CONSUMER.MSG.NEXT.BATCH_READY"], request).await?);
        }
        Ok(())
    }

    /// The answer to the standing request; `None` when the server's wait ended without a message.
    async fn wait(&mut self) -> Result<Option<(Priority, Message)>, NatsError> {
        let Some(waiting) = &mut self.waiting else { return Ok(None) };
        let answer = waiting.next().await;
        self.waiting = None;
        Ok(self.answered(answer)?.map(|message| (self.priority, message)))
    }

    fn answered(&self, answer: Option<Result<Message, async_nats::Error>>) -> Result<Option<Message>, NatsError> {
        let action = || format!("take a batch of priority {}", self.priority.as_str());
        answer.transpose().map_err(|error| NatsError::transient(&action(), error))
    }
}
