//! Why a try brought no verdict.

use std::time::Duration;

use trackway_crds::contracts::ErrorClass;
use trackway_llm::LlmError;
use trackway_prompt::PromptFault;
use trackway_store::StoreError;

/// A failure with its class; becomes the result's `error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) class: ErrorClass,
    /// One CamelCase word.
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
}

/// Outcome of one step of an attempt.
pub(crate) type Step<T> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(class: ErrorClass, reason: &'static str, message: impl Into<String>) -> Self {
        Self { class, reason, message: message.into(), retry_after: None }
    }

    pub(crate) fn permanent(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Permanent, reason, message)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let (class, reason) = match &error {
            StoreError::Transient { .. } => (ErrorClass::Infrastructure, "StoreUnavailable"),
            StoreError::NotFound { .. } => (ErrorClass::Infrastructure, "PayloadNotFound"),
            StoreError::Permanent { .. } => (ErrorClass::Permanent, "StoreRefused"),
            StoreError::Corrupt { .. } => (ErrorClass::Permanent, "PayloadCorrupt"),
        };
        Self::new(class, reason, error.to_string())
    }
}

impl From<LlmError> for Failure {
    fn from(error: LlmError) -> Self {
        let class = if error.is_transient() { ErrorClass::Model } else { ErrorClass::Permanent };
        Self { class, reason: error.reason(), message: error.to_string(), retry_after: error.retry_after() }
    }
}

impl From<PromptFault> for Failure {
    fn from(fault: PromptFault) -> Self {
        Self::permanent(fault.kind.reason(), fault.to_string())
    }
}
