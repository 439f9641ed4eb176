//! Writes a plan down for people: why, what is created, recorded, released and deleted, what is told, and where the run stands.

use super::track;
use jiff::Timestamp;
use std::fmt::Write;
use trackway_crds::{
    contracts::{TargetAssignment, WaveAssignment},
    duration::for_people,
    ledger::{Ledger, Target, TargetState},
    status::{BatchRunStatus, CatchStatus, StageStatus, TargetsStatus},
};
use trackway_plan::{After, Plan};

pub fn plan(before: &BatchRunStatus, plan: &Plan, now: Timestamp) -> String {
    let mut out = format!("  at {}\n", since_birth(now));
    for why in &plan.why {
        line(&mut out, "why", why);
    }
    for ignored in &plan.ignored {
        let result = &ignored.result;
        let index = result.key.as_ref().map(|_| format!(" target {}", result.index)).unwrap_or_default();
        let (reason, stage, pod) = (ignored.reason, &result.stage, &result.pod);
        let what = format!("{reason:?}: {stage}{index} {}/{} from {pod}", result.attempt, result.try_);
        line(&mut out, "ignore", &what);
    }
    if let Some(intent) = &plan.create {
        let told = &intent.assignment;
        let stages: Vec<_> = told.stages.keys().map(String::as_str).collect();
        let fan_outs: Vec<_> = told.fan_outs.keys().map(|name| format!(" {name}[]")).collect();
        let given = format!("given [{}{}]", stages.join(" "), fan_outs.concat());
        let tokens = told.tokens_left.map(|left| format!(", {left} tokens each")).unwrap_or_default();
        let what = format!("{} for {} {}/{}, {given}{tokens}", intent.name, told.stage, told.attempt, told.try_);
        line(&mut out, "create", &what);
        if let Some(wave) = &told.wave {
            line(&mut out, "", &wave_line(wave));
        }
        if let Some(failure) = &told.failure {
            let target = failure.target.as_ref().map(|target| format!(" target {} {}", target.index, target.key));
            let what = format!("{}{} after {} attempts", failure.stage, target.unwrap_or_default(), failure.attempts);
            line(&mut out, "", &format!("to explain {what}: {}, {} records", failure.reason, failure.records.len()));
        }
    }
    if let Some(asking) = &plan.ask {
        let ids: Vec<_> = asking.questions.iter().map(|question| question.id.as_str()).collect();
        line(&mut out, "ask", &format!("{} [{}] until {}", asking.name, ids.join(" "), since_birth(asking.expires_at)));
    }
    if let Some(status) = &plan.status {
        record(&mut out, before, status);
    }
    for act in &plan.after {
        match act {
            After::Release { uid, .. } => line(&mut out, "release", uid),
            After::Delete { uid, .. } => line(&mut out, "delete", uid),
        }
    }
    for event in &plan.events {
        line(&mut out, "event", &format!("{} ({}) {}", event.reason.as_str(), event.action, event.note));
    }
    let again = plan.requeue.map_or("never".into(), |requeue| for_people(u64::try_from(requeue.as_millis()).unwrap()));
    line(&mut out, "again", &again);
    out
}

pub fn since_birth(now: Timestamp) -> String {
    for_people(u64::try_from(now.as_millisecond() - track::birth().as_millisecond()).unwrap())
}

fn line(out: &mut String, kind: &str, text: &str) {
    writeln!(out, "    {kind:8}{text}").unwrap();
}

fn record(out: &mut String, before: &BatchRunStatus, status: &BatchRunStatus) {
    let phase = status.phase.map_or("-", |phase| phase.as_str());
    let summary = status.summary.clone().unwrap_or_default();
    let score = summary.score.map_or("-".into(), |score| score.to_string());
    let duration = summary.duration.map(|duration| format!(", took {duration}")).unwrap_or_default();
    let holds: Vec<_> = status.conditions.iter().filter(|c| c.status == "True").map(|c| c.type_.as_str()).collect();
    let columns = format!(
        "{phase} stage {} progress {} score {score} retries {}{duration} [{}]",
        if summary.stage.is_empty() { "-" } else { &summary.stage },
        summary.progress,
        summary.retries,
        holds.join(" ")
    );
    line(out, "record", &columns);
    if status.deadline_at != before.deadline_at || status.active_millis != before.active_millis {
        let active = for_people(status.active_millis);
        let clock = status
            .deadline_at
            .as_ref()
            .map_or_else(|| format!("stands at {active} active"), |at| format!("runs, active deadline at {}", since_birth(at.0)));
        line(out, "clock", &clock);
    }
    for (index, stage) in status.stages.iter().enumerate() {
        if before.stages.get(index) != Some(stage) {
            line(out, "", &stage_line(stage));
        }
    }
    if let Some(catch) = status.catch.as_ref().filter(|_| status.catch != before.catch) {
        line(out, "catch", &catch_line(catch));
    }
    let diagnosed = status.conditions.iter().find(|condition| condition.type_ == "Diagnosed");
    if let Some(condition) = diagnosed.filter(|new| !before.conditions.contains(new)) {
        line(out, "", &format!("Diagnosed={} {}: {}", condition.status, condition.reason, condition.message));
    }
    if let Some(failure) = &status.failure {
        line(out, "failure", &format!("{} {}: {}", failure.class.as_str(), failure.reason, failure.message));
    }
}

fn stage_line(stage: &StageStatus) -> String {
    let (used, millis) = (&stage.used, &stage.millis);
    let mut out = format!("{} {:?}", stage.name, stage.phase);
    for attempt in &stage.attempts {
        write!(out, " | {}/{}", attempt.attempt, attempt.try_).unwrap();
        let verdict = attempt.verdict.map(|verdict| format!(" {verdict:?}"));
        let score = attempt.score.map(|score| format!(" {score}"));
        let error = attempt.error.as_ref().filter(|_| attempt.verdict.is_none());
        let error = error.map(|error| format!(" after {} {}", error.class.as_str(), error.reason));
        let job = attempt.job_uid.as_ref().filter(|_| attempt.verdict.is_none()).map(|uid| format!(" {uid}"));
        out.extend([job, verdict, score, error].into_iter().flatten());
    }
    if let Some(targets) = &stage.targets {
        out.push_str(&targets_part(targets));
    }
    write!(out, " | used q{} i{} m{} j{}", used.quality, used.infrastructure, used.model, used.judge).unwrap();
    let parts = [
        ("queued", millis.queued),
        ("podStart", millis.pod_start),
        ("generate", millis.generate),
        ("judge", millis.judge),
        ("operator", millis.operator),
        ("paused", millis.paused),
        ("waiting", millis.waiting),
    ];
    let parts: Vec<_> = parts.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect();
    write!(out, " | ms {}", if parts.is_empty() { "-".into() } else { parts.join(" ") }).unwrap();
    if let Some(asked) = &stage.questionnaire {
        let (name, round, n) = (&asked.name, asked.round, asked.asked);
        let answered = asked.answered_at.as_ref().map(|at| format!(" answered {}", since_birth(at.0))).unwrap_or_default();
        write!(out, " | round {round}: {n} questions in {name} until {}{answered}", since_birth(asked.expires_at.0)).unwrap();
    }
    if let Some(at) = &stage.not_before {
        write!(out, " | not before {}", since_birth(at.0)).unwrap();
    }
    out
}

fn wave_line(wave: &WaveAssignment) -> String {
    let target = |target: &TargetAssignment| match (target.attempt, target.try_) {
        (1, 1) => target.index.to_string(),
        (attempt, try_) => format!("{}({attempt}/{try_})", target.index),
    };
    let targets: Vec<_> = wave.targets.iter().map(target).collect();
    format!("wave {} of {} pods: {}", wave.wave, wave.pods(), targets.join(" "))
}

/// `8 of 24 run, 15 ok, 1 failed` and the ledger, a character for each target: `.` due, `*` running, `+` accepted, `x` failed.
fn targets_part(targets: &TargetsStatus) -> String {
    let ledger = Ledger::decode(&targets.ledger).unwrap();
    let sign = |target: &Target| match target.state {
        TargetState::Due => '.',
        TargetState::Running => '*',
        TargetState::Succeeded => '+',
        _ => 'x',
    };
    let signs: String = ledger.0.iter().map(sign).collect();
    let mut out = format!(" | {} targets {signs} retries {}", targets.total, targets.retries);
    for wave in &targets.waves {
        write!(out, " | wave {}/{} {} [{}]", wave.wave, wave.try_, wave.job_uid, wave.targets).unwrap();
    }
    for worst in &targets.worst {
        let score = worst.score.map_or("-".into(), |score| score.to_string());
        let error = worst.error.as_ref().map(|error| format!(" {}", error.reason)).unwrap_or_default();
        write!(out, " | worst {} {score}{error}", worst.key).unwrap();
    }
    if let Some(since) = &targets.due_since {
        write!(out, " | due since {}", since_birth(since.0)).unwrap();
    }
    out
}

fn catch_line(catch: &CatchStatus) -> String {
    let mut out = format!("until {}, try {}", since_birth(catch.deadline_at.0), catch.try_);
    if let Some(uid) = &catch.job_uid {
        write!(out, " {uid}").unwrap();
    }
    if let Some(at) = &catch.not_before {
        write!(out, ", not before {}", since_birth(at.0)).unwrap();
    }
    if let Some(error) = &catch.error {
        write!(out, ", after {} {}: {}", error.class.as_str(), error.reason, error.message).unwrap();
    }
    out
}
