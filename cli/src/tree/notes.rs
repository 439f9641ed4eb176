//! What there is to say about a stage or a waiting run, in a few words.

use super::picture::{TreeInput, millis_between};
use trackway_crds::{
    BatchRunStatus, Score,
    contracts::{ErrorClass, ResolvedStage, ResolvedWork},
    duration::for_people,
    names::job_name,
    status::{AttemptStatus, Phase, StagePhase, StageStatus, Used},
};

/// Longest quotation of a judge.
const QUOTE_CHARS: usize = 90;

/// What a run that does nothing waits for.
pub(super) fn waiting(status: &BatchRunStatus, phase: Phase, known_better: Option<&str>) -> Option<String> {
    let said =
        status.conditions.iter().find(|condition| condition.type_ == "Reconciling").map(|condition| condition.message.clone());
    match phase {
        Phase::Pending if status.observed_generation < 0 => Some("no operator has seen the run yet: is one running?".to_owned()),
        Phase::Pending => known_better.map(str::to_owned).or(said).map(|text| one_line(&text)),
        Phase::Suspended => Some("suspended: goes on when spec.suspend is false".to_owned()),
        _ => None,
    }
}

/// What there is to say about a stage.
pub(super) fn stage(stage: &StageStatus, resolved: Option<&ResolvedStage>, input: &TreeInput<'_>) -> String {
    match stage.phase {
        StagePhase::Succeeded => succeeded(stage, resolved),
        StagePhase::Running => running(stage, resolved, input),
        StagePhase::Failed => failed(stage, resolved, input),
        StagePhase::Stopped => "stopped with the run".to_owned(),
    }
}

fn succeeded(stage: &StageStatus, resolved: Option<&ResolvedStage>) -> String {
    let mut parts = Vec::new();
    if let Some(attempt) = stage.attempts.last().filter(|last| last.attempt > 1) {
        let because = previous(stage).and_then(because).map(|text| format!(", {text}")).unwrap_or_default();
        parts.push(format!("{}{because}", numbered(attempt.attempt, resolved)));
    }
    let checks_context = resolved.is_some_and(|stage| matches!(stage.work, ResolvedWork::ValidateContext { .. }));
    if stage.attempts.last().is_some_and(|last| last.score.is_none()) {
        parts.push(if checks_context { "checked".to_owned() } else { "not judged".to_owned() });
    }
    parts.extend(failures(&stage.used));
    parts.join("; ")
}

fn running(stage: &StageStatus, resolved: Option<&ResolvedStage>, input: &TreeInput<'_>) -> String {
    let Some(last) = stage.attempts.last() else { return String::new() };
    let mut parts = Vec::new();
    if last.attempt > 1 {
        parts.push(numbered(last.attempt, resolved));
    }
    if last.try_ > 1 {
        parts.push(format!("try {}", last.try_));
    }
    match (&last.job_uid, stage.not_before.as_ref().filter(|at| at.0 > input.now)) {
        (Some(_), _) if last.verdict.is_none() => {
            let (run, uid) = (input.run.metadata.name.as_deref(), input.run.metadata.uid.as_deref());
            let job = job_name(run.unwrap_or_default(), uid.unwrap_or_default(), &stage.name, last.attempt, last.try_);
            parts.push(format!("since {}, job {job}", for_people(millis_between(last.started_at.0, input.now))));
        }
        (_, Some(until)) => parts.push(format!("next try in {}", for_people(millis_between(input.now, until.0)))),
        _ => parts.push("about to start".to_owned()),
    }
    if let Some(error) = last.error.as_ref().filter(|_| last.verdict.is_none()) {
        parts.push(format!("after {} error {}", error.class.as_str(), error.reason));
    }
    parts.join(", ")
}

fn failed(stage: &StageStatus, resolved: Option<&ResolvedStage>, input: &TreeInput<'_>) -> String {
    let failure = input.run.status.as_ref().and_then(|status| status.failure.as_ref());
    let class = failure.filter(|failure| failure.stage.as_deref() == Some(&stage.name)).map(|failure| failure.class);
    let last = stage.attempts.last();
    match (class, last) {
        (Some(ErrorClass::Quality), Some(last)) => {
            let because = because(last).map(|text| format!(", {text}")).unwrap_or_default();
            format!("{}{because}", numbered(last.attempt, resolved))
        }
        (Some(class), _) => format!("{} error, see below", class.as_str()),
        (None, _) => String::new(),
    }
}

fn numbered(attempt: u32, resolved: Option<&ResolvedStage>) -> String {
    let of = resolved.map(|stage| format!(" of {}", stage.retry.quality_max_attempts)).unwrap_or_default();
    format!("attempt {attempt}{of}")
}

fn previous(stage: &StageStatus) -> Option<&AttemptStatus> {
    stage.attempts.iter().rev().nth(1)
}

/// `because "cites no event" (grounded 0.44)`.
fn because(attempt: &AttemptStatus) -> Option<String> {
    let quote = attempt.feedback.as_deref().map(|text| format!("\"{}\"", quote(text)));
    let lowest = lowest(attempt).map(|(name, score)| format!("{name} {score}"));
    match (quote, lowest) {
        (Some(quote), Some(lowest)) => Some(format!("because {quote} ({lowest})")),
        (Some(quote), None) => Some(format!("because {quote}")),
        (None, Some(lowest)) => Some(format!("because {lowest}")),
        (None, None) => None,
    }
}

/// The dimension with the lowest score.
pub(crate) fn lowest(attempt: &AttemptStatus) -> Option<(&str, Score)> {
    let lowest = attempt.dimensions.iter().min_by_key(|(_, score)| **score);
    lowest.map(|(name, score)| (name.as_str(), *score))
}

/// `1 model error, 2 infrastructure errors`, when there were any.
fn failures(used: &Used) -> Option<String> {
    let by_class =
        [(ErrorClass::Model, used.model), (ErrorClass::Judge, used.judge), (ErrorClass::Infrastructure, used.infrastructure)];
    let parts = by_class
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(class, count)| format!("{count} {} error{}", class.as_str(), if count == 1 { "" } else { "s" }));
    let text = parts.collect::<Vec<_>>().join(", ");
    (!text.is_empty()).then_some(text)
}

fn quote(text: &str) -> String {
    let text = one_line(text);
    let mut quote: String = text.chars().take(QUOTE_CHARS).collect();
    if quote.len() < text.len() {
        quote.push_str("..");
    }
    quote
}

/// Text of tenants and models, made harmless for a terminal: one line, nothing that could control it.
pub(crate) fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}
