//! The figures and their goals.

use super::{
    audit,
    place::Place,
    starts,
    steps::{self, Moments, Step, Writes},
};
use crate::{
    memory::Memory,
    table::{Figure, Goal},
};
use jiff::Timestamp;
use kube::ResourceExt;
use std::{collections::BTreeMap, path::Path};
use trackway_crds::{BatchRun, status::MAX_STATUS_BYTES};

/// Runs that ended, and what ran beside them.
pub(crate) type Measured = (&'static str, Vec<BatchRun>);

/// What was measured on the way from results to next stages, and counted in the audit log.
pub(crate) async fn of_runs(
    place: &Place,
    namespace: &str,
    audit_log: &Path,
    measured: &[Measured],
) -> anyhow::Result<Vec<Figure>> {
    let log = audit::writes_of_operator(audit_log, namespace)?;
    let moments = Moments::of(&log, starts::of_workers(&place.client, namespace).await?);
    let mut by_load = Vec::new();
    for (load, runs) in measured {
        let mut steps = Vec::new();
        for run in runs {
            steps.extend(steps::steps(place, run, &moments).await?);
        }
        by_load.push((*load, steps));
    }
    let counted = measured.iter().flat_map(|(_, runs)| runs).map(|run| steps::writes(&run.name_any(), &log));
    Ok(latencies(&by_load).into_iter().chain(of_writes(&counted.collect::<Vec<_>>())).collect())
}

type Ends = fn(&Step) -> Option<(Timestamp, Timestamp)>;

fn latencies(by_load: &[(&'static str, Vec<Step>)]) -> Vec<Figure> {
    let kinds: [(&str, Goal, Ends); 4] = [
        ("result stored → next Job released", goal(Some(40.0), Some(120.0)), |step| Some((step.stored_at, step.released_at))),
        ("… of it before the first API write", Goal::default(), |step| Some((step.stored_at, step.asked_at))),
        ("result stored → next worker's first line", goal(Some(500.0), None), |step| Some((step.stored_at, step.started_at?))),
        ("… of it Kubernetes: released → first line", Goal::default(), |step| Some((step.released_at, step.started_at?))),
    ];
    let of_kind = |(what, goal, ends): (&str, Goal, Ends)| {
        let of_load = |(load, steps): &(&'static str, Vec<Step>)| latency(load, what, goal, steps, ends);
        by_load.iter().map(of_load).collect::<Vec<_>>()
    };
    kinds.into_iter().flat_map(of_kind).collect()
}

fn goal(p50: Option<f64>, p99: Option<f64>) -> Goal {
    Goal { p50, p99, ..Goal::default() }
}

fn latency(load: &str, what: &str, goal: Goal, steps: &[Step], ends: Ends) -> Figure {
    let millis = |(from, to): (Timestamp, Timestamp)| to.duration_since(from).as_secs_f64() * 1000.0;
    let samples = steps.iter().filter_map(ends).map(millis).collect();
    Figure { what: what.into(), load: load.into(), unit: "ms", samples, goal }
}

fn of_writes(counted: &[Writes]) -> [Figure; 3] {
    let figure = |what: &str, samples: Vec<f64>, goal| Figure { what: what.into(), load: "all".into(), unit: "", samples, goal };
    #[allow(clippy::cast_precision_loss, reason = "a number of stages")]
    let events = |writes: &Writes| writes.events / writes.per_stage.len().max(1) as f64;
    let at_most = Goal { max: Some(3.0), ..Goal::default() };
    [
        figure("operator's API writes per stage", counted.iter().flat_map(|writes| writes.per_stage.clone()).collect(), at_most),
        figure("… to end a run", counted.iter().map(|writes| writes.at_end).collect(), Goal::default()),
        figure("… beside: Events per stage", counted.iter().map(events).collect(), Goal::default()),
    ]
}

/// The operator's writes of its lease in `namespace` so far, per minute.
pub(crate) fn of_lease(namespace: &str, audit_log: &Path) -> anyhow::Result<Option<Figure>> {
    let log = audit::writes_of_operator(audit_log, namespace)?;
    let lease: Vec<Timestamp> =
        log.iter().filter(|write| write.object_ref.resource == "leases").map(|write| write.answered_at).collect();
    let (Some(first), Some(last)) = (lease.first(), lease.last()) else { return Ok(None) };
    let minutes = last.duration_since(*first).as_secs_f64() / 60.0;
    #[allow(clippy::cast_precision_loss, reason = "a number of writes")]
    let per_minute = (lease.len() - 1) as f64 / minutes.max(f64::EPSILON);
    Ok(Some(single("… beside: Lease per minute", "all", "", per_minute)))
}

/// Size of the finished runs' status, as stored, by track.
pub(crate) fn of_status(measured: &[Measured]) -> anyhow::Result<Vec<Figure>> {
    let mut by_track: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for run in measured.iter().flat_map(|(_, runs)| runs) {
        let bytes = u32::try_from(serde_json::to_vec(&run.status)?.len())?;
        by_track.entry(run.spec.track_ref.name.clone()).or_default().push(bytes.into());
    }
    let most = u32::try_from(MAX_STATUS_BYTES)?;
    let goal = Goal { max: Some(most.into()), ..Goal::default() };
    let figure = |(track, samples)| Figure {
        what: format!("status of a finished run of {track}"),
        load: "all".into(),
        unit: "B",
        samples,
        goal,
    };
    Ok(by_track.into_iter().map(figure).collect())
}

/// The operator's memory before and after, and beside a thousand finished runs more.
pub(crate) fn of_memory(idle: Memory, after: Memory, crowded: Memory) -> Vec<Figure> {
    let figure = |what: &str, load: &str, value| single(what, load, "MiB", value);
    vec![
        figure("operator's resident memory", "idle", idle.resident),
        figure("operator's resident memory", "after all runs", after.resident),
        figure("operator's resident memory", "and 1,000 more, finished", crowded.resident),
        figure("… at most", "all", crowded.peak),
    ]
}

fn single(what: &str, load: &str, unit: &'static str, value: f64) -> Figure {
    Figure { what: what.into(), load: load.into(), unit, samples: vec![value], goal: Goal::default() }
}
