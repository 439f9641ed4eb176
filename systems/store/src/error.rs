//! What can go wrong, sorted by what it means for an attempt.

use std::error::Error as _;
use std::io::ErrorKind;
use std::time::Duration;

use trackway_nats::{NatsError, Retryable};

/// A failed operation of the payload store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The store was away or slow; the same call may work later.
    #[error("{action}: {reason}")]
    Transient {
        /// What was tried.
        action: String,
        /// What happened.
        reason: String,
    },
    /// The same call will fail again until somebody changes something.
    #[error("{action}: {reason}")]
    Permanent {
        /// What was tried.
        action: String,
        /// What happened and what to change.
        reason: String,
    },
    /// Nothing is stored there. With several replicas of the store, what was written milliseconds ago may not show yet.
    #[error("{what} is not in the payload store: it was never written, or it was deleted with its run")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// What is stored there is not what its name promises.
    #[error("{what} is damaged: {reason}; restore it from a backup, or replay the run")]
    Corrupt {
        /// What was read.
        what: String,
        /// What does not fit.
        reason: String,
    },
}

impl StoreError {
    pub(crate) fn transient(action: &str, reason: impl ToString) -> Self {
        Self::Transient { action: action.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn permanent(action: &str, reason: impl ToString) -> Self {
        Self::Permanent { action: action.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn corrupt(what: &str, reason: impl ToString) -> Self {
        Self::Corrupt { what: what.to_owned(), reason: reason.to_string() }
    }
}

impl Retryable for StoreError {
    fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }

    fn out_of_time(what: &str, given: Duration) -> Self {
        Self::transient(what, format!("no answer within {given:?}"))
    }
}

impl From<NatsError> for StoreError {
    fn from(error: NatsError) -> Self {
        match error {
            NatsError::Transient { action, reason } => Self::Transient { action, reason },
            NatsError::Permanent { action, reason } => Self::Permanent { action, reason },
        }
    }
}

/// An error of the object store that means neither "exists" nor "not there".
pub(crate) fn from_objects(action: &str, error: &object_store::Error) -> StoreError {
    use object_store::Error;
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            StoreError::permanent(action, format!("{error}; check the store's credentials and what they may do"))
        }
        Error::NotSupported { .. }
        | Error::NotImplemented { .. }
        | Error::InvalidPath { .. }
        | Error::UnknownConfigurationKey { .. } => StoreError::permanent(action, error),
        // Only a missing bucket or folder: missing objects are told apart before.
        Error::NotFound { .. } => StoreError::permanent(action, format!("{error}; create the bucket or folder first")),
        _ if denied_by_the_file_system(error) => {
            StoreError::permanent(action, format!("{error}; let this process write to the folder"))
        }
        _ => StoreError::transient(action, error),
    }
}

fn denied_by_the_file_system(error: &object_store::Error) -> bool {
    let mut cause = error.source();
    while let Some(inner) = cause {
        let kind = inner.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)) {
            return true;
        }
        cause = inner.source();
    }
    false
}
