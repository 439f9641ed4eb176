//! What there is to say about a stage or a waiting run, in a few words.

use super::{
    found::Found,
    picture::{TreeInput, millis_between},
    targets::TargetsPicture,
};
use trackway_crds::{
    BatchRunStatus, Score,
    contracts::{BroadcastCounts, ErrorClass, ResolvedStage, ResolvedWork},
    duration::for_people,
    names::{DEBUGGER, job_name},
    status::{AskedStatus, AttemptStatus, CatchStatus, Phase, StagePhase, StageStatus, Used, Verdict},
};

/// Longest quotation of a judge.
const QUOTE_CHARS: usize = 90;

/// What a run that does nothing waits for, or what the debugger does.
pub(super) fn waiting(status: &BatchRunStatus, phase: Phase, input: &TreeInput<'_>) -> Option<String> {
    let said =
        status.conditions.iter().find(|condition| condition.type_ == "Reconciling").map(|condition| condition.message.clone());
    match phase {
        Phase::Pending if status.observed_generation < 0 => Some("no operator has seen the run yet: is one running?".to_owned()),
        Phase::Pending => input.waiting.map(str::to_owned).or(said).map(|text| one_line(&text)),
        Phase::Suspended => Some("suspended: goes on when spec.suspend is false".to_owned()),
        Phase::WaitingForContext => status.stages.iter().find_map(|stage| Some(answers(stage.waits_for()?, input))),
        Phase::Diagnosing => status.catch.as_ref().map(|catch| debugger(catch, input)),
        _ => None,
    }
}

/// `for answers to questionnaire q-abcdefgh: 3 questions, round 1, at most 71h58m more`.
fn answers(asked: &AskedStatus, input: &TreeInput<'_>) -> String {
    let left = for_people(millis_between(input.now, asked.expires_at.0));
    format!(
        "for answers to questionnaire {}: {}, round {}, at most {left} more",
        asked.name,
        counted(asked.asked, "question"),
        asked.round
    )
}

/// `the debugger since 2.1s, try 2, job …, Failed in 1m57s at the latest, after model error RateLimited`.
fn debugger(catch: &CatchStatus, input: &TreeInput<'_>) -> String {
    let mut parts = vec![format!("for the debugger since {}", for_people(millis_between(catch.started_at.0, input.now)))];
    if catch.try_ > 1 {
        parts.push(format!("try {}", catch.try_));
    }
    match (&catch.job_uid, catch.not_before.as_ref().filter(|at| at.0 > input.now)) {
        (_, Some(until)) => parts.push(format!("next try in {}", for_people(millis_between(input.now, until.0)))),
        (Some(_), None) => parts.push(format!("job {}", job(DEBUGGER, 1, catch.try_, input))),
        (None, None) => parts.push("about to start".to_owned()),
    }
    if let Some(error) = &catch.error {
        parts.push(format!("after {} error {}", error.class.as_str(), error.reason));
    }
    let left = for_people(millis_between(input.now, catch.deadline_at.0));
    parts.push(format!("Failed in {left} at the latest"));
    parts.join(", ")
}

/// Why a failed run has no diagnosis, where somebody said so.
pub(super) fn undiagnosed(status: &BatchRunStatus, phase: Phase) -> Option<String> {
    if phase != Phase::Failed || status.diagnosis.is_some() {
        return None;
    }
    let said = status.conditions.iter().find(|condition| condition.type_ == "Diagnosed" && condition.status != "True");
    let error = || status.catch.as_ref().and_then(|catch| catch.error.as_ref());
    match said {
        Some(said) => Some(format!("{}: {}", said.reason, one_line(&said.message))),
        None => error().map(|error| format!("{}: {}", error.reason, one_line(&error.message))),
    }
}

/// What there is to say about a stage to come.
pub(super) fn future(stage: &ResolvedStage, begun: &[StageStatus]) -> String {
    let Some(for_each) = &stage.for_each else { return String::new() };
    let source = begun.iter().find(|stage| stage.name == for_each.stage);
    let count = source.and_then(|source| source.lists.get(&for_each.field)).map(|list| format!(": {}", list.count));
    format!("for each of {}.{}{}", for_each.stage, for_each.field, count.unwrap_or_default())
}

/// What there is to say about a stage.
pub(super) fn stage(
    stage: &StageStatus,
    resolved: Option<&ResolvedStage>,
    targets: Option<&TargetsPicture>,
    input: &TreeInput<'_>,
) -> String {
    match (stage.phase, targets) {
        (StagePhase::Stopped, None) => "stopped with the run".to_owned(),
        (_, Some(targets)) => fan_out(targets, stage),
        (StagePhase::Succeeded, None) => succeeded(stage, resolved, input.found),
        (StagePhase::Running, None) => running(stage, resolved, input),
        (StagePhase::Failed, None) => failed(stage, resolved, input),
    }
}

/// `24 targets: 23 ok, 1 failed (6 tolerated), 4 retries, 3 waves`.
fn fan_out(targets: &TargetsPicture, stage: &StageStatus) -> String {
    if targets.total == 0 {
        return "no targets".to_owned();
    }
    let mut parts = vec![format!("{} ok", targets.succeeded)];
    if targets.failed > 0 {
        let tolerated = targets.tolerated.map(|tolerated| format!(" ({tolerated} tolerated)")).unwrap_or_default();
        parts.push(format!("{} failed{tolerated}", targets.failed));
    }
    let open = targets.running + targets.due;
    if stage.phase != StagePhase::Running && open > 0 {
        parts.push(format!("{open} cut off"));
    } else if targets.running > 0 {
        parts.push(format!("{} in work in {}", targets.running, counted(targets.pods, "pod")));
    }
    if stage.phase == StagePhase::Running && targets.due > 0 {
        parts.push(format!("{} due", targets.due));
    }
    if targets.retries > 0 {
        parts.push(if targets.retries == 1 { "1 retry".to_owned() } else { format!("{} retries", targets.retries) });
    }
    parts.extend(failures(&stage.used));
    parts.push(counted(targets.waves, "wave"));
    format!("{}: {}", counted(targets.total, "target"), parts.join(", "))
}

fn succeeded(stage: &StageStatus, resolved: Option<&ResolvedStage>, found: Option<&Found>) -> String {
    let mut parts = Vec::new();
    if let Some(last) = stage.attempts.last().filter(|last| last.attempt > 1) {
        let because = previous(stage).and_then(because).map(|text| format!(", {text}")).unwrap_or_default();
        parts.push(format!("{}{because}", numbered(stage, last, resolved)));
    }
    let unjudged = stage.attempts.last().is_some_and(|last| last.score.is_none());
    match resolved.map(|stage| &stage.work) {
        Some(ResolvedWork::Broadcast { channels, dry_run, .. }) => {
            let counts = found.and_then(|found| found.broadcasts.get(&stage.name));
            let channels: Vec<_> = channels.iter().map(|channel| channel.name.as_str()).collect();
            parts.push(counts.map_or_else(|| sent_somehow(&channels, *dry_run), sent));
        }
        Some(ResolvedWork::Container { image, .. }) => parts.push(format!("ran {}", one_line(image))),
        Some(ResolvedWork::ValidateContext { .. }) if unjudged => parts.push("checked".to_owned()),
        _ if unjudged => parts.push("not judged".to_owned()),
        _ => {}
    }
    parts.extend(found.and_then(|found| found.approvals.get(&stage.name)).map(|approvals| {
        let reason = approvals.reason.as_deref().map(|reason| format!(" (\"{}\")", quote(reason))).unwrap_or_default();
        format!("{} approved, {} withheld{reason}", approvals.approved, approvals.withheld)
    }));
    parts.extend(stage.lists.iter().map(|(field, list)| format!("{} {}", list.count, one_line(field))));
    parts.extend(failures(&stage.used));
    parts.join("; ")
}

/// `22 sent, 1 withheld, 0 refused`.
fn sent(counts: &BroadcastCounts) -> String {
    let BroadcastCounts { delivered, refused, withheld, dry_run } = counts;
    if *dry_run > 0 {
        return format!("dry run: {dry_run} not sent, {withheld} withheld");
    }
    format!("{delivered} sent, {withheld} withheld, {refused} refused")
}

fn sent_somehow(channels: &[&str], dry_run: bool) -> String {
    let channels = format!("{} {}", if channels.len() == 1 { "channel" } else { "channels" }, channels.join(", "));
    if dry_run { format!("dry run: nothing sent to {channels}") } else { format!("to {channels}") }
}

fn running(stage: &StageStatus, resolved: Option<&ResolvedStage>, input: &TreeInput<'_>) -> String {
    let Some(last) = stage.attempts.last() else { return String::new() };
    let mut parts = Vec::new();
    if last.attempt > 1 {
        parts.push(numbered(stage, last, resolved));
    }
    if last.try_ > 1 {
        parts.push(format!("try {}", last.try_));
    }
    match (&last.job_uid, stage.not_before.as_ref().filter(|at| at.0 > input.now)) {
        (Some(_), _) if last.verdict.is_none() => {
            let job = job(&stage.name, last.attempt, last.try_, input);
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

fn job(stage: &str, attempt: u32, try_: u32, input: &TreeInput<'_>) -> String {
    let (run, uid) = (input.run.metadata.name.as_deref(), input.run.metadata.uid.as_deref());
    job_name(run.unwrap_or_default(), uid.unwrap_or_default(), stage, attempt, try_)
}

fn failed(stage: &StageStatus, resolved: Option<&ResolvedStage>, input: &TreeInput<'_>) -> String {
    let failure = input.run.status.as_ref().and_then(|status| status.failure.as_ref());
    let class = failure.filter(|failure| failure.stage.as_deref() == Some(&stage.name)).map(|failure| failure.class);
    let last = stage.attempts.last();
    match (class, last) {
        (Some(ErrorClass::Quality), Some(last)) => {
            let because = because(last).map(|text| format!(", {text}")).unwrap_or_default();
            format!("{}{because}", numbered(stage, last, resolved))
        }
        (Some(class), _) => format!("{} error, see below", class.as_str()),
        (None, _) => String::new(),
    }
}

/// `1 pod`, `3 pods`.
pub(crate) fn counted(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// `attempt 2 of 3`. A round of questions is an attempt that the budget for low scores does not know.
fn numbered(stage: &StageStatus, last: &AttemptStatus, resolved: Option<&ResolvedStage>) -> String {
    let rounds = last.attempt.saturating_sub(1).saturating_sub(stage.retries());
    let of = resolved.map(|stage| format!(" of {}", stage.retry.quality_max_attempts + rounds)).unwrap_or_default();
    format!("attempt {}{of}", last.attempt)
}

fn previous(stage: &StageStatus) -> Option<&AttemptStatus> {
    stage.attempts.iter().rev().nth(1)
}

/// Why another attempt followed: `because "cites no event" (grounded 0.44)`.
fn because(attempt: &AttemptStatus) -> Option<String> {
    if attempt.verdict == Some(Verdict::Ask) {
        return Some("because its questions were answered".to_owned());
    }
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
        .map(|(class, count)| counted(count, &format!("{} error", class.as_str())));
    let text = parts.collect::<Vec<_>>().join(", ");
    (!text.is_empty()).then_some(text)
}

pub(crate) fn quote(text: &str) -> String {
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
