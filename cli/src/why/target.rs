//! One target of a fan-out: what the judge said each time, and how it ended.

use super::text::attempt_line;
use crate::{
    label::labelled,
    screen::{Colour, Style},
    tree::{StagePicture, TargetPhase, TargetPicture, counted, one_line},
};

/// The explanation as text. Pure.
#[must_use]
pub fn explain_target(run: &str, stage: &StagePicture, target: &TargetPicture, style: Style) -> String {
    let name = style.paint(Colour::Strong, &format!("{run}  {}/{}", stage.name, one_line(&target.name())));
    let mut text = format!("{name}  {}\n\n", headline(stage, target, style));
    match (&target.error, target.class) {
        (Some(error), _) => {
            text.push_str(&labelled("reason", &format!("{} ({})", error.reason, error.class.as_str())));
            text.push_str(&labelled("message", &one_line(&error.message)));
        }
        (None, Some(class)) => text.push_str(&labelled("reason", &format!("{} failure", class.as_str()))),
        (None, None) => {}
    }
    if let Some(threshold) = stage.threshold {
        text.push_str(&labelled("needs", &threshold.to_string()));
    }
    for attempt in &target.attempts {
        text.push_str(&attempt_line(attempt.attempt, Some(attempt.score), &attempt.dimensions, ""));
        if !attempt.feedback.trim().is_empty() {
            text.push_str(&labelled("", &format!("judge: \"{}\"", one_line(&attempt.feedback))));
        }
    }
    text + &next(run, stage, target)
}

fn headline(stage: &StagePicture, target: &TargetPicture, style: Style) -> String {
    let of = stage.max_attempts.map(|max| format!(" of {max}")).unwrap_or_default();
    let (attempt, failures) = (target.attempt, target.try_.saturating_sub(1));
    let failed = if failures > 0 { format!(", {}", counted(failures, "failure")) } else { String::new() };
    let with = target.score.map(|score| format!(" with {score}")).unwrap_or_default();
    let best = target.score.map(|score| format!(", best {score}")).unwrap_or_default();
    match target.phase {
        TargetPhase::Due => format!("waits for attempt {attempt}{of}{failed}"),
        TargetPhase::Running => format!("in work: attempt {attempt}{of}{failed}"),
        TargetPhase::Succeeded => format!("{}{with} at attempt {attempt}{of}{failed}", style.paint(Colour::Good, "accepted")),
        TargetPhase::Failed => format!("{} after {attempt}{of} attempts{failed}{best}", style.paint(Colour::Bad, "failed")),
    }
}

fn next(run: &str, stage: &StagePicture, target: &TargetPicture) -> String {
    let path = format!("{}/{}", stage.name, target.argument());
    let Some(last) = target.attempts.last() else {
        return format!("\n{}", labelled("input", &format!("kubectl trackway output {run} {path} --input")));
    };
    let show = |what: &str| labelled(what, &format!("kubectl trackway output {run} {path} --attempt {} --{what}", last.attempt));
    format!("\n{}{}", show("verdict"), show("input"))
}
