//! The picture as text: glyphs and colours on a terminal, ASCII everywhere else.

use super::picture::{AttemptPicture, Picture, StagePhase, StagePicture};
use crate::{
    screen::{Colour, Style},
    tree::notes::one_line,
};
use trackway_crds::{
    duration::for_people,
    status::{Phase, StageMillis},
};

/// How the picture looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct TreeStyle {
    /// Colours and glyphs.
    pub style: Style,
    /// Every attempt on record.
    pub all: bool,
    /// Phases as words beside the signs.
    pub wide: bool,
    /// The run is not in a cluster: no commands that would ask one.
    pub offline: bool,
}

/// The picture as text.
pub(super) fn render(picture: &Picture, tree: TreeStyle) -> String {
    let mut text = header(picture, tree.style);
    if let Some(waiting) = &picture.waiting {
        text.push_str(&format!("waits  {waiting}\n"));
    }
    if !picture.stages.is_empty() {
        text.push('\n');
        let columns = Columns::of(picture, tree.style);
        for stage in &picture.stages {
            text.push_str(&row(stage, &columns, tree));
        }
    }
    text.push_str(&footer(picture, tree));
    text
}

fn header(picture: &Picture, style: Style) -> String {
    let mut parts =
        vec![style.paint(Colour::Strong, &picture.run), style.paint(phase_colour(picture.phase), picture.phase.as_str())];
    parts.extend(picture.millis.map(for_people));
    parts.push(format!(" {}", one_line(&picture.tenant)));
    parts.push(picture.priority.clone());
    parts.push(format!("{} event{}", picture.events, if picture.events == 1 { "" } else { "s" }));
    parts.extend(picture.revision.as_ref().map(|revision| format!("revision {revision}")));
    if picture.tokens > 0 {
        parts.push(format!("{} tokens", grouped(picture.tokens)));
    }
    parts.join("  ") + "\n"
}

struct Columns {
    name: usize,
    score: usize,
}

impl Columns {
    fn of(picture: &Picture, style: Style) -> Self {
        let widest = |width: fn(&StagePicture, Style) -> usize| picture.stages.iter().map(|stage| width(stage, style)).max();
        Self {
            name: widest(|stage, _| stage.name.chars().count()).unwrap_or(0),
            score: widest(|stage, style| scores(stage, style).chars().count()).unwrap_or(0),
        }
    }
}

fn row(stage: &StagePicture, columns: &Columns, tree: TreeStyle) -> String {
    let (style, colour) = (tree.style, stage_colour(stage.phase));
    let word = if tree.wide { format!("{:<9}  ", stage_word(stage.phase)) } else { String::new() };
    let duration = stage.millis.map(for_people).unwrap_or_default();
    let (name_width, score_width) = (columns.name, columns.score);
    let scores = format!("{:<score_width$}", scores(stage, style));
    let note = style.paint(if stage.phase == StagePhase::Failed { Colour::Bad } else { Colour::Faint }, &stage.note);
    let name = format!("{:<name_width$}", stage.name);
    let line = format!(
        "{} {}{name}  {duration:>7}  {scores}   {note}",
        style.paint(colour, mark(stage.phase, style)),
        style.paint(colour, &word)
    );
    let mut text = line.trim_end().to_owned() + "\n";
    if tree.all {
        text.extend(stage.attempts.iter().map(|attempt| attempt_row(attempt, columns, style)));
    }
    text
}

/// `  attempt 1  4.1s  0.62  relevance 0.44, clarity 0.80  "cites no event"`.
fn attempt_row(attempt: &AttemptPicture, columns: &Columns, style: Style) -> String {
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

/// Scores of the attempts on record: `0.62 → 0.85`, `0.64 → …` while the next is in work.
fn scores(stage: &StagePicture, style: Style) -> String {
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

fn footer(picture: &Picture, tree: TreeStyle) -> String {
    let style = tree.style;
    let mut lines = Vec::new();
    if let Some(millis) = picture.millis.filter(|_| picture.finished) {
        lines.push(format!("{} = {}", for_people(millis), parts(&picture.timing, millis)));
    }
    if let Some(failure) = &picture.failure {
        let stage = failure.stage.as_deref().unwrap_or_default();
        let at = if stage.is_empty() { String::new() } else { format!(" at {stage}") };
        let message = one_line(&failure.message);
        let message = message.strip_prefix(&format!("{stage}: ")).unwrap_or(&message);
        lines.push(style.paint(Colour::Bad, &format!("failed{at}: {}: {}", failure.reason, message)));
        if !tree.offline {
            lines.push(format!("why    kubectl trackway why {}", picture.run));
        }
    }
    if let Some(stage) = worth_reading(picture).filter(|_| !tree.offline) {
        lines.push(format!(
            "read   kubectl trackway output {} {} [--attempt 1] [--input|--verdict|--record]",
            picture.run, stage.name
        ));
    }
    if lines.is_empty() { String::new() } else { format!("\n{}\n", lines.join("\n")) }
}

/// The stage that failed, else the one that was tried again most, else the last that wrote something.
fn worth_reading(picture: &Picture) -> Option<&StagePicture> {
    let written = picture.stages.iter().filter(|stage| stage.attempts.iter().any(|attempt| attempt.verdict.is_some()));
    let last_attempt = |stage: &StagePicture| stage.attempts.last().map_or(0, |last| last.attempt);
    written.max_by_key(|stage| (stage.phase == StagePhase::Failed, last_attempt(stage)))
}

/// Where `total` went; parts too small to show are left out.
fn parts(timing: &StageMillis, total: u64) -> String {
    let StageMillis { queued, pod_start, generate, judge, operator, paused } = timing;
    let named = [
        ("generate", *generate),
        ("judge", *judge),
        ("pod start", *pod_start),
        ("queued", *queued),
        ("operator", *operator),
        ("paused", *paused),
    ];
    let short = total < 1_000;
    let smallest = if short { 1 } else { 50 };
    let shown = named.into_iter().filter(|(_, millis)| *millis >= smallest);
    let shown =
        shown.map(|(name, millis)| if short { format!("{name} {millis}ms") } else { format!("{name} {}", seconds(millis)) });
    shown.collect::<Vec<_>>().join(" + ")
}

/// Seconds with one decimal, rounded half up.
fn seconds(millis: u64) -> String {
    let tenths = (millis + 50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// `71,204`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn mark(phase: StagePhase, style: Style) -> &'static str {
    match phase {
        StagePhase::Pending => style.sign("·", "."),
        StagePhase::Running => style.sign("⟳", ">"),
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

fn stage_colour(phase: StagePhase) -> Colour {
    match phase {
        StagePhase::Pending => Colour::Faint,
        StagePhase::Running => Colour::Busy,
        StagePhase::Succeeded => Colour::Good,
        StagePhase::Failed => Colour::Bad,
        StagePhase::Stopped => Colour::Warn,
    }
}

fn phase_colour(phase: Phase) -> Colour {
    match phase {
        Phase::Pending | Phase::Suspended | Phase::Cancelled => Colour::Warn,
        Phase::Running | Phase::Diagnosing => Colour::Busy,
        Phase::Succeeded => Colour::Good,
        Phase::Failed => Colour::Bad,
    }
}
