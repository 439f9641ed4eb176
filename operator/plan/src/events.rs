//! Events tell the story of a run. They carry reasons and numbers, never texts of tenants or models (invariant 13).

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventReason {
    /// The first stage began.
    Started,
    /// A stage began.
    StageStarted,
    /// A stage was accepted.
    StageSucceeded,
    /// An attempt was judged too low, or a try brought no verdict.
    StageRetried,
    /// A budget is used up, or an error is permanent.
    StageFailed,
    /// A target of a fan-out failed for good.
    TargetFailed,
    /// The tenant was asked for what is missing; the run waits.
    WaitingForContext,
    /// The debugger explained the failure.
    Diagnosed,
    /// The run is suspended.
    Suspended,
    /// The run goes on: it is no longer suspended, or no longer waits for answers.
    Resumed,
    /// The run ended well.
    Succeeded,
    /// The run failed.
    Failed,
    /// The run was cancelled.
    Cancelled,
}

impl EventReason {
    /// As written in Events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "Started",
            Self::StageStarted => "StageStarted",
            Self::StageSucceeded => "StageSucceeded",
            Self::StageRetried => "StageRetried",
            Self::StageFailed => "StageFailed",
            Self::TargetFailed => "TargetFailed",
            Self::WaitingForContext => "WaitingForContext",
            Self::Diagnosed => "Diagnosed",
            Self::Suspended => "Suspended",
            Self::Resumed => "Resumed",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Cancelled => "Cancelled",
        }
    }

    /// Whether it is a Warning.
    #[must_use]
    pub fn is_warning(self) -> bool {
        matches!(self, Self::StageFailed | Self::TargetFailed | Self::Failed)
    }
}

/// One Event to publish once the status is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventNote {
    /// What happened.
    pub reason: EventReason,
    /// To what: stage, attempt and try. Events that differ in nothing else would be joined.
    pub action: String,
    /// For people.
    pub note: String,
}

impl EventNote {
    pub(crate) fn new(reason: EventReason, action: impl Into<String>, note: impl Into<String>) -> Self {
        Self { reason, action: action.into(), note: note.into() }
    }
}
