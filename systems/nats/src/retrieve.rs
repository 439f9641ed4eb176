//! Questions for past events: request and reply on `RETRIEVE.<namespace>`, which nothing stores.
//!
//! Who asks publishes to `RETRIEVE.<its namespace>` and hears its own inbox; who answers subscribes to `RETRIEVE.*` and may
//! publish to the inboxes it was asked from (`allow_responses` of the server's permissions), to no other.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Message, Request, Subject, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use tokio::time::sleep;

use crate::retry::Retryable;
use crate::subjects::{RETRIEVE, token};
use crate::{Nats, NatsError};

/// Largest answer in bytes, below the limit of a message (1 MiB unless the server says otherwise) with room for headers.
pub const MAX_ANSWER_BYTES: usize = 900 << 10;
/// Largest question in bytes: far above a text of 8 KiB however it is escaped.
const MAX_QUESTION_BYTES: usize = 64 << 10;
const WAIT_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// Asks the vectorizers once, for `namespace`, and waits for the answer for at most `limit`.
///
/// # Errors
/// [`NatsError`]; that nobody listens or answers is transient.
pub async fn ask(nats: &Nats, namespace: &str, payload: Bytes, limit: Duration) -> Result<Bytes, NatsError> {
    token("namespace", namespace)?;
    let subject = format!("{RETRIEVE}.{namespace}");
    let action = format!("ask {subject}");
    if payload.len() > MAX_QUESTION_BYTES {
        let reason = format!("the question has {} bytes, at most {MAX_QUESTION_BYTES} are asked", payload.len());
        return Err(NatsError::permanent(&action, reason));
    }
    let request = async {
        let request = Request::new().payload(payload).timeout(Some(limit));
        let answered = nats.jetstream().client().send_request(subject.clone(), request).await;
        let message = answered.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => NatsError::transient(
                &action,
                "no vectorizer answers: deploy it (it needs an embedding model), or take retrieve out of the Track",
            ),
            RequestErrorKind::TimedOut => NatsError::transient(&action, format!("no answer within {limit:?}")),
            RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => NatsError::permanent(&action, error),
            RequestErrorKind::Other => NatsError::transient(&action, error),
        })?;
        Ok(message.payload)
    };
    nats.request(&action, &[&subject], request).await
}

/// One question.
#[derive(Debug)]
pub struct Question {
    /// The asking namespace, of the subject: only its NATS user may publish there.
    pub namespace: String,
    /// What is asked, unread.
    pub payload: Bytes,
    nats: Nats,
    reply: Subject,
}

impl Question {
    /// Answers it. Who asked may have gone; nobody is told.
    ///
    /// # Errors
    /// [`NatsError::Permanent`] for more than [`MAX_ANSWER_BYTES`]; else transient.
    pub async fn answer(&self, payload: Bytes) -> Result<(), NatsError> {
        let action = format!("answer {RETRIEVE}.{}", self.namespace);
        if payload.len() > MAX_ANSWER_BYTES {
            let reason = format!("the answer has {} bytes, at most {MAX_ANSWER_BYTES} are sent", payload.len());
            return Err(NatsError::permanent(&action, reason));
        }
        let client = self.nats.jetstream().client();
        client.publish(self.reply.clone(), payload).await.map_err(|error| NatsError::transient(&action, error))
    }
}

/// The questions of all namespaces, shared out among all that use one queue group. It lives through reconnects.
#[derive(Debug)]
pub struct Questions {
    nats: Nats,
    group: String,
    subscriber: Option<Subscriber>,
}

impl Questions {
    /// Questions for `group`. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// [`NatsError::Permanent`] when `group` holds what a subject cannot.
    pub fn open(nats: &Nats, group: &str) -> Result<Self, NatsError> {
        token("queue group", group)?;
        Ok(Self { nats: nats.clone(), group: group.to_owned(), subscriber: None })
    }

    /// Waits for the next question. Cancelling the wait loses none.
    ///
    /// # Errors
    /// Only [`NatsError::Permanent`], for example when the user may not subscribe.
    pub async fn next(&mut self) -> Result<Question, NatsError> {
        loop {
            match self.try_next().await {
                Ok(message) => {
                    let namespace = message.subject.rsplit('.').next().unwrap_or_default().to_owned();
                    // A message without an inbox wants no answer.
                    let Some(reply) = message.reply else { continue };
                    return Ok(Question { namespace, payload: message.payload, nats: self.nats.clone(), reply });
                }
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, "cannot hear questions, trying again");
                    sleep(WAIT_AFTER_FAILURE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn try_next(&mut self) -> Result<Message, NatsError> {
        let subject = format!("{RETRIEVE}.*");
        let action = format!("hear {subject}");
        let Self { nats, group, subscriber } = self;
        let failed = |reason: String| NatsError::transient(&action, reason);
        let hear = async {
            let client = nats.jetstream().client();
            if subscriber.is_none() {
                let opened = client.queue_subscribe(subject.clone(), group.clone()).await;
                *subscriber = Some(opened.map_err(|error| failed(error.to_string()))?);
            }
            let message = match subscriber {
                Some(open) => open.next().await,
                None => None,
            };
            if message.is_none() {
                *subscriber = None;
            }
            message.ok_or_else(|| failed("the subscription was closed".to_owned()))
        };
        // Waited for here as well, so that a refusal of the subscription is heard whenever it comes.
        nats.request(&action, &[&subject], hear).await
    }
}
