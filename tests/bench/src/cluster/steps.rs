//! From finished runs to samples: which Job followed which result.

use super::{audit::Write, place::Place};
use anyhow::Context;
use jiff::Timestamp;
use kube::ResourceExt;
use std::collections::HashMap;
use trackway_crds::{BatchRun, names};
use trackway_nats::{result_stored_at, result_subject};

/// A result, and what followed from it.
pub(crate) struct Step {
    pub(crate) stored_at: Timestamp,
    /// When the API server received the request to make the next Job.
    pub(crate) asked_at: Timestamp,
    pub(crate) released_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
}

/// The operator's writes for one run.
#[derive(Default)]
pub(crate) struct Writes {
    /// For each Job that was released: requests since the one before.
    pub(crate) per_stage: Vec<f64>,
    /// Requests after the last release.
    pub(crate) at_end: f64,
    /// Events, of the whole run.
    pub(crate) events: f64,
}

/// An attempt that has a result; the try is the one that brought it.
#[derive(Clone, Copy)]
struct Try<'a> {
    stage: &'a str,
    attempt: u32,
    try_: u32,
}

fn tries(run: &BatchRun) -> Vec<Try<'_>> {
    let stages = run.status.iter().flat_map(|status| &status.stages);
    stages
        .flat_map(|stage| {
            let of_attempt = |attempt: u32, try_: u32| Try { stage: &stage.name, attempt, try_ };
            stage.attempts.iter().map(move |attempt| of_attempt(attempt.attempt, attempt.try_))
        })
        .collect()
}

/// When things happened to Jobs, by their names.
pub(crate) struct Moments<'a> {
    creations: HashMap<&'a str, Timestamp>,
    releases: HashMap<&'a str, Timestamp>,
    starts: HashMap<String, Timestamp>,
}

impl<'a> Moments<'a> {
    /// Of the Jobs in `writes`, whose workers began at `starts`.
    pub(crate) fn of(writes: &'a [Write], starts: HashMap<String, Timestamp>) -> Self {
        let name = |write: &'a Write| write.object_ref.name.as_str();
        let creations = writes.iter().filter(|write| write.is_creation()).map(|write| (name(write), write.received_at));
        let releases = writes.iter().filter(|write| write.is_release()).map(|write| (name(write), write.answered_at));
        Self { creations: creations.collect(), releases: releases.collect(), starts }
    }
}

/// Every step from one stage of `run` to the next.
pub(crate) async fn steps(place: &Place, run: &BatchRun, moments: &Moments<'_>) -> anyhow::Result<Vec<Step>> {
    let (name, uid) = (run.name_any(), run.uid().context("a run without uid")?);
    let namespace = run.namespace().context("a run without namespace")?;
    let mut steps = Vec::new();
    for pair in tries(run).windows(2) {
        let [before, after] = pair else { continue };
        let subject = result_subject(&namespace, &uid, before.stage, before.attempt, before.try_, 0)?;
        // What follows a result is the first try of the next attempt.
        let job = names::job_name(&name, &uid, after.stage, after.attempt, 1);
        let (asked_at, released_at) = (moments.creations.get(job.as_str()), moments.releases.get(job.as_str()));
        let (Some(asked_at), Some(released_at)) = (asked_at.copied(), released_at.copied()) else { continue };
        let Some(stored_at) = result_stored_at(&place.nats, &subject).await? else { continue };
        let started_at = moments.starts.get(&job).copied();
        steps.push(Step { stored_at: stored_at.try_into()?, asked_at, released_at, started_at });
    }
    Ok(steps)
}

/// What the operator asked of the API server for the run of this name.
pub(crate) fn writes(run: &str, all: &[Write]) -> Writes {
    let mut counted = Writes::default();
    for write in all {
        let name = write.object_ref.name.as_str();
        match write.object_ref.resource.as_str() {
            "batchruns" if name == run => counted.at_end += 1.0,
            "jobs" if is_part(run, '-', name) => counted.at_end += 1.0,
            "events" if is_part(run, '.', name) => counted.events += 1.0,
            _ => continue,
        }
        if write.is_release() {
            counted.per_stage.push(std::mem::take(&mut counted.at_end));
        }
    }
    counted
}

fn is_part(run: &str, mark: char, name: &str) -> bool {
    name.strip_prefix(run).is_some_and(|rest| rest.starts_with(mark))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn write(verb: &str, resource: &str, name: &str) -> Write {
        let write = json!({
            "verb": verb, "objectRef": {"resource": resource, "namespace": "n", "name": name},
            "responseStatus": {"code": 200}, "requestReceivedTimestamp": "2026-11-22T18:22:36.4Z", "stageTimestamp": "2026-11-22T18:22:36.5Z",
        });
        serde_json::from_value(write).unwrap()
    }

    #[test]
    fn writes_are_counted_for_the_stage_they_begin() {
        let log = [
            write("create", "jobs", "admin-1-a"),
            write("update", "batchruns", "admin-1"),
            write("create", "jobs", "admin-12-x"),
            write("patch", "jobs", "admin-1-a"),
            write("create", "events", "admin-1.18ea"),
            write("create", "jobs", "admin-1-b"),
            write("update", "batchruns", "admin-1"),
            write("update", "batchruns", "admin-1"),
            write("patch", "jobs", "admin-1-b"),
            write("update", "batchruns", "admin-1"),
        ];
        let counted = writes("admin-1", &log);
        assert_eq!(counted.per_stage, [3.0, 4.0]);
        assert_eq!((counted.at_end, counted.events), (1.0, 1.0));
        let moments = Moments::of(&log, HashMap::new());
        assert_eq!((moments.creations.len(), moments.releases.len()), (3, 2));
    }
}
