//! What went wrong, as two types: asking again may help, or it never will.

use std::time::Duration;

use crate::repeat::Repeat;

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LlmError {
    /// Another try may succeed.
    #[error(transparent)]
    Transient(TransientError),
    /// The same request will fail again.
    #[error(transparent)]
    Permanent(PermanentError),
}

/// A failure that another try may not meet.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct TransientError {
    /// What kind of failure.
    pub reason: TransientReason,
    /// What, where, and what to do, for people.
    pub message: String,
    /// How long the server asked to be left alone, as of the last answer.
    pub retry_after: Option<Duration>,
    /// The repeats already made, in order.
    pub repeats: Vec<Repeat>,
    /// Time spent, waits included, in milliseconds.
    pub millis: u64,
}

/// A failure that will be met again.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{message}")]
pub struct PermanentError {
    /// What kind of failure.
    pub reason: PermanentReason,
    /// What, where, and what to do, for people.
    pub message: String,
    /// The repeats made before it, in order.
    pub repeats: Vec<Repeat>,
    /// Time spent, waits included, in milliseconds.
    pub millis: u64,
}

/// Kinds of failures that pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransientReason {
    /// 429: too many requests or tokens for now.
    RateLimited,
    /// 5xx.
    ServerError,
    /// 408, or no complete answer within the request's timeout.
    Timeout,
    /// 409.
    Conflict,
    /// No connection: name, address, port or TLS handshake.
    Connect,
    /// The connection broke before the answer was complete.
    ConnectionLost,
    /// 200, but not a chat completion, or not the vectors asked for.
    Malformed,
}

/// Kinds of failures that stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermanentReason {
    /// 401: no key, or one the server does not know.
    Unauthorized,
    /// 403: the key may not use this.
    Forbidden,
    /// 404 or 405: no such model or path.
    NotFound,
    /// 400, 422 and other 4xx.
    BadRequest,
    /// The account's quota or credit is used up.
    QuotaExhausted,
    /// The request is longer than the model or server takes.
    ContextLength,
    /// The server's content filter refuses the request itself.
    Refused,
    /// A redirect, which is not followed: it could carry the key elsewhere.
    Redirected,
    /// The server's certificate is not trusted.
    CertificateRejected,
    /// The answer is larger than the client reads.
    AnswerTooLarge,
    /// The request cannot be put into HTTP.
    InvalidRequest,
}

impl TransientReason {
    /// The word recorded in status.
    pub fn as_str(self) -> &'static str {
        match self {
            TransientReason::RateLimited => "RateLimited",
            TransientReason::ServerError => "ServerError",
            TransientReason::Timeout => "Timeout",
            TransientReason::Conflict => "Conflict",
            TransientReason::Connect => "Connect",
            TransientReason::ConnectionLost => "ConnectionLost",
            TransientReason::Malformed => "Malformed",
        }
    }

    /// Whether the same HTTP request is worth repeating at once. A server that answers 200 with something else will not
    /// have learned the protocol a second later.
    pub(crate) fn repeats(self) -> bool {
        self != TransientReason::Malformed
    }
}

impl PermanentReason {
    /// The word recorded in status.
    pub fn as_str(self) -> &'static str {
        match self {
            PermanentReason::Unauthorized => "Unauthorized",
            PermanentReason::Forbidden => "Forbidden",
            PermanentReason::NotFound => "NotFound",
            PermanentReason::BadRequest => "BadRequest",
            PermanentReason::QuotaExhausted => "QuotaExhausted",
            PermanentReason::ContextLength => "ContextLength",
            PermanentReason::Refused => "Refused",
            PermanentReason::Redirected => "Redirected",
            PermanentReason::CertificateRejected => "CertificateRejected",
            PermanentReason::AnswerTooLarge => "AnswerTooLarge",
            PermanentReason::InvalidRequest => "InvalidRequest",
        }
    }
}

impl LlmError {
    pub(crate) fn transient(reason: TransientReason, message: String, retry_after: Option<Duration>) -> LlmError {
        LlmError::Transient(TransientError { reason, message, retry_after, repeats: Vec::new(), millis: 0 })
    }

    pub(crate) fn permanent(reason: PermanentReason, message: String) -> LlmError {
        LlmError::Permanent(PermanentError { reason, message, repeats: Vec::new(), millis: 0 })
    }

    /// Whether another try may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, LlmError::Transient(_))
    }

    /// The CamelCase word recorded in status.
    pub fn reason(&self) -> &'static str {
        match self {
            LlmError::Transient(error) => error.reason.as_str(),
            LlmError::Permanent(error) => error.reason.as_str(),
        }
    }

    /// How long the server asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            LlmError::Transient(error) => error.retry_after,
            LlmError::Permanent(_) => None,
        }
    }

    /// The repeats of the HTTP request already made.
    pub fn repeats(&self) -> &[Repeat] {
        match self {
            LlmError::Transient(error) => &error.repeats,
            LlmError::Permanent(error) => &error.repeats,
        }
    }

    pub(crate) fn after(mut self, made: Vec<Repeat>, spent: Duration) -> LlmError {
        let (repeats, millis) = match &mut self {
            LlmError::Transient(error) => (&mut error.repeats, &mut error.millis),
            LlmError::Permanent(error) => (&mut error.repeats, &mut error.millis),
        };
        *repeats = made;
        *millis = millis_of(spent);
        self
    }
}

/// Whole milliseconds.
pub(crate) fn millis_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
