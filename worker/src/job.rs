//! What one attempt is given.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;
use trackway_crds::contracts::{Assignment, Revision};

/// Largest output of a stage in bytes, as JSON.
pub const MAX_OUTPUT_BYTES: usize = 4 << 20;
/// Largest rendered prompt in bytes, both parts together. Far above what models read; it keeps a runaway template from being
/// stored and sent.
pub const MAX_PROMPT_BYTES: usize = 2_000_000;

/// Longest time kept back at the end of an attempt for reporting it.
const MARGIN: Duration = Duration::from_secs(10);

/// One try of one attempt of one stage.
#[derive(Clone, Debug)]
pub struct AttemptJob {
    /// For whom.
    pub assignment: Assignment,
    /// What to do.
    pub revision: Revision,
    /// Prompts and schemas by the names the revision gives them.
    pub files: BTreeMap<String, String>,
    /// Uid of the pod that works; goes into the result.
    pub pod_uid: String,
    /// When to give up; see [`attempt_deadline`].
    pub deadline: Instant,
}

/// When an attempt that began at `started` gives up: a tenth of the stage's timeout (at most 10 s) before Kubernetes would end
/// the pod without a result.
#[must_use]
pub fn attempt_deadline(started: Instant, timeout_millis: u64) -> Instant {
    let timeout = Duration::from_millis(timeout_millis);
    started + timeout.saturating_sub(MARGIN.min(timeout / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_gives_up_before_its_pod_is_ended() {
        let start = Instant::now();
        assert_eq!(attempt_deadline(start, 600_000) - start, Duration::from_secs(590));
        assert_eq!(attempt_deadline(start, 10_000) - start, Duration::from_secs(9));
    }
}
