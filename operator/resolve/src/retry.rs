//! Budgets of a stage: the track's, replaced field by field by the stage's own.

use crate::{
    durations::SECOND,
    fault::{Faults, Reason},
};
use trackway_crds::{
    GoDuration,
    contracts::{ResolvedBackoff, ResolvedRetry},
    track::{Backoff, Retry},
};

/// Merges and fills in the defaults.
pub(crate) fn merge(track: Option<&Retry>, stage: Option<&Retry>, stage_path: &str, faults: &mut Faults) -> ResolvedRetry {
    let layers = [stage, track];
    let first =
        |read: fn(&Retry) -> Option<u32>, default| layers.iter().flatten().find_map(|retry| read(retry)).unwrap_or(default);
    ResolvedRetry {
        quality_max_attempts: first(|retry| retry.quality.as_ref()?.max_attempts, 3),
        infrastructure_max_tries: first(|retry| retry.infrastructure.as_ref()?.max_tries, 5),
        model_max_tries: first(|retry| retry.model.as_ref()?.max_tries, 6),
        judge_max_tries: first(|retry| retry.judge.as_ref()?.max_tries, 5),
        model_backoff: backoff(track.and_then(backoff_of), stage.and_then(backoff_of), stage_path, faults),
    }
}

fn backoff_of(retry: &Retry) -> Option<&Backoff> {
    retry.model.as_ref()?.backoff.as_ref()
}

fn backoff(track: Option<&Backoff>, stage: Option<&Backoff>, stage_path: &str, faults: &mut Faults) -> ResolvedBackoff {
    let layers = [stage, track];
    let millis = |read: fn(&Backoff) -> Option<&GoDuration>, default| {
        layers.iter().flatten().find_map(|backoff| read(backoff)).map_or(default, GoDuration::millis)
    };
    let resolved = ResolvedBackoff {
        initial_millis: millis(|backoff| backoff.initial.as_ref(), SECOND),
        factor: layers.iter().flatten().find_map(|backoff| backoff.factor).unwrap_or(2),
        max_millis: millis(|backoff| backoff.max.as_ref(), 30 * SECOND),
    };
    if resolved.initial_millis > resolved.max_millis {
        let owner = if stage.is_some() { stage_path } else { "spec" };
        let message = format!(
            "initial is {} ms, longer than max, {} ms: make initial shorter or max longer",
            resolved.initial_millis, resolved.max_millis
        );
        faults.add(format!("{owner}.retry.model.backoff"), Reason::BadDuration, message);
    }
    resolved
}
