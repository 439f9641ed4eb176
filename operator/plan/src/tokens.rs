//! The budget of tokens of a whole run, looked at before anything is opened.

use crate::{decide, plan::Draft};
use trackway_crds::{
    contracts::{ErrorClass, Revision},
    status::BatchRunStatus,
};

/// The run has used what it may.
pub(crate) const EXHAUSTED: &str = "TokenBudgetExhausted";

/// Tokens of all tries so far, those of the debugger included.
pub(crate) fn used(status: &BatchRunStatus) -> u64 {
    let stages = status.stages.iter().map(|stage| stage.used.tokens);
    stages.chain(status.catch.as_ref().map(|catch| catch.tokens)).fold(0, u64::saturating_add)
}

/// What is left of `limits.tokens`; `None` without a limit.
pub(crate) fn left(status: &BatchRunStatus, revision: &Revision) -> Option<u64> {
    revision.limits.tokens.map(|limit| limit.saturating_sub(used(status)))
}

/// Whether nothing more may be opened.
pub(crate) fn exhausted(status: &BatchRunStatus, revision: &Revision) -> bool {
    left(status, revision) == Some(0)
}

/// Ends the run at `stage`: no try of it can be opened any more.
pub(crate) fn end(draft: &mut Draft<'_>, revision: &Revision, stage: &str) {
    let limit = revision.limits.tokens.unwrap_or_default();
    let message =
        format!("{} of {limit} tokens are used (limits.tokens); raise the limit and start the batch again", used(&draft.status));
    match draft.status.stages.iter().position(|status| status.name == stage) {
        Some(index) => decide::fail_stage(draft, index, None, ErrorClass::Permanent, EXHAUSTED, &message),
        None => draft.fail(Some(stage.to_owned()), ErrorClass::Permanent, EXHAUSTED, &format!("{stage}: {message}")),
    }
}
