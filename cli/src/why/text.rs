//! A run's explanation as text.

use crate::{
    diagnosis::{self, DiagnosisView},
    label::{labelled, labelled_all},
    screen::{Colour, Style},
    tree::{AttemptPicture, Picture, StagePhase, StagePicture, TargetPhase, TargetPicture, one_line, target_note},
};
use std::collections::BTreeMap;
use trackway_crds::{
    Score,
    contracts::{ResolvedRetry, Revision},
    duration::for_people,
    status::Used,
};

/// What an explanation is made from.
#[derive(Clone, Copy, Debug)]
pub struct Why<'a> {
    /// The run.
    pub picture: &'a Picture,
    /// What it executes, for the budgets.
    pub revision: Option<&'a Revision>,
    /// What the debugger found out.
    pub diagnosis: Option<&'a DiagnosisView>,
}

/// The explanation as text: of the stage that failed, else of those that were tried again; of `stage`, if one is named. Pure.
#[must_use]
pub fn explain(why: &Why<'_>, stage: Option<&str>, style: Style) -> String {
    let picture = why.picture;
    let mut text = headline(picture, style);
    let told: Vec<_> = picture.stages.iter().filter(|candidate| concerns(picture, candidate, stage)).collect();
    if told.is_empty() && picture.failure.is_none() && picture.waiting.is_none() {
        text.push_str("Nothing went wrong: no stage was tried again.\n");
    }
    let failed_at = picture.failure.as_ref().and_then(|failure| failure.stage.as_deref());
    let diagnosis = why.diagnosis.filter(|_| stage.is_none() || stage == failed_at);
    if let Some(diagnosis) = diagnosis {
        text.push_str(&format!("\n{}", diagnosis::lines(diagnosis, style)));
    } else if let Some(reason) = &picture.undiagnosed {
        text.push_str(&labelled("diagnosis", &format!("none: {reason}")));
    }
    for stage in &told {
        let retry = why.revision.and_then(|revision| revision.stage(&stage.name)).map(|stage| &stage.retry);
        text.push_str(&explain_stage(stage, retry, style));
    }
    text + &next_steps(picture, &told, diagnosis)
}

fn concerns(picture: &Picture, stage: &StagePicture, asked: Option<&str>) -> bool {
    let failed_at = picture.failure.as_ref().and_then(|failure| failure.stage.as_deref());
    match asked.or(failed_at) {
        Some(name) => stage.name == name,
        None => {
            stage.attempts.len() > 1
                || stage.used.as_ref().is_some_and(|used| errors(used) > 0)
                || stage.targets.as_ref().is_some_and(|targets| targets.failed > 0 || targets.retries > 0)
        }
    }
}

fn errors(used: &Used) -> u32 {
    used.model + used.judge + used.infrastructure
}

fn headline(picture: &Picture, style: Style) -> String {
    let (run, phase) = (style.paint(Colour::Strong, &picture.run), picture.phase.as_str());
    let took = picture.millis.map(|millis| format!(" after {}", for_people(millis))).unwrap_or_default();
    let mut text = match &picture.failure {
        Some(failure) => {
            let target = failure.target.as_ref().map(|key| format!("/{}", one_line(key))).unwrap_or_default();
            let at = failure.stage.as_ref().map(|stage| format!(" at {stage}{target}")).unwrap_or_default();
            format!("{run}  {}{at}{took}\n\n", style.paint(Colour::Bad, phase))
                + &labelled("reason", &format!("{} ({})", failure.reason, failure.class.as_str()))
                + &labelled("message", &one_line(&failure.message))
        }
        None => format!("{run}  {phase}{took}\n"),
    };
    if let Some(waiting) = &picture.waiting {
        text.push_str(&labelled("waits", waiting));
    }
    text
}

fn explain_stage(stage: &StagePicture, retry: Option<&ResolvedRetry>, style: Style) -> String {
    let needs = stage.threshold.map_or_else(|| "not judged".to_owned(), |threshold| format!("needs {threshold}"));
    let targets = if stage.targets.is_some() { format!("; {}", stage.note) } else { String::new() };
    let mut text = format!("\nstage       {}: {needs}{targets}\n", style.paint(Colour::Strong, &stage.name));
    text.extend(stage.attempts.iter().map(|attempt| explain_attempt(attempt, stage)));
    text.push_str(&labelled_all("targets", worst(stage).map(|target| about_target(target, stage))));
    if let (Some(used), Some(retry), None) = (&stage.used, retry, &stage.targets) {
        text.push_str(&labelled("budgets", &budgets(used, retry)));
    }
    text
}

/// The targets of a fan-out that are worth a word.
fn worst(stage: &StagePicture) -> impl Iterator<Item = &TargetPicture> {
    let targets = stage.targets.iter();
    let worst = targets.flat_map(|targets| targets.worst.iter().filter_map(|index| targets.target(*index)));
    worst.filter(|target| target.phase == TargetPhase::Failed || target.attempt > 1)
}

/// `linguist-maint: failed, best of 5 attempts scored 0.66, needs 0.70`.
fn about_target(target: &TargetPicture, stage: &StagePicture) -> String {
    let outcome = match (target.phase, target.score) {
        (TargetPhase::Failed, _) => "failed".to_owned(),
        (TargetPhase::Succeeded, Some(score)) => format!("accepted with {score}"),
        (TargetPhase::Succeeded, None) => "accepted".to_owned(),
        (TargetPhase::Due | TargetPhase::Running, _) => "in work".to_owned(),
    };
    format!("{}: {outcome}, {}", one_line(&target.name()), target_note(target, stage.max_attempts))
}

fn explain_attempt(attempt: &AttemptPicture, stage: &StagePicture) -> String {
    let unscored = if attempt.verdict.is_some() { "accepted unjudged" } else { "no verdict" };
    let mut text = attempt_line(attempt.attempt, attempt.score, &attempt.dimensions, unscored);
    if let Some(feedback) = attempt.feedback.as_deref().filter(|feedback| !feedback.is_empty()) {
        text.push_str(&labelled("", &format!("judge: \"{}\"", one_line(feedback))));
    }
    if let Some(error) = &attempt.error {
        let ended = if attempt.verdict.is_some() {
            "a try before ended"
        } else if stage.phase == StagePhase::Running {
            "last try ended"
        } else {
            "ended"
        };
        let (class, reason, message) = (error.class.as_str(), &error.reason, one_line(&error.message));
        text.push_str(&labelled("", &format!("{ended} with {class} error {reason}: {message}")));
    }
    text
}

/// `attempt 1   scored 0.62, lowest grounded 0.44 (clarity 0.80)`.
pub(super) fn attempt_line(attempt: u32, score: Option<Score>, dimensions: &BTreeMap<String, Score>, unscored: &str) -> String {
    let mut text = score.map_or_else(|| unscored.to_owned(), |score| format!("scored {score}"));
    if let Some((name, score)) = dimensions.iter().min_by_key(|(_, score)| **score) {
        text.push_str(&format!(", lowest {name} {score}"));
        let others = dimensions.iter().filter(|(other, _)| *other != name);
        let others: Vec<_> = others.map(|(name, score)| format!("{name} {score}")).collect();
        if !others.is_empty() {
            text.push_str(&format!(" ({})", others.join(", ")));
        }
    }
    labelled(&format!("attempt {attempt}"), &text)
}

fn budgets(used: &Used, retry: &ResolvedRetry) -> String {
    let parts = [
        ("quality", used.quality, retry.quality_max_attempts),
        ("model", used.model, retry.model_max_tries),
        ("judge", used.judge, retry.judge_max_tries),
        ("infrastructure", used.infrastructure, retry.infrastructure_max_tries),
    ];
    parts.map(|(name, used, max)| format!("{name} {used} of {max}")).join(", ")
}

fn next_steps(picture: &Picture, told: &[&StagePicture], diagnosis: Option<&DiagnosisView>) -> String {
    let run = &picture.run;
    let mut text = String::from("\n");
    if diagnosis.is_some() {
        text.push_str(&labelled(
            "prompt",
            &format!("kubectl trackway diagnosis {run} --prompt   (to go on with in any assistant)"),
        ));
    }
    if let Some(stage) = told.last() {
        let attempt = stage.attempts.iter().rev().find(|attempt| attempt.verdict.is_some()).map(|attempt| attempt.attempt);
        if let Some(attempt) = attempt {
            let show = |what: &str| format!("kubectl trackway output {run} {} --attempt {attempt} --{what}", stage.name);
            text.push_str(&labelled("verdict", &show("verdict")));
            text.push_str(&labelled("input", &show("input")));
        }
        if let Some(target) = worst(stage).next() {
            text.push_str(&labelled("target", &format!("kubectl trackway why {run} {}/{}", stage.name, target.argument())));
        }
    }
    text + &labelled("events", &format!("kubectl describe batchrun {run}"))
}
