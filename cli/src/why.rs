//! `why`: what went wrong, in the order one would ask.

use crate::{
    args::{Global, WhyArgs},
    cluster::Cluster,
    exit::Outcome,
    screen::{Colour, Format, Screen, Style},
    tree::{AttemptPicture, Picture, StagePhase, StagePicture, TreeInput, one_line},
};
use anyhow::bail;
use jiff::Timestamp;
use trackway_crds::{
    contracts::{ResolvedRetry, Revision},
    duration::for_people,
    status::{Phase, Used},
};

pub(crate) async fn run(global: &Global, args: &WhyArgs, screen: &mut Screen) -> anyhow::Result<Outcome> {
    let cluster = Cluster::connect(global).await?;
    let run = cluster.run(&args.run).await?;
    let status = run.status.clone().unwrap_or_default();
    let revision = cluster.revision(&status).await?;
    let waiting = if status.stages.is_empty() { cluster.track_complaint(&run.spec.track_ref.name).await? } else { None };
    let input = TreeInput { run: &run, revision: revision.as_ref(), waiting: waiting.as_deref(), now: Timestamp::now() };
    let picture = Picture::of(&input);
    if let Some(name) = &args.stage
        && !picture.stages.iter().any(|stage| stage.name == *name)
    {
        let names: Vec<_> = picture.stages.iter().map(|stage| stage.name.as_str()).collect();
        bail!("run {} has no stage {name}; it has {}", picture.run, names.join(", "));
    }
    match screen.format {
        Format::People => screen.say(&explain(&picture, revision.as_ref(), args.stage.as_deref(), screen.style))?,
        format => screen.data(format, &picture)?,
    }
    Ok(Outcome::good_if(status.phase != Some(Phase::Failed)))
}

/// The explanation as text. Pure.
#[must_use]
pub fn explain(picture: &Picture, revision: Option<&Revision>, stage: Option<&str>, style: Style) -> String {
    let mut text = headline(picture, style);
    let told: Vec<_> = picture.stages.iter().filter(|candidate| concerns(picture, candidate, stage)).collect();
    if told.is_empty() && picture.failure.is_none() && picture.waiting.is_none() {
        text.push_str("Nothing went wrong: no stage was tried again.\n");
    }
    for stage in &told {
        let retry = revision.and_then(|revision| revision.stage(&stage.name)).map(|stage| &stage.retry);
        text.push_str(&explain_stage(stage, retry, style));
    }
    text + &next_steps(picture, &told)
}

fn concerns(picture: &Picture, stage: &StagePicture, asked: Option<&str>) -> bool {
    let failed_at = picture.failure.as_ref().and_then(|failure| failure.stage.as_deref());
    match asked.or(failed_at) {
        Some(name) => stage.name == name,
        None => stage.attempts.len() > 1 || stage.used.as_ref().is_some_and(|used| errors(used) > 0),
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
            let at = failure.stage.as_ref().map(|stage| format!(" at {stage}")).unwrap_or_default();
            let class = failure.class.as_str();
            format!("{run}  {}{at}{took}\n\nreason    {} ({class})\n", style.paint(Colour::Bad, phase), failure.reason)
                + &format!("message   {}\n", one_line(&failure.message))
        }
        None => format!("{run}  {phase}{took}\n"),
    };
    if let Some(waiting) = &picture.waiting {
        text.push_str(&format!("waits     {waiting}\n"));
    }
    text
}

fn explain_stage(stage: &StagePicture, retry: Option<&ResolvedRetry>, style: Style) -> String {
    let needs = stage.threshold.map_or_else(|| "not judged".to_owned(), |threshold| format!("needs {threshold}"));
    let mut text = format!("\nstage     {}: {needs}\n", style.paint(Colour::Strong, &stage.name));
    text.extend(stage.attempts.iter().map(|attempt| explain_attempt(attempt, stage)));
    if let (Some(used), Some(retry)) = (&stage.used, retry) {
        text.push_str(&format!("budgets   {}\n", budgets(used, retry)));
    }
    text
}

fn explain_attempt(attempt: &AttemptPicture, stage: &StagePicture) -> String {
    let unscored = if attempt.verdict.is_some() { "accepted unjudged" } else { "no verdict" };
    let score = attempt.score.map_or_else(|| unscored.to_owned(), |score| format!("scored {score}"));
    let mut text = format!("attempt {:<2}{score}", attempt.attempt);
    let lowest = attempt.dimensions.iter().min_by_key(|(_, score)| **score);
    if let Some((name, score)) = lowest {
        text.push_str(&format!(", lowest {name} {score}"));
        let others = attempt.dimensions.iter().filter(|(other, _)| *other != name);
        let others: Vec<_> = others.map(|(name, score)| format!("{name} {score}")).collect();
        if !others.is_empty() {
            text.push_str(&format!(" ({})", others.join(", ")));
        }
    }
    text.push('\n');
    if let Some(feedback) = attempt.feedback.as_deref().filter(|feedback| !feedback.is_empty()) {
        text.push_str(&format!("          judge: \"{}\"\n", one_line(feedback)));
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
        text.push_str(&format!("          {ended} with {class} error {reason}: {message}\n"));
    }
    text
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

fn next_steps(picture: &Picture, told: &[&StagePicture]) -> String {
    let run = &picture.run;
    let mut lines = Vec::new();
    if let Some(stage) = told.last() {
        let attempt = stage.attempts.iter().rev().find(|attempt| attempt.verdict.is_some()).map(|attempt| attempt.attempt);
        if let Some(attempt) = attempt {
            let show = |what: &str| format!("kubectl trackway output {run} {} --attempt {attempt} --{what}", stage.name);
            lines.push(format!("verdict   {}", show("verdict")));
            lines.push(format!("input     {}", show("input")));
        }
    }
    lines.push(format!("events    kubectl describe batchrun {run}"));
    format!("\n{}\n", lines.join("\n"))
}
