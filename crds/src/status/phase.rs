//! Where a run stands.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a run stands.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waits for its Track to be ready.
    Pending,
    /// A stage runs, or is about to run again.
    Running,
    /// The tenant was asked for what is missing; the stage that asked names the Questionnaire.
    WaitingForContext,
    /// `spec.suspend` holds it.
    Suspended,
    /// A stage has failed for good; the debugger looks why.
    Diagnosing,
    /// Every stage succeeded.
    Succeeded,
    /// A stage failed, or a deadline passed.
    Failed,
    /// Stopped by `spec.cancel`.
    Cancelled,
}

impl Phase {
    /// Whether nothing will happen any more.
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// As written in resources.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::WaitingForContext => "WaitingForContext",
            Self::Suspended => "Suspended",
            Self::Diagnosing => "Diagnosing",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }
}
