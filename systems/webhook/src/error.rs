//! What went wrong, by what it means: later, never for this notice, never at all.

use std::time::Duration;

use crate::key::KeyError;

/// Why a notice was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The receiver was away, slow or busy; the same notice may be taken later.
    #[error(transparent)]
    Transient(TransientError),
    /// The receiver answered, and does not want this notice.
    #[error(transparent)]
    Refused(Refusal),
    /// Nothing can be sent to this receiver until somebody changes something.
    #[error("{message}")]
    Permanent {
        /// What, where, and what to do.
        message: String,
    },
}

/// A failure that another try may not meet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TransientError {
    /// What, where, and what to do.
    pub message: String,
    /// The receiver's HTTP status, if it answered.
    pub status: Option<u16>,
    /// How long the receiver asked to be left alone.
    pub retry_after: Option<Duration>,
    /// Repeats already made.
    pub repeats: u32,
}

/// An answer that repeating does not change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the receiver answered {status}: {excerpt}")]
pub struct Refusal {
    /// The receiver's HTTP status.
    pub status: u16,
    /// Its words, at most 200 bytes, without the signing secret.
    pub excerpt: String,
}

/// A channel no client can be made for. Permanent: it needs another Track or Secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Not an absolute `http://` or `https://` URL.
    #[error("url {url:?} {why}; give an absolute address such as https://hooks.example/notices")]
    Url {
        /// The address without user, password and query.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Not a signing secret.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The HTTP client cannot be set up.
    #[error("no HTTP client: {0}")]
    Client(String),
}
