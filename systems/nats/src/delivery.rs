//! One sealed batch in the hands of whoever took it.

use std::time::Duration;

use async_nats::jetstream::{AckKind, Message};
use bytes::Bytes;
use trackway_crds::track::Priority;

use crate::dlq::envelope;
use crate::subjects::DLQ;
use crate::write_once::publish_once;
use crate::{Nats, NatsError};

/// One delivery of a sealed batch. It comes again unless it is acknowledged, ended or kept alive within a minute.
pub struct Delivery {
    nats: Nats,
    message: Message,
    priority: Priority,
    id: String,
    delivered: i64,
    sequence: u64,
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Delivery")
            .field("priority", &self.priority)
            .field("id", &self.id)
            .field("delivered", &self.delivered)
            .finish_non_exhaustive()
    }
}

impl Delivery {
    pub(crate) fn new(nats: &Nats, priority: Priority, message: Message) -> Result<Self, NatsError> {
        let info = message.info().map_err(|error| NatsError::transient("read a delivered batch", error))?;
        let (delivered, sequence) = (info.delivered, info.stream_sequence);
        let id = message.subject.rsplit('.').next().unwrap_or_default().to_owned();
        Ok(Self { nats: nats.clone(), message, priority, id, delivered, sequence })
    }

    /// The BATCH_READY document as published.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.message.payload
    }

    /// The batch id in the subject.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The priority in the subject.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// How many times this batch was delivered, this time included.
    #[must_use]
    pub fn delivered(&self) -> i64 {
        self.delivered
    }

    /// Done: never deliver it again. Waits until the server has noted it. A server that is killed may forget what it noted in
    /// its last seconds and deliver again, so handling a batch must be safe to repeat.
    ///
    /// # Errors
    /// [`NatsError`]; after a transient one the batch comes again.
    pub async fn ack(&self) -> Result<(), NatsError> {
        self.answer("acknowledge", AckKind::Ack).await
    }

    /// Not now: deliver it again after `delay`.
    ///
    /// # Errors
    /// [`NatsError`]; after a transient one the batch comes again when its minute is over.
    pub async fn nak(&self, delay: Duration) -> Result<(), NatsError> {
        self.answer("postpone", AckKind::Nak(Some(delay))).await
    }

    /// Still at it: another minute from now.
    ///
    /// # Errors
    /// [`NatsError`].
    pub async fn progress(&self) -> Result<(), NatsError> {
        self.answer("keep", AckKind::Progress).await
    }

    /// Nobody can handle it: copies it to `DLQ.BATCH_READY.<priority>.<id>` with `reason` and never delivers it again. Safe to
    /// repeat.
    ///
    /// # Errors
    /// [`NatsError`]; after a transient one the batch comes again.
    pub async fn dead_letter(&self, reason: &str) -> Result<(), NatsError> {
        let mut headers = envelope(&self.message.subject, self.sequence, reason);
        headers.insert("Trackway-Delivered", self.delivered.to_string().as_str());
        let subject = format!("{DLQ}.{}", self.message.subject);
        publish_once(&self.nats, &subject, headers, self.message.payload.clone()).await?;
        self.answer("dead-letter", AckKind::Term).await
    }

    async fn answer(&self, verb: &str, kind: AckKind) -> Result<(), NatsError> {
        let action = format!("{verb} batch {}", self.id);
        let answer = async { self.message.double_ack_with(kind).await.map_err(|error| NatsError::transient(&action, error)) };
        let subject = self.message.reply.as_deref().unwrap_or_default();
        self.nats.request(&action, &[subject], answer).await
    }
}
