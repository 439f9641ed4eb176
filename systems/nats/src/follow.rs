//! Reading a stream in its order: no gap, and again from the right place after whatever ended the reading.
//!
//! The consumer is our own, not the client's ordered one: that one begins anew at the stream's first message when it is lost
//! before it has delivered any.

use std::time::Duration;

use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::{Config, Stream};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use tokio::time::sleep;

use crate::error::{from_consumer, from_get_stream};
use crate::retry::Retryable;
use crate::{Nats, NatsError};

const WAIT_AFTER_FAILURE: Duration = Duration::from_secs(1);
/// A consumer nobody asks for so long is removed by the server.
const UNUSED: Duration = Duration::from_secs(30);
/// Messages on their way to a reader at most.
const IN_FLIGHT: usize = 256;
/// Twice this without a word from the consumer, and it is made anew.
const HEARTBEAT: Duration = Duration::from_secs(5);
const PULL_EXPIRES: Duration = Duration::from_secs(30);

/// Where to go on when the consumer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resume {
    /// After the last message delivered: for a log.
    AfterLast,
    /// At the beginning: for a bucket, which somebody may have made anew.
    FromStart,
}

/// What to read.
#[derive(Debug, Clone)]
pub(crate) struct Reading {
    pub(crate) nats: Nats,
    pub(crate) stream: String,
    /// Subjects, with wildcards; none means all.
    pub(crate) filters: Vec<String>,
    pub(crate) resume: Resume,
}

/// A reading under way.
pub(crate) struct Follow {
    reading: Reading,
    /// Sequence of the last message delivered.
    position: u64,
    open: Option<Open>,
    /// Kept across calls, so that a caller who waits shorter than opening takes still gets there.
    opening: Option<BoxFuture<'static, Result<Open, NatsError>>>,
}

struct Open {
    consumer: PullConsumer,
    messages: Stream,
    /// The connection the consumer was made on; requests on it do not outlive it.
    generation: u64,
    /// Messages delivered by this consumer.
    delivered: u64,
    /// Messages that waited behind the last one.
    pending: u64,
}

/// One message of a stream.
#[derive(Debug)]
pub(crate) struct Followed {
    pub(crate) sequence: u64,
    pub(crate) stored_at: Timestamp,
    pub(crate) message: Message,
}

impl std::fmt::Debug for Follow {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Follow").field("reading", &self.reading).field("position", &self.position).finish_non_exhaustive()
    }
}

impl Follow {
    /// Nothing is asked of the server yet.
    pub(crate) fn new(reading: Reading, after: u64) -> Self {
        Self { reading, position: after, open: None, opening: None }
    }

    /// Makes the consumer now, so that what forbids it is known now.
    pub(crate) async fn open(&mut self) -> Result<(), NatsError> {
        if self.open.is_none() {
            self.open = Some(open(self.reading.clone(), self.position).await?);
        }
        Ok(())
    }

    /// Sequence of the last message delivered, at first what the reading began after.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Messages that waited behind the last one when it was sent; `None` while there is no consumer.
    pub(crate) fn pending(&self) -> Option<u64> {
        self.open.as_ref().map(|open| open.pending)
    }

    /// Waits for the next message. Transient trouble is logged and waited out here. Cancelling the wait loses nothing.
    ///
    /// # Errors
    /// Only [`NatsError::Permanent`].
    pub(crate) async fn next(&mut self) -> Result<Followed, NatsError> {
        loop {
            let Some(open) = &mut self.open else {
                self.reopen().await?;
                continue;
            };
            let taken = tokio::select! {
                message = open.messages.next() => open.take(message),
                () = self.reading.nats.reconnected_since(open.generation) => Err("the connection was made anew".to_owned()),
            };
            match taken {
                Ok(followed) if followed.sequence > self.position => {
                    self.position = followed.sequence;
                    return Ok(followed);
                }
                Ok(_) => {}
                Err(reason) => self.lose(&reason),
            }
        }
    }

    /// Whether every message stored until now has been delivered. Borrows nothing: a reading cannot be shared between threads.
    pub(crate) fn caught_up(&self) -> impl Future<Output = Result<bool, NatsError>> + Send + use<> {
        let asked = self.open.as_ref().map(|open| (open.consumer.clone(), open.delivered));
        let (nats, stream) = (self.reading.nats.clone(), self.reading.stream.clone());
        async move {
            let Some((consumer, delivered)) = asked else { return Ok(false) };
            let action = format!("ask how far {stream} was read");
            let api = format!("$JS.API.CONSUMER.INFO.{stream}");
            let ask = async { consumer.get_info().await.map_err(|error| NatsError::transient(&action, error)) };
            let info = nats.request(&action, &[&api], ask).await?;
            Ok(info.num_pending == 0 && info.delivered.consumer_sequence == delivered)
        }
    }

    fn lose(&mut self, reason: &str) {
        tracing::warn!(stream = self.reading.stream, position = self.position, reason, "reading broke off, going on anew");
        self.open = None;
        if self.reading.resume == Resume::FromStart {
            self.position = 0;
        }
    }

    async fn reopen(&mut self) -> Result<(), NatsError> {
        let (reading, position) = (&self.reading, self.position);
        let outcome = self.opening.get_or_insert_with(|| open(reading.clone(), position).boxed()).await;
        self.opening = None;
        match outcome {
            Ok(open) => self.open = Some(open),
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, "cannot read, trying again");
                let reading = self.reading.clone();
                let later = async move {
                    sleep(WAIT_AFTER_FAILURE).await;
                    open(reading, position).await
                };
                self.opening = Some(later.boxed());
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

impl Open {
    /// The message, or why this consumer is of no more use.
    fn take<E: ToString>(&mut self, message: Option<Result<Message, E>>) -> Result<Followed, String> {
        let message = message.ok_or("the consumer ended")?.map_err(|error| error.to_string())?;
        let info = message.info().map_err(|error| error.to_string())?;
        if info.consumer_sequence != self.delivered + 1 {
            return Err(format!("message {} came after {}", info.consumer_sequence, self.delivered));
        }
        self.delivered = info.consumer_sequence;
        self.pending = info.pending;
        let (sequence, stored_at) = (info.stream_sequence, timestamp(info.published)?);
        Ok(Followed { sequence, stored_at, message })
    }
}

/// The server's clock as we keep time.
pub(crate) fn timestamp(time: impl Into<std::time::SystemTime>) -> Result<Timestamp, String> {
    Timestamp::try_from(time.into()).map_err(|error| error.to_string())
}

async fn open(reading: Reading, after: u64) -> Result<Open, NatsError> {
    let generation = reading.nats.generation();
    if reading.resume == Resume::AfterLast && after > 0 {
        check_position(&reading, after).await?;
    }
    let consumer = consumer(&reading, after).await?;
    let action = format!("read {}", reading.stream);
    let builder = consumer.stream().max_messages_per_batch(IN_FLIGHT).expires(PULL_EXPIRES).heartbeat(HEARTBEAT);
    let messages = builder.messages().await.map_err(|error| NatsError::transient(&action, error))?;
    let pending = consumer.cached_info().num_pending;
    Ok(Open { consumer, messages, generation, delivered: 0, pending })
}

/// A consumer of everything after `after`. It lives as long as somebody reads, in the server's memory, and takes no
/// acknowledgements.
pub(crate) async fn consumer(reading: &Reading, after: u64) -> Result<PullConsumer, NatsError> {
    let action = format!("read {}", reading.stream);
    let api = format!("$JS.API.CONSUMER.CREATE.{}", reading.stream);
    let config = Config {
        filter_subjects: reading.filters.clone(),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: after + 1 },
        ack_policy: AckPolicy::None,
        inactive_threshold: UNUSED,
        memory_storage: true,
        num_replicas: 1,
        ..Config::default()
    };
    let create = async {
        let created = reading.nats.jetstream().create_consumer_on_stream(config, &reading.stream).await;
        created.map_err(|error| from_consumer(&action, &error))
    };
    reading.nats.request(&action, &[&api], create).await
}

/// Warns when messages after `after` are gone, and refuses a stream that ends before it.
async fn check_position(reading: &Reading, after: u64) -> Result<(), NatsError> {
    let Bounds { first, last } = bounds(&reading.nats, &reading.stream).await?;
    if last < after {
        let reason = format!(
            "the stream ends at {last}, but message {after} was read from it: it was made anew or restored from an older copy; \
             remove the readers' checkpoints to read it from its start"
        );
        return Err(NatsError::permanent(&format!("read {}", reading.stream), reason));
    }
    if first > after + 1 {
        tracing::warn!(
            stream = reading.stream,
            after,
            first,
            "messages were removed before they were read, going on at the first"
        );
    }
    Ok(())
}

/// First and last sequence of a stream; of an empty one `first` is `last` + 1.
pub(crate) struct Bounds {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

pub(crate) async fn bounds(nats: &Nats, stream: &str) -> Result<Bounds, NatsError> {
    let action = format!("read the state of {stream}");
    let api = format!("$JS.API.STREAM.INFO.{stream}");
    let ask = async {
        let found = from_get_stream(&action, nats.jetstream().get_stream(stream).await)?;
        let found = found.ok_or_else(|| NatsError::transient(&action, "the stream is not made yet"))?;
        let state = &found.cached_info().state;
        Ok(Bounds { first: state.first_sequence, last: state.last_sequence })
    };
    nats.request(&action, &[&api], ask).await
}
