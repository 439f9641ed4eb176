//! The rows of a picture: a stage, its attempts, its targets.

use super::{
    notes::{counted, one_line, quote},
    picture::{AttemptPicture, Picture, StagePhase, StagePicture},
    targets::{TargetPhase, TargetPicture, TargetsPicture},
    text::TreeStyle,
};
use crate::screen::{Colour, Style};
use std::collections::BTreeMap;
use trackway_crds::{Score, contracts::ErrorClass, duration::for_people};

/// Longest key that is shown whole.
const KEY_CHARS: usize = 32;

/// Widths that all rows share.
pub(super) struct Columns {
    name: usize,
    score: usize,
}

impl Columns {
    pub(super) fn of(picture: &Picture, tree: TreeStyle) -> Self {
        let stages = picture.stages.iter();
        // A target's name begins two characters further to the right.
        let keys = stages.clone().filter_map(|stage| stage.targets.as_ref()).flat_map(|targets| shown(targets, tree));
        let names =
            stages.clone().map(|stage| stage.name.chars().count()).chain(keys.map(|target| key(target).chars().count() + 2));
        Self {
            name: names.max().unwrap_or(0),
            score: stages.map(|stage| scores(stage, tree.style).chars().count()).max().unwrap_or(0),
        }
    }
}

pub(super) fn stage(stage: &StagePicture, columns: &Columns, tree: TreeStyle) -> String {
    let (style, colour) = (tree.style, stage_colour(stage));
    let word = if tree.wide { format!("{:<9}  ", stage_word(stage.phase)) } else { String::new() };
    let duration = stage.millis.map(for_people).unwrap_or_default();
    let (name_width, score_width) = (columns.name, columns.score);
    let scores = format!("{:<score_width$}", scores(stage, style));
    let note = style.paint(if stage.phase == StagePhase::Failed { Colour::Bad } else { Colour::Faint }, &stage.note);
    let name = format!("{:<name_width$}", stage.name);
    let line = format!(
        "{} {}{name}  {duration:>7}  {scores}   {note}",
        style.paint(colour, mark(stage, style)),
        style.paint(colour, &word)
    );
    let mut text = line.trim_end().to_owned() + "\n";
    if tree.all {
        text.extend(stage.attempts.iter().map(|one| attempt(one, columns, style)));
    }
    if let Some(targets) = &stage.targets {
        text.push_str(&target_rows(targets, stage.max_attempts, columns, tree));
    }
    text
}

/// `  attempt 1  4.1s  0.62  relevance 0.44, clarity 0.80  "cites no event"`.
fn attempt(attempt: &AttemptPicture, columns: &Columns, style: Style) -> String {
    let name = format!("  attempt {}", attempt.attempt)
        + &if attempt.try_ > 1 { format!(", try {}", attempt.try_) } else { String::new() };
    let score = attempt.score.map(|score| score.to_string()).unwrap_or_default();
    let dimensions = attempt.dimensions.iter().map(|(name, score)| format!("{name} {score}")).collect::<Vec<_>>().join(", ");
    let error = attempt.error.as_ref().filter(|_| attempt.verdict.is_none());
    let said = match (&attempt.feedback, error) {
        (_, Some(error)) => format!("{} error {}: {}", error.class.as_str(), error.reason, one_line(&error.message)),
        (Some(feedback), None) if attempt.score.is_some() => format!("\"{}\"", one_line(feedback)),
        _ => String::new(),
    };
    let duration = attempt.millis.map(for_people).unwrap_or_default();
    let (name_width, score_width) = (columns.name + 2, columns.score);
    let line = format!("{name:<name_width$}  {duration:>7}  {score:<score_width$}   {dimensions}  {said}");
    style.paint(Colour::Faint, line.trim_end()) + "\n"
}

/// The targets a picture shows: all of them, or those that failed or were tried again.
fn shown(targets: &TargetsPicture, tree: TreeStyle) -> Vec<&TargetPicture> {
    if tree.all {
        return targets.targets.iter().collect();
    }
    let worst = targets.worst.iter().filter_map(|index| targets.target(*index));
    worst.filter(|target| target.phase == TargetPhase::Failed || target.attempt > 1).collect()
}

fn target_rows(targets: &TargetsPicture, max_attempts: Option<u32>, columns: &Columns, tree: TreeStyle) -> String {
    let shown = shown(targets, tree);
    let mut text: String = shown.iter().map(|one| target(one, max_attempts, columns, tree)).collect();
    let more = targets.targets.len() - shown.len().min(targets.targets.len());
    if !shown.is_empty() && more > 0 {
        let dots = tree.style.sign("…", "..");
        // `--all` stands where the notes do.
        let width = columns.name + 2 + 7 + 2 + columns.score + 3 + if tree.wide { 11 } else { 0 };
        let line = format!("{:<width$}--all", format!("{dots} {more} more"));
        text.push_str(&format!("  {}\n", tree.style.paint(Colour::Faint, &line)));
    }
    text
}

/// `  x linguist-maint  0.66  5 of 5 attempts, scored 0.58 0.61 0.60 0.64 0.66, clarity never above 0.41`.
fn target(target: &TargetPicture, max_attempts: Option<u32>, columns: &Columns, tree: TreeStyle) -> String {
    let style = tree.style;
    let word = if tree.wide { format!("{:<9}  ", target_word(target.phase)) } else { String::new() };
    let (colour, sign) = match target.phase {
        TargetPhase::Due => (Colour::Faint, style.sign("·", ".")),
        TargetPhase::Running => (Colour::Busy, style.sign("⟳", ">")),
        TargetPhase::Succeeded => (Colour::Good, style.sign("✔", "+")),
        TargetPhase::Failed => (Colour::Bad, style.sign("✖", "x")),
    };
    let score = target.score.map(|score| score.to_string()).unwrap_or_default();
    let note = target_note(target, max_attempts);
    let note = style.paint(if target.phase == TargetPhase::Failed { Colour::Bad } else { Colour::Faint }, &note);
    let (name_width, score_width) = (columns.name.saturating_sub(2), columns.score);
    let line = format!(
        "  {} {}{:<name_width$}  {:>7}  {score:<score_width$}   {note}",
        style.paint(colour, sign),
        style.paint(colour, &word),
        key(target),
        ""
    );
    line.trim_end().to_owned() + "\n"
}

fn key(target: &TargetPicture) -> String {
    let name = one_line(&target.name());
    if name.chars().count() <= KEY_CHARS { name } else { name.chars().take(KEY_CHARS - 2).chain("..".chars()).collect() }
}

/// What there is to say about a target, in a few words.
pub(crate) fn target_note(target: &TargetPicture, max_attempts: Option<u32>) -> String {
    let class = target.error.as_ref().map(|error| error.class).or(target.class);
    let mut parts = match (class, &target.error) {
        (Some(ErrorClass::Quality), Some(error)) if target.attempts.is_empty() => vec![quote(&error.message)],
        _ => vec![attempts(target, max_attempts), scores_of(target)],
    };
    match (class, &target.error) {
        (Some(ErrorClass::Quality), _) => {
            parts.extend(never_above(target).map(|(name, score)| format!("{name} never above {score}")));
        }
        (Some(class), Some(error)) => parts.push(format!("{} error {}: {}", class.as_str(), error.reason, quote(&error.message))),
        (Some(class), None) => parts.push(format!("{} error", class.as_str())),
        (None, _) => {}
    }
    parts.retain(|part| !part.is_empty());
    parts.join(", ")
}

/// `5 of 5 attempts`, `3 attempts, 2 failures`, `attempt 2, try 3`; nothing for one that passed at once.
fn attempts(target: &TargetPicture, max_attempts: Option<u32>) -> String {
    let of = max_attempts.map(|max| format!(" of {max}")).unwrap_or_default();
    let (attempt, failures) = (target.attempt, target.try_.saturating_sub(1));
    let failed = if failures > 0 { format!(", {}", counted(failures, "failure")) } else { String::new() };
    let tried = if failures > 0 { format!(", try {}", target.try_) } else { String::new() };
    match (target.phase, attempt) {
        (TargetPhase::Due, 1) if failures == 0 => String::new(),
        (TargetPhase::Due | TargetPhase::Running, _) => format!("attempt {attempt}{of}{tried}"),
        (TargetPhase::Succeeded, 1) => failed.trim_start_matches(", ").to_owned(),
        (TargetPhase::Succeeded, _) => format!("{attempt} attempts{failed}"),
        (TargetPhase::Failed, _) => format!("{attempt}{of} attempts{failed}"),
    }
}

/// `0.58 0.61 0.60`, where the payload store was asked and there is more than one.
fn scores_of(target: &TargetPicture) -> String {
    let scores: Vec<_> = target.attempts.iter().map(|attempt| attempt.score.to_string()).collect();
    if scores.len() > 1 { format!("scored {}", scores.join(" ")) } else { String::new() }
}

/// The dimension whose best score is the lowest, and that score.
fn never_above(target: &TargetPicture) -> Option<(&str, Score)> {
    let mut best: BTreeMap<&str, Score> = BTreeMap::new();
    for (name, score) in target.attempts.iter().flat_map(|attempt| &attempt.dimensions) {
        let known = best.entry(name).or_insert(*score);
        *known = (*known).max(*score);
    }
    best.into_iter().min_by_key(|(_, score)| *score)
}

/// Scores of the attempts on record: `0.62 → 0.85`, `0.64 → …` while the next is in work; of a fan-out the lowest accepted.
fn scores(stage: &StagePicture, style: Style) -> String {
    if stage.targets.is_some() {
        return stage.score.map(|score| format!("lowest {score}")).unwrap_or_default();
    }
    let (arrow, gap) = (style.sign(" → ", " -> "), style.sign(" … ", " .. "));
    let mut text = String::new();
    let mut before: Option<u32> = None;
    for attempt in &stage.attempts {
        let Some(score) = attempt.score else { continue };
        match before {
            Some(number) if number + 1 == attempt.attempt => text.push_str(arrow),
            None if attempt.attempt == 1 => {}
            _ => text.push_str(gap),
        }
        text.push_str(&score.to_string());
        before = Some(attempt.attempt);
    }
    if before.is_some() && stage.attempts.last().is_some_and(|last| last.score.is_none()) {
        text.push_str(arrow);
        text.push_str(style.sign("…", ".."));
    }
    text.trim_start().to_owned()
}

/// Whether it succeeded with targets that did not.
fn in_part(stage: &StagePicture) -> bool {
    stage.phase == StagePhase::Succeeded && stage.targets.as_ref().is_some_and(|targets| targets.failed > 0)
}

fn mark(stage: &StagePicture, style: Style) -> &'static str {
    match stage.phase {
        StagePhase::Pending => style.sign("·", "."),
        StagePhase::Running => style.sign("⟳", ">"),
        StagePhase::Succeeded if in_part(stage) => style.sign("◐", "~"),
        StagePhase::Succeeded => style.sign("✔", "+"),
        StagePhase::Failed => style.sign("✖", "x"),
        StagePhase::Stopped => style.sign("■", "-"),
    }
}

fn stage_word(phase: StagePhase) -> &'static str {
    match phase {
        StagePhase::Pending => "Pending",
        StagePhase::Running => "Running",
        StagePhase::Succeeded => "Succeeded",
        StagePhase::Failed => "Failed",
        StagePhase::Stopped => "Stopped",
    }
}

fn target_word(phase: TargetPhase) -> &'static str {
    match phase {
        TargetPhase::Due => "Due",
        TargetPhase::Running => "Running",
        TargetPhase::Succeeded => "Succeeded",
        TargetPhase::Failed => "Failed",
    }
}

fn stage_colour(stage: &StagePicture) -> Colour {
    match stage.phase {
        StagePhase::Pending => Colour::Faint,
        StagePhase::Running => Colour::Busy,
        StagePhase::Succeeded if in_part(stage) => Colour::Warn,
        StagePhase::Succeeded => Colour::Good,
        StagePhase::Failed => Colour::Bad,
        StagePhase::Stopped => Colour::Warn,
    }
}
