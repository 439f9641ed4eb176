//! Publishing a subject's first and only message.

use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;

use crate::error::{from_publish, is_taken};
use crate::{Nats, NatsError};

/// What became of a write-once message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publication {
    /// It is the subject's message now.
    Published,
    /// The subject had one already, maybe our own of an earlier try whose acknowledgement was lost.
    AlreadyThere,
}

/// Publishes `payload` as the first message of `subject` and waits until the stream has stored it.
pub(crate) async fn publish_once(
    nats: &Nats,
    subject: &str,
    headers: HeaderMap,
    payload: Bytes,
) -> Result<Publication, NatsError> {
    match publish_after(nats, subject, headers, payload, 0).await? {
        Some(_) => Ok(Publication::Published),
        None => Ok(Publication::AlreadyThere),
    }
}

/// Publishes if the last message of `subject` has sequence `last` (0: none); returns the new sequence, `None` if it has not.
pub(crate) async fn publish_after(
    nats: &Nats,
    subject: &str,
    headers: HeaderMap,
    payload: Bytes,
    last: u64,
) -> Result<Option<u64>, NatsError> {
    publish(nats, subject, headers, payload, Some(last)).await
}

/// As [`publish_after`]; `None` expects nothing, so that only a write-once stream can refuse.
pub(crate) async fn publish(
    nats: &Nats,
    subject: &str,
    headers: HeaderMap,
    payload: Bytes,
    last: Option<u64>,
) -> Result<Option<u64>, NatsError> {
    let action = format!("publish {subject}");
    let message = PublishMessage::build().headers(headers).payload(payload);
    let message = match last {
        Some(last) => message.expected_last_subject_sequence(last),
        None => message,
    };
    let publish = async {
        let acknowledged = match nats.jetstream().send_publish(subject.to_owned(), message).await {
            Ok(sent) => sent.await,
            Err(error) => Err(error),
        };
        match acknowledged {
            Ok(acknowledgement) => Ok(Some(acknowledgement.sequence)),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(None),
            Err(error) if is_taken(&error) => Ok(None),
            Err(error) => Err(from_publish(&action, &error)),
        }
    };
    nats.request(&action, &[subject], publish).await
}
