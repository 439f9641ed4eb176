//! The picture as text: glyphs and colours on a terminal, ASCII everywhere else.

use super::{
    notes::one_line,
    picture::{Picture, StagePhase, StagePicture, WorkKind},
    rows::{self, Columns},
    targets::{TargetPhase, TargetPicture},
};
use crate::screen::{Colour, Style};
use trackway_crds::{
    duration::for_people,
    status::{Failure, Phase},
};

/// How the picture looks.
#[derive(Clone, Copy, Debug, Default)]
pub struct TreeStyle {
    /// Colours and glyphs.
    pub style: Style,
    /// Every attempt on record, and every target.
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
        let columns = Columns::of(picture, tree);
        for stage in &picture.stages {
            text.push_str(&rows::stage(stage, &columns, tree));
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

fn footer(picture: &Picture, tree: TreeStyle) -> String {
    let mut lines = Vec::new();
    if let Some(millis) = picture.millis.filter(|_| picture.finished) {
        lines.push(format!("{} = {}", for_people(millis), parts(picture, millis)));
    }
    if let Some(failure) = &picture.failure {
        lines.extend(failed(picture, failure, tree));
    }
    if let Some((stage, target)) = worst(picture).filter(|_| !tree.offline) {
        let path = format!("{}/{}", stage.name, target.argument());
        lines.push(format!("worst  kubectl trackway why {} {path}", picture.run));
    }
    if let Some(stage) = worth_reading(picture).filter(|_| !tree.offline) {
        lines.push(format!(
            "read   kubectl trackway output {} {} [--attempt 1] [--input|--verdict|--record]",
            picture.run, stage.name
        ));
    }
    if let Some(stage) = sent(picture).filter(|_| !tree.offline) {
        lines.push(format!("sent   kubectl trackway output {} {}", picture.run, stage.name));
    }
    if lines.is_empty() { String::new() } else { format!("\n{}\n", lines.join("\n")) }
}

/// What failed, what the debugger says of it, and where to read on.
fn failed(picture: &Picture, failure: &Failure, tree: TreeStyle) -> Vec<String> {
    let stage = failure.stage.as_deref().unwrap_or_default();
    let target = failure.target.as_ref().map(|key| format!("/{}", one_line(key))).unwrap_or_default();
    let at = if stage.is_empty() { String::new() } else { format!(" at {stage}{target}") };
    let message = one_line(&failure.message);
    let message = message.strip_prefix(&format!("{stage}: ")).unwrap_or(&message);
    let mut lines = vec![tree.style.paint(Colour::Bad, &format!("failed{at}: {}: {message}", failure.reason))];
    if let Some(diagnosis) = &picture.diagnosis {
        lines.push(format!("cause  {}", one_line(&diagnosis.root_cause)));
        lines.push(format!("fix    {}", one_line(&diagnosis.suggested_fix)));
    }
    if let Some(reason) = &picture.undiagnosed {
        lines.push(format!("cause  not diagnosed: {reason}"));
    }
    if !tree.offline {
        lines.push(format!("why    kubectl trackway why {}", picture.run));
    }
    lines
}

/// The worst target that failed.
fn worst(picture: &Picture) -> Option<(&StagePicture, &TargetPicture)> {
    let fan_outs = picture.stages.iter().filter_map(|stage| Some((stage, stage.targets.as_ref()?)));
    let mut worst = fan_outs.flat_map(|(stage, targets)| targets.worst.iter().map(move |index| (stage, targets.target(*index))));
    worst.find_map(|(stage, target)| Some((stage, target.filter(|target| target.phase == TargetPhase::Failed)?)))
}

/// The broadcast that has ended.
fn sent(picture: &Picture) -> Option<&StagePicture> {
    let mut ended = picture.stages.iter().filter(|stage| stage.phase == StagePhase::Succeeded);
    ended.rfind(|stage| stage.kind == Some(WorkKind::Broadcast))
}

/// The stage that failed, else the one that was tried again most, else the last that wrote something.
fn worth_reading(picture: &Picture) -> Option<&StagePicture> {
    let writes = |stage: &&StagePicture| !matches!(stage.kind, Some(WorkKind::Container | WorkKind::Broadcast));
    let stages = picture.stages.iter().filter(writes);
    let written = stages.filter(|stage| stage.attempts.iter().any(|attempt| attempt.verdict.is_some()));
    let last_attempt = |stage: &StagePicture| stage.attempts.last().map_or(0, |last| last.attempt);
    written.max_by_key(|stage| (stage.phase == StagePhase::Failed, last_attempt(stage)))
}

/// Where `total` went; parts too small to show are left out.
fn parts(picture: &Picture, total: u64) -> String {
    let own = |wanted: fn(Option<WorkKind>) -> bool| {
        let stages = picture.stages.iter().filter(|stage| wanted(stage.kind));
        stages.filter_map(|stage| stage.timing.as_ref()).map(|timing| timing.generate).sum::<u64>()
    };
    let timing = &picture.timing;
    let named = [
        ("generate", own(|kind| !matches!(kind, Some(WorkKind::Container | WorkKind::Broadcast)))),
        ("container", own(|kind| kind == Some(WorkKind::Container))),
        ("judge", timing.judge),
        ("broadcast", own(|kind| kind == Some(WorkKind::Broadcast))),
        ("debugger", picture.debugger_millis.unwrap_or(0)),
        ("pod start", timing.pod_start),
        ("queued", timing.queued),
        ("operator", timing.operator),
        ("paused", timing.paused),
        ("waiting", timing.waiting),
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

fn phase_colour(phase: Phase) -> Colour {
    match phase {
        Phase::Pending | Phase::WaitingForContext | Phase::Suspended | Phase::Cancelled => Colour::Warn,
        Phase::Running | Phase::Diagnosing => Colour::Busy,
        Phase::Succeeded => Colour::Good,
        Phase::Failed => Colour::Bad,
    }
}
