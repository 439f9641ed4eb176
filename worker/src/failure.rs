//! Why a try brought no verdict.

use std::{error::Error, fmt, panic::Location, time::Duration};

use trackway_crds::contracts::ErrorClass;
use trackway_llm::{LlmError, Repeat};
use trackway_prompt::PromptFault;
use trackway_store::StoreError;

/// A failure with its class; becomes the result's `error`, and with its causes and place the record of the failed try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whose failure it is; of all but `permanent`, trying again may help.
    pub class: ErrorClass,
    /// One CamelCase word.
    pub reason: &'static str,
    /// What happened and what to do, for people. May hold a secret that a server echoed until it is scrubbed.
    pub message: String,
    pub(crate) retry_after: Option<Duration>,
    /// What led to it, outermost first.
    pub(crate) causes: Vec<String>,
    /// Where it was found.
    pub(crate) location: &'static Location<'static>,
}

/// Outcome of one step of an attempt.
pub(crate) type Step<T> = Result<T, Failure>;

impl Failure {
    #[track_caller]
    pub(crate) fn new(class: ErrorClass, reason: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { class, reason, message, retry_after: None, causes: Vec::new(), location: Location::caller() }
    }

    #[track_caller]
    pub(crate) fn permanent(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Permanent, reason, message)
    }

    #[track_caller]
    pub(crate) fn infrastructure(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorClass::Infrastructure, reason, message)
    }

    #[track_caller]
    fn caused(class: ErrorClass, reason: &'static str, error: &dyn Error) -> Self {
        let causes = std::iter::successors(error.source(), |cause| Error::source(*cause)).map(ToString::to_string).collect();
        Self { causes, ..Self::new(class, reason, error.to_string()) }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

impl From<StoreError> for Failure {
    #[track_caller]
    fn from(error: StoreError) -> Self {
        let (class, reason) = match &error {
            StoreError::Transient { .. } => (ErrorClass::Infrastructure, "StoreUnavailable"),
            StoreError::NotFound { .. } => (ErrorClass::Infrastructure, "PayloadNotFound"),
            StoreError::Permanent { .. } => (ErrorClass::Permanent, "StoreRefused"),
            StoreError::Corrupt { .. } => (ErrorClass::Permanent, "PayloadCorrupt"),
        };
        Self::caused(class, reason, &error)
    }
}

impl From<LlmError> for Failure {
    #[track_caller]
    fn from(error: LlmError) -> Self {
        let class = if error.is_transient() { ErrorClass::Model } else { ErrorClass::Permanent };
        let mut failure = Self::caused(class, error.reason(), &error);
        failure.retry_after = error.retry_after();
        let repeated = |repeat: &Repeat| format!("{} before it, repeated after {} ms", repeat.reason, repeat.waited_millis);
        failure.causes.extend(error.repeats().iter().rev().map(repeated));
        failure
    }
}

impl From<PromptFault> for Failure {
    #[track_caller]
    fn from(fault: PromptFault) -> Self {
        Self::permanent(fault.kind.reason(), fault.to_string())
    }
}
