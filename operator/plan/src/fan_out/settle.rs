//! What follows from the end of one target's try: accepted, due again, or failed. Budgets are a target's own.

use super::{FanOut, Tipped, worst};
use crate::{conclude::Outcome, decide, events::EventReason, plan::Draft, timing::later};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use std::collections::BTreeMap;
use trackway_crds::{
    Score,
    contracts::{ErrorClass, ResolvedRetry, ResolvedStage, ResultError},
    ledger::{MAX_ATTEMPTS, MAX_TRIES, Target, TargetState},
    status::{TargetError, Used, WorstTarget},
    text,
};

/// Most bytes of the message of a target's error, JSON-escaped.
const MAX_ERROR_BYTES: usize = 96;
/// Most bytes of a target's key, JSON-escaped.
const MAX_KEY_BYTES: usize = 64;

/// What one ended try did to its target.
#[derive(Debug, Default, PartialEq, Eq)]
struct Settled {
    /// The score with which it was accepted.
    accepted: Option<Score>,
    /// Why it failed for good.
    error: Option<TargetError>,
    /// The model's server wants to be left alone for so many milliseconds.
    pause: u64,
}

/// Settles target `index`.
pub(super) fn settle(draft: &mut Draft<'_>, fan_out: &mut FanOut<'_>, index: u32, outcome: Outcome) {
    let (resolved, stage) = (fan_out.resolved, fan_out.stage);
    let Some(target) = fan_out.target(index) else { return };
    let used = &mut draft.status.stages[stage].used;
    let (settled, key, at) = match outcome {
        Outcome::Lost(error) => (failed(target, used, &resolved.retry, error), None, draft.now),
        Outcome::Reported { result, arrived_at } => {
            used.tokens = used.tokens.saturating_add(result.tokens.total());
            let settled = match decide::usable(&result, resolved) {
                Ok(scores) => judged(target, used, resolved, &scores),
                Err(error) => failed(target, used, &resolved.retry, error),
            };
            (settled, result.key, arrived_at)
        }
    };
    let target = *target;
    if settled.pause > 0 {
        pause(draft, fan_out, later(at, settled.pause));
    }
    if target.state == TargetState::Due
        && let Some(targets) = fan_out.targets(draft)
    {
        let since = targets.due_since.as_ref().map_or(at, |since| since.0.min(at));
        targets.due_since = Some(MicroTime(since));
    }
    if target.state.is_ended() {
        let key = key.map_or_else(|| index.to_string(), |key| text::cut(&key, MAX_KEY_BYTES));
        ended(draft, fan_out, &target, settled, index, key);
    }
}

/// One pause for the whole stage: it is the same server for all targets.
fn pause(draft: &mut Draft<'_>, fan_out: &mut FanOut<'_>, until: jiff::Timestamp) {
    let now = draft.now;
    let stage = &mut draft.status.stages[fan_out.stage];
    let old = stage.not_before.as_ref().map(|at| at.0);
    // Longer pauses are written with the next progress; that there is one is written at once.
    fan_out.urgent |= old.is_none_or(|old| old <= now);
    stage.not_before = Some(MicroTime(old.map_or(until, |old| old.max(until))));
}

fn ended(draft: &mut Draft<'_>, fan_out: &mut FanOut<'_>, target: &Target, settled: Settled, index: u32, key: String) {
    let name = fan_out.resolved.name.clone();
    let Settled { accepted, error, .. } = settled;
    let score = accepted.or_else(|| target.best_score());
    let told = WorstTarget { index, key, attempt: target.attempt, score, error };
    let failures = fan_out.ledger.count(TargetState::is_failed);
    if let Some(error) = &told.error {
        let best = score.map_or_else(String::new, |score| format!(", best score {score}"));
        let note = format!("{name}: target {index} failed: {} {}{best}", error.class.as_str(), error.reason);
        draft.out.why.push(note.clone());
        draft.event(EventReason::TargetFailed, format!("{name}/{index}"), note);
        let total = u32::try_from(fan_out.ledger.0.len()).unwrap_or(u32::MAX);
        if !fan_out.tipped.as_ref().is_some_and(|tipped| tipped.certain) {
            let certain = failures > fan_out.for_each.tolerated_failures.of(total);
            fan_out.tipped = Some(Tipped { target: told.clone(), certain });
        }
    }
    let Some(targets) = fan_out.targets(draft) else { return };
    if let Some(score) = accepted {
        targets.lowest = Some(targets.lowest.map_or(score, |lowest| lowest.min(score)));
    }
    worst::insert(&mut targets.worst, told);
}

/// A verdict: accepted, another attempt, or the end.
fn judged(target: &mut Target, used: &mut Used, resolved: &ResolvedStage, scores: &BTreeMap<String, Score>) -> Settled {
    let (overall, accepted) = decide::weigh(resolved, scores);
    used.quality += u32::from(resolved.judge.is_some());
    if let Some(overall) = overall {
        target.scored(overall);
    }
    if accepted {
        target.state = TargetState::Succeeded;
        return Settled { accepted: overall, ..Settled::default() };
    }
    if target.attempt < resolved.retry.quality_max_attempts.min(MAX_ATTEMPTS) {
        target.attempt += 1;
        target.state = TargetState::Due;
        return Settled::default();
    }
    target.state = TargetState::FailedQuality;
    let best = target.best_score().unwrap_or_default();
    let threshold = resolved.judge.as_ref().map(|judge| judge.threshold).unwrap_or_default();
    let message = format!("best of {} attempts scored {best}, needs {threshold}", target.attempt);
    Settled { error: Some(error(ErrorClass::Quality, decide::exhausted(ErrorClass::Quality), &message)), ..Settled::default() }
}

/// A try without a verdict: another try of the same attempt, or the end.
fn failed(target: &mut Target, used: &mut Used, retry: &ResolvedRetry, said: ResultError) -> Settled {
    let ResultError { class, reason, message, retry_after_millis } = said;
    let (count, sum, max, state) = match class {
        ErrorClass::Infrastructure => (
            &mut target.infrastructure,
            &mut used.infrastructure,
            retry.infrastructure_max_tries,
            TargetState::FailedInfrastructure,
        ),
        ErrorClass::Model => (&mut target.model, &mut used.model, retry.model_max_tries, TargetState::FailedModel),
        ErrorClass::Judge => (&mut target.judge, &mut used.judge, retry.judge_max_tries, TargetState::FailedJudge),
        // A worker cannot report a lack of quality: only a verdict shows it.
        ErrorClass::Permanent | ErrorClass::Quality => {
            target.state = TargetState::FailedPermanent;
            return Settled { error: Some(error(ErrorClass::Permanent, &reason, &message)), ..Settled::default() };
        }
    };
    *sum += 1;
    *count = (*count + 1).min(MAX_TRIES);
    let (count, max) = (*count, max.min(MAX_TRIES));
    let backoff = if class == ErrorClass::Model { retry.model_backoff.after(count) } else { 0 };
    let pause = if class == ErrorClass::Model { backoff.max(retry_after_millis.unwrap_or(0)) } else { 0 };
    if count < max {
        target.state = TargetState::Due;
        return Settled { pause, ..Settled::default() };
    }
    target.state = state;
    let message = format!("{count} of {max} failures, last {reason}: {message}");
    Settled { error: Some(error(class, decide::exhausted(class), &message)), pause, accepted: None }
}

fn error(class: ErrorClass, reason: &str, message: &str) -> TargetError {
    TargetError { class, reason: text::cut(reason, 64), message: text::cut(message, MAX_ERROR_BYTES) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trackway_crds::contracts::ResolvedBackoff;

    fn retry() -> ResolvedRetry {
        ResolvedRetry {
            quality_max_attempts: 3,
            infrastructure_max_tries: 2,
            model_max_tries: 6,
            judge_max_tries: 5,
            model_backoff: ResolvedBackoff { initial_millis: 1_000, factor: 2, max_millis: 30_000 },
        }
    }

    fn said(class: ErrorClass, retry_after_millis: Option<u64>) -> ResultError {
        ResultError { class, reason: "Overloaded".into(), message: "HTTP 503".into(), retry_after_millis }
    }

    fn running() -> Target {
        Target { state: TargetState::Running, ..Target::default() }
    }

    #[test]
    fn inv03_each_class_uses_up_its_own_budget() {
        let (mut target, mut used) = (running(), Used::default());
        for class in [ErrorClass::Model, ErrorClass::Judge, ErrorClass::Infrastructure] {
            failed(&mut target, &mut used, &retry(), said(class, None));
            assert_eq!(target.state, TargetState::Due);
        }
        assert_eq!((target.model, target.judge, target.infrastructure, target.try_()), (1, 1, 1, 4));
        let settled = failed(&mut target, &mut used, &retry(), said(ErrorClass::Infrastructure, None));
        assert_eq!(target.state, TargetState::FailedInfrastructure);
        assert_eq!(settled.error.unwrap().reason, "InfrastructureExhausted");
        assert_eq!((used.model, used.judge, used.infrastructure), (1, 1, 2));
    }

    #[test]
    fn a_model_error_asks_for_a_pause() {
        let (mut target, mut used) = (running(), Used::default());
        let mut pause = |after| failed(&mut target, &mut used, &retry(), said(ErrorClass::Model, after)).pause;
        assert_eq!([pause(None), pause(None), pause(Some(60_000))], [1_000, 2_000, 60_000]);
    }

    #[test]
    fn a_permanent_error_is_the_end() {
        let (mut target, mut used) = (running(), Used::default());
        let settled = failed(&mut target, &mut used, &retry(), said(ErrorClass::Permanent, None));
        assert_eq!((target.state, settled.error.unwrap().reason.as_str()), (TargetState::FailedPermanent, "Overloaded"));
    }
}
