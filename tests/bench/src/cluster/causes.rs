//! Where time goes: what a fan-out takes, and what ten runs at once wait for that one alone does not.

use crate::table::{Figure, Goal};
use trackway_crds::{
    BatchRun,
    status::{StageMillis, StageStatus},
};

/// From the fan-out's start to its end.
pub(crate) fn of_fan_out(load: &'static str, runs: &[BatchRun], most_millis: f64) -> Figure {
    let stages = runs.iter().flat_map(stages).filter(|stage| stage.targets.is_some());
    let samples = stages.filter_map(millis).collect();
    let goal = Goal { p50: Some(most_millis), ..Goal::default() };
    Figure { what: "40 targets, 1 s each call: start → end".into(), load: load.into(), unit: "ms", samples, goal }
}

/// What runs alone and ten at once took, by cause, and how much longer ten take. The cause that grew most bounds them.
pub(crate) fn of_ten_at_once(alone: &[BatchRun], ten: &[BatchRun]) -> (Vec<Figure>, String) {
    let mut figures = Vec::new();
    for (load, runs) in [("alone", alone), ("ten at once", ten)] {
        figures.push(figure("a run of three stages, 5 s each", load, runs.iter().filter_map(duration).collect()));
        for (cause, of) in CAUSES {
            let sum = |run: &BatchRun| -> f64 { stages(run).map(|stage| wide(of(&stage.millis))).sum() };
            figures.push(figure(&format!("… of it {cause}"), load, runs.iter().map(sum).collect()));
        }
    }
    let ratio = median(ten, duration) / median(alone, duration).max(1.0);
    let goal = Goal { p50: Some(1.05), ..Goal::default() };
    figures.push(Figure { what: "ten at once / alone".into(), load: "medians".into(), unit: "", samples: vec![ratio], goal });
    let grown = CAUSES.map(|(cause, of)| {
        let sum = |run: &BatchRun| Some(stages(run).map(|stage| wide(of(&stage.millis))).sum::<f64>());
        (cause, median(ten, sum) - median(alone, sum))
    });
    let most = grown.iter().max_by(|a, b| a.1.total_cmp(&b.1));
    let bound = most.map_or_else(String::new, |(cause, by)| format!("ten at once are bound by: {cause} (+{by:.0} ms a run)"));
    (figures, bound)
}

type Cause = (&'static str, fn(&StageMillis) -> u64);

const CAUSES: [Cause; 5] = [
    ("model writing", |millis| millis.generate),
    ("model judging", |millis| millis.judge),
    ("Kubernetes: pod start", |millis| millis.pod_start),
    ("queued", |millis| millis.queued),
    ("operator", |millis| millis.operator),
];

fn figure(what: &str, load: &str, samples: Vec<f64>) -> Figure {
    Figure { what: what.into(), load: load.into(), unit: "ms", samples, goal: Goal::default() }
}

fn stages(run: &BatchRun) -> impl Iterator<Item = &StageStatus> {
    run.status.iter().flat_map(|status| &status.stages)
}

fn millis(stage: &StageStatus) -> Option<f64> {
    Some(stage.completed_at.as_ref()?.0.duration_since(stage.started_at.0).as_secs_f64() * 1000.0)
}

/// From the run's creation to its end: waiting for its turn counts.
fn duration(run: &BatchRun) -> Option<f64> {
    let (created, ended) = (run.metadata.creation_timestamp.as_ref()?, run.status.as_ref()?.completed_at.as_ref()?);
    let started = run.status.as_ref()?.started_at.as_ref()?;
    // A creation's moment is cut to the second: what lies before the start is taken from there only when it is more.
    let waited = started.0.duration_since(created.0).as_secs_f64();
    let took = ended.0.duration_since(started.0).as_secs_f64();
    Some((took + if waited > 1.0 { waited } else { 0.0 }) * 1000.0)
}

fn median(runs: &[BatchRun], of: impl Fn(&BatchRun) -> Option<f64>) -> f64 {
    let mut samples: Vec<f64> = runs.iter().filter_map(of).collect();
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

#[allow(clippy::cast_precision_loss, reason = "milliseconds of a run")]
fn wide(millis: u64) -> f64 {
    millis as f64
}
