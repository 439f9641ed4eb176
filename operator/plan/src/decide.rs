//! What follows from an ended try: accept, a new attempt with feedback, another try, or the end. Each error class has its own budget.

use crate::{
    attempts, catch,
    conclude::Outcome,
    events::EventReason,
    fan_out, finish,
    plan::Draft,
    questions,
    timing::{account, later, millis_between},
    tokens,
};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use std::collections::BTreeMap;
use trackway_crds::{
    Score,
    contracts::{
        ErrorClass, ListInfo, ResolvedForEach, ResolvedRetry, ResolvedStage, ResolvedWork, ResultError, ResultMillis,
        ResultPhase, Revision, StageResult,
    },
    duration::for_people,
    ledger::MAX_TARGETS,
    status::{AttemptStatus, MAX_FEEDBACK_BYTES, MAX_MESSAGE_BYTES, StagePhase, StageStatus, TryError, Verdict},
    text,
    track::OnMissing,
};

/// Pause after the API server refused a Job: quotas change by somebody's hand, not within milliseconds.
pub(crate) const REFUSED_PAUSE_MILLIS: u64 = 10_000;

/// Records the outcome of the open try and what it leads to.
pub(crate) fn decide(draft: &mut Draft<'_>, revision: &Revision, outcome: Outcome) {
    let Some(index) = attempts::running(&draft.status.stages) else { return };
    let Some(resolved) = revision.stage(&draft.status.stages[index].name) else { return };
    match outcome {
        Outcome::Lost(error) => {
            close_try(draft, index, &ResultMillis::default(), draft.now);
            try_again(draft, index, resolved, error);
        }
        Outcome::Reported { result, arrived_at } => {
            close_try(draft, index, &result.millis, arrived_at);
            let tokens = &mut draft.status.stages[index].used.tokens;
            *tokens = tokens.saturating_add(result.tokens.total());
            if let Some(attempt) = attempts::in_work_mut(&mut draft.status.stages[index]) {
                // Also of a try that failed: there it says how.
                attempt.record.clone_from(&result.record);
            }
            match usable(&result, resolved) {
                Ok(scores) => judge(draft, revision, index, *result, scores),
                Err(error) => try_again(draft, index, resolved, error),
            }
        }
    }
}

/// Accounts for the time of the open try.
pub(crate) fn close_try(draft: &mut Draft<'_>, index: usize, worker: &ResultMillis, arrived_at: Timestamp) {
    let now = draft.now;
    let stage = &mut draft.status.stages[index];
    let Some(attempt) = attempts::in_work_mut(stage) else { return };
    let total = millis_between(attempt.started_at.0, now);
    attempt.millis = Some(total);
    if attempt.job_uid.is_some() {
        account(&mut stage.millis, total, worker, millis_between(arrived_at, now));
    } else {
        // Refused all the time: nothing ran.
        stage.millis.queued += total;
    }
}

/// The scores of a usable report, or the error it amounts to. What the worker concludes from its scores is not looked at.
pub(crate) fn usable(result: &StageResult, resolved: &ResolvedStage) -> Result<BTreeMap<String, Score>, ResultError> {
    let judge_error = |reason: &str, message: String| ResultError {
        class: ErrorClass::Judge,
        reason: reason.to_owned(),
        message,
        retry_after_millis: None,
    };
    if result.phase != ResultPhase::Error && resolved.asks().is_some() && result.lacks_questions() {
        return Err(ResultError {
            class: ErrorClass::Infrastructure,
            reason: "QuestionsMissing".into(),
            message: "the worker reported gaps without questions".into(),
            retry_after_millis: None,
        });
    }
    match (result.phase, &resolved.judge) {
        (ResultPhase::Error, _) => Err(result.error.clone().unwrap_or_else(|| ResultError {
            class: ErrorClass::Infrastructure,
            reason: "NoReason".into(),
            message: "the worker reported an error without saying which".into(),
            retry_after_millis: None,
        })),
        (ResultPhase::Done | ResultPhase::Judged, None) => Ok(BTreeMap::new()),
        (ResultPhase::Done, Some(_)) => {
            Err(judge_error("NotJudged", "the worker reported an output of a judged stage without a verdict".into()))
        }
        (ResultPhase::Judged, Some(judge)) => {
            // Only the track's dimensions: how many others a worker names must not decide how large a status gets.
            let score = |name: &String| {
                let score = result.dimensions.get(name).map(|score| (name.clone(), Score::from_thousandths(*score)));
                score.ok_or_else(|| judge_error("DimensionMissing", format!("the verdict has no score for {name}")))
            };
            judge.dimensions.iter().map(|dimension| score(&dimension.name)).collect()
        }
    }
}

/// The weighted mean of `scores` and whether the stage accepts them (invariant 2).
pub(crate) fn weigh(resolved: &ResolvedStage, scores: &BTreeMap<String, Score>) -> (Option<Score>, bool) {
    let overall = resolved.judge.as_ref().and_then(|judge| judge.overall(scores));
    let accepted = match (&resolved.judge, overall) {
        (Some(judge), Some(overall)) => judge.accepts(overall, scores),
        (Some(_), None) => false,
        (None, _) => true,
    };
    (overall, accepted)
}

fn judge(draft: &mut Draft<'_>, revision: &Revision, index: usize, mut result: StageResult, scores: BTreeMap<String, Score>) {
    let Some(resolved) = revision.stage(&draft.status.stages[index].name) else { return };
    let (overall, accepted) = weigh(resolved, &scores);
    let lists = match lists(&result, resolved, revision) {
        Ok(lists) => lists,
        Err(error) if accepted => return try_again(draft, index, resolved, error),
        Err(_) => BTreeMap::new(),
    };
    let gaps = result.gaps.unwrap_or(0);
    let asked = std::mem::take(&mut result.questions);
    let stage = &mut draft.status.stages[index];
    stage.input.clone_from(&result.input);
    let asks = resolved.asks().filter(|_| accepted && gaps > 0);
    let again = asks.filter(|_| questions::rounds(stage) < questions::MAX_ROUNDS);
    let verdict = match (accepted, again) {
        (false, _) => Verdict::Retry,
        (true, None) => Verdict::Advance,
        (true, Some(_)) => Verdict::Ask,
    };
    stage.used.quality += u32::from(resolved.judge.is_some() && verdict != Verdict::Ask);
    record(stage, result, overall, scores, verdict);
    if !accepted {
        return another_attempt(draft, index, resolved);
    }
    stage.lists = lists;
    if let Some(ask) = again {
        questions::ask(draft, index, ask, asked);
    } else if let Some(ask) = asks {
        let message = format!("{gaps} things are still missing after {} rounds of questions", questions::MAX_ROUNDS);
        questions::give_up(draft, revision, index, ask.on_timeout, &message);
    } else if gaps > 0 && matches!(resolved.work, ResolvedWork::ValidateContext { on_missing: OnMissing::Fail, .. }) {
        let message =
            format!("{gaps} things are missing from the batch's context; the stage's output lists them (onMissing: Fail)");
        fail_stage(draft, index, None, ErrorClass::Permanent, "ContextIncomplete", &message);
    } else {
        accept(draft, index);
    }
}

/// The lists of an output that later stages fan out over: all of them, and no others.
fn lists(result: &StageResult, resolved: &ResolvedStage, revision: &Revision) -> Result<BTreeMap<String, ListInfo>, ResultError> {
    let invalid = |message: String| ResultError {
        class: ErrorClass::Permanent,
        reason: fan_out::TARGETS_INVALID.into(),
        message,
        retry_after_millis: None,
    };
    let list = |for_each: &ResolvedForEach| {
        let field = &for_each.field;
        let list = result.lists.get(field).ok_or_else(|| {
            invalid(format!(
                "its output has no list {field}, which a later stage fans out over; let the prompt or the outputSchema ask for it"
            ))
        })?;
        if usize::try_from(list.count).is_ok_and(|count| count <= MAX_TARGETS) {
            return Ok((field.clone(), list.clone()));
        }
        Err(invalid(format!(
            "the list {field} of its output has {} entries, a later stage fans out over at most {MAX_TARGETS}",
            list.count
        )))
    };
    revision.fan_outs_over(&resolved.name).map(list).collect()
}

fn record(
    stage: &mut StageStatus,
    result: StageResult,
    overall: Option<Score>,
    scores: BTreeMap<String, Score>,
    verdict: Verdict,
) {
    let Some(attempt) = attempts::in_work_mut(stage) else { return };
    attempt.score = overall;
    attempt.dimensions = scores;
    attempt.feedback = result.feedback.map(|feedback| text::cut(&feedback, MAX_FEEDBACK_BYTES));
    attempt.tokens = Some(result.tokens);
    attempt.output = result.output;
    attempt.record = result.record;
    attempt.verdict = Some(verdict);
}

pub(crate) fn accept(draft: &mut Draft<'_>, index: usize) {
    let now = draft.now;
    let stage = &mut draft.status.stages[index];
    stage.phase = StagePhase::Succeeded;
    stage.completed_at = Some(MicroTime(now));
    let Some(last) = stage.attempts.last() else { return };
    stage.output.clone_from(&last.output);
    let score = last.score.map(|score| format!("{score} ")).unwrap_or_default();
    let took = for_people(millis_between(stage.started_at.0, now));
    let note = format!("{}: {score}on attempt {} in {took}", stage.name, last.attempt);
    let action = stage.name.clone();
    draft.out.why.push(note.clone());
    draft.event(EventReason::StageSucceeded, action, note);
}

fn another_attempt(draft: &mut Draft<'_>, index: usize, resolved: &ResolvedStage) {
    let stage = &draft.status.stages[index];
    let Some(last) = stage.attempts.last() else { return };
    let max = resolved.retry.quality_max_attempts;
    let threshold = resolved.judge.as_ref().map(|judge| judge.threshold).unwrap_or_default();
    let (name, attempt, scored) = (stage.name.clone(), last.attempt, describe_score(last));
    let judged = stage.used.quality;
    if judged >= max {
        let best = attempts::best(stage).and_then(|best| best.score).unwrap_or_default();
        let message = format!("best of {judged} attempts scored {best}, needs {threshold}; last: {scored}");
        fail_stage(draft, index, None, ErrorClass::Quality, "QualityExhausted", &message);
        return;
    }
    let note = format!("{name}: attempt {judged} of {max} scored {scored}, needs {threshold}");
    draft.out.why.push(note.clone());
    draft.event(EventReason::StageRetried, format!("{name}/{attempt}"), note);
}

fn describe_score(attempt: &AttemptStatus) -> String {
    let overall = attempt.score.unwrap_or_default();
    let lowest = attempt.dimensions.iter().min_by_key(|(_, score)| **score);
    lowest.map_or_else(|| overall.to_string(), |(name, score)| format!("{overall} (lowest: {name} {score})"))
}

/// Another try of the same attempt, if the budget of the error's class allows.
fn try_again(draft: &mut Draft<'_>, index: usize, resolved: &ResolvedStage, error: ResultError) {
    let ResultError { class, reason, message, retry_after_millis } = error;
    let reason = text::cut(&reason, 64);
    let stage = &mut draft.status.stages[index];
    let budget = spend(stage, &resolved.retry, class);
    let Some(attempt) = attempts::in_work_mut(stage) else { return };
    let ended = format!("{}/{}/{}", resolved.name, attempt.attempt, attempt.try_);
    attempt.error = Some(TryError { class, reason: reason.clone(), message: text::cut(&message, MAX_MESSAGE_BYTES) });
    let Some((used, max)) = budget else {
        return fail_stage(draft, index, None, ErrorClass::Permanent, &reason, &message);
    };
    if used >= max {
        let message = format!("{used} of {max} {} failures, last {reason}: {message}", class.as_str());
        return fail_stage(draft, index, None, class, exhausted(class), &message);
    }
    if let Some(attempt) = attempts::in_work_mut(&mut draft.status.stages[index]) {
        // The next try has no Job yet; until one is recorded nothing runs.
        attempt.try_ += 1;
        attempt.job_uid = None;
    }
    let pause = pause_millis(&resolved.retry, class, &reason, used, retry_after_millis);
    if pause > 0 {
        draft.status.stages[index].not_before = Some(MicroTime(later(draft.now, pause)));
    }
    let when = if pause > 0 { format!(" in {}", for_people(pause)) } else { String::new() };
    let note = format!("{ended}: {} error {reason}, {used} of {max}; next try{when}", class.as_str());
    draft.out.why.push(format!("{note}: {message}"));
    draft.event(EventReason::StageRetried, ended, note);
}

/// Counts one failure of `class`; the count and the budget, or `None` for a class that has none.
fn spend(stage: &mut StageStatus, retry: &ResolvedRetry, class: ErrorClass) -> Option<(u32, u32)> {
    let (used, max) = match class {
        ErrorClass::Infrastructure => (&mut stage.used.infrastructure, retry.infrastructure_max_tries),
        ErrorClass::Model => (&mut stage.used.model, retry.model_max_tries),
        ErrorClass::Judge => (&mut stage.used.judge, retry.judge_max_tries),
        // A worker cannot report a lack of quality: only a verdict shows it.
        ErrorClass::Permanent | ErrorClass::Quality => return None,
    };
    *used += 1;
    Some((*used, max))
}

pub(crate) fn exhausted(class: ErrorClass) -> &'static str {
    match class {
        ErrorClass::Quality => "QualityExhausted",
        ErrorClass::Model => "ModelExhausted",
        ErrorClass::Judge => "JudgeExhausted",
        ErrorClass::Infrastructure => "InfrastructureExhausted",
        ErrorClass::Permanent => "Permanent",
    }
}

fn pause_millis(retry: &ResolvedRetry, class: ErrorClass, reason: &str, used: u32, retry_after: Option<u64>) -> u64 {
    match class {
        ErrorClass::Model => retry.model_backoff.after(used).max(retry_after.unwrap_or(0)),
        ErrorClass::Infrastructure if reason == crate::open::REFUSED => REFUSED_PAUSE_MILLIS,
        _ => 0,
    }
}

/// Ends the stage, and with it the run: at once, or when the debugger has looked at it.
pub(crate) fn fail_stage(
    draft: &mut Draft<'_>,
    index: usize,
    target: Option<String>,
    class: ErrorClass,
    reason: &str,
    message: &str,
) {
    let stage = &mut draft.status.stages[index];
    stage.phase = StagePhase::Failed;
    stage.completed_at = Some(MicroTime(draft.now));
    let name = stage.name.clone();
    let message = format!("{name}: {message}");
    draft.event(EventReason::StageFailed, name.clone(), format!("{name}: {reason}"));
    draft.out.why.push(format!("the stage failed: {reason}: {message}"));
    draft.write_failure(Some(name), target, class, reason, &message);
    // A debugger would need tokens as well.
    let debugger = draft.revision().and_then(|revision| Some((revision, revision.debugger.as_ref()?)));
    match debugger.filter(|(revision, _)| !tokens::exhausted(&draft.status, revision)) {
        Some((revision, debugger)) => catch::begin(draft, revision, debugger),
        None => finish::fail(draft),
    }
}
