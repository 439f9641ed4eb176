//! What can go wrong, sorted by who can mend it.

use std::error::Error as _;
use std::time::Duration;

use async_nats::jetstream;
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind, PublishError, PublishErrorKind};
use async_nats::jetstream::stream::{ConsumerError, ConsumerErrorKind, DirectGetError, DirectGetErrorKind};
use async_nats::jetstream::stream::{LastRawMessageError, LastRawMessageErrorKind};

use crate::retry::Retryable;

/// A failed operation on NATS. `action` says what was tried, `reason` what happened and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NatsError {
    /// NATS was away, slow or between leaders; the same call may work later.
    #[error("{action}: {reason}")]
    Transient {
        /// What was tried.
        action: String,
        /// What happened.
        reason: String,
    },
    /// The same call will fail again until somebody changes a setting.
    #[error("{action}: {reason}")]
    Permanent {
        /// What was tried.
        action: String,
        /// What happened and what to change.
        reason: String,
    },
}

impl NatsError {
    pub(crate) fn transient(action: &str, reason: impl ToString) -> Self {
        Self::Transient { action: action.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn permanent(action: &str, reason: impl ToString) -> Self {
        Self::Permanent { action: action.to_owned(), reason: reason.to_string() }
    }
}

impl Retryable for NatsError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }

    fn out_of_time(what: &str, given: Duration) -> Self {
        Self::transient(what, format!("no answer within {given:?}"))
    }
}

/// JetStream's own errors carry an HTTP-like status: 4xx is our request, 5xx the server's state.
pub(crate) fn from_server(action: &str, error: &jetstream::Error) -> NatsError {
    // Said with status 503, and no waiting mends them.
    let switched_off = [jetstream::ErrorCode::JETSTREAM_NOT_ENABLED, jetstream::ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT]
        .contains(&error.error_code());
    if switched_off {
        NatsError::permanent(action, format!("{error}: enable JetStream in the NATS server's configuration"))
    } else if error.code() >= 500 || error.code() == 404 {
        NatsError::transient(action, error)
    } else {
        NatsError::permanent(action, format!("{error}: NATS refuses the request as it is"))
    }
}

/// The error JetStream answered with, when it did answer.
fn server_error(error: &PublishError) -> Option<&jetstream::Error> {
    error.source().and_then(|source| source.downcast_ref::<jetstream::Error>())
}

/// Whether a publish was refused because its subject has its one message. The server reports every failure to store under one
/// code, a full stream's too; only the words tell them apart.
pub(crate) fn is_taken(error: &PublishError) -> bool {
    server_error(error).is_some_and(|answer| store_failed(answer, &["maximum messages per subject exceeded"]))
}

/// Whether the stream has no room; see [`is_taken`] for why words decide.
fn is_full(answer: &jetstream::Error) -> bool {
    store_failed(answer, &["maximum messages exceeded", "maximum bytes exceeded"])
}

fn store_failed(answer: &jetstream::Error, reasons: &[&str]) -> bool {
    const STORE_FAILED: jetstream::ErrorCode = jetstream::ErrorCode(10077);
    let said = answer.to_string();
    answer.error_code() == STORE_FAILED && reasons.iter().any(|reason| said.contains(reason))
}

pub(crate) fn from_publish(action: &str, error: &PublishError) -> NatsError {
    match error.kind() {
        PublishErrorKind::StreamNotFound => {
            NatsError::transient(action, "no stream takes this subject: it is not made yet, or has no leader at the moment")
        }
        PublishErrorKind::MaxPayloadExceeded => NatsError::permanent(
            action,
            format!("{error}; send less, or raise max_payload in the NATS server's configuration (1 MiB by default)"),
        ),
        _ => match server_error(error) {
            Some(answer) if is_full(answer) => NatsError::transient(
                action,
                format!("the stream is full ({answer}): raise its limit, or wait until its oldest messages are over"),
            ),
            Some(answer) => from_server(action, answer),
            None => NatsError::transient(action, error),
        },
    }
}

/// `Ok(None)`: no such message.
pub(crate) fn from_direct_get<T>(action: &str, outcome: Result<T, DirectGetError>) -> Result<Option<T>, NatsError> {
    match outcome {
        Ok(message) => Ok(Some(message)),
        Err(error) => match error.kind() {
            DirectGetErrorKind::NotFound => Ok(None),
            DirectGetErrorKind::InvalidSubject => Err(NatsError::permanent(action, error)),
            _ => Err(NatsError::transient(action, error)),
        },
    }
}

/// `Ok(None)`: no such message.
pub(crate) fn from_leader_get<T>(action: &str, outcome: Result<T, LastRawMessageError>) -> Result<Option<T>, NatsError> {
    match outcome {
        Ok(message) => Ok(Some(message)),
        Err(error) => match error.kind() {
            LastRawMessageErrorKind::NoMessageFound => Ok(None),
            LastRawMessageErrorKind::InvalidSubject => Err(NatsError::permanent(action, error)),
            LastRawMessageErrorKind::JetStream(answer) => Err(from_server(action, &answer)),
            LastRawMessageErrorKind::Other => Err(NatsError::transient(action, error)),
        },
    }
}

pub(crate) fn from_consumer(action: &str, error: &ConsumerError) -> NatsError {
    match error.kind() {
        ConsumerErrorKind::JetStream(answer) => from_server(action, &answer),
        ConsumerErrorKind::InvalidName | ConsumerErrorKind::InvalidConsumerType => NatsError::permanent(action, error),
        _ => NatsError::transient(action, error),
    }
}

/// `Ok(None)`: no such stream.
pub(crate) fn from_get_stream<T>(
    action: &str,
    outcome: Result<T, jetstream::context::GetStreamError>,
) -> Result<Option<T>, NatsError> {
    match outcome {
        Ok(stream) => Ok(Some(stream)),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(answer) if answer.error_code() == jetstream::ErrorCode::STREAM_NOT_FOUND => Ok(None),
            GetStreamErrorKind::JetStream(answer) => Err(from_server(action, &answer)),
            GetStreamErrorKind::Request => Err(NatsError::transient(action, error)),
            GetStreamErrorKind::EmptyName | GetStreamErrorKind::InvalidStreamName => Err(NatsError::permanent(action, error)),
        },
    }
}

pub(crate) fn from_change_stream(action: &str, error: &jetstream::context::CreateStreamError) -> NatsError {
    match error.kind() {
        CreateStreamErrorKind::JetStream(answer) => from_server(action, &answer),
        CreateStreamErrorKind::TimedOut
        | CreateStreamErrorKind::JetStreamUnavailable
        | CreateStreamErrorKind::Response
        | CreateStreamErrorKind::ResponseParse => NatsError::transient(action, error),
        _ => NatsError::permanent(action, error),
    }
}
