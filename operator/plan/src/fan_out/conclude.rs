//! What became of the targets that are with a pod: reported, lost with their pod, or still at work.

use super::{FanOut, LastResult, waves::wave_targets};
use crate::{
    conclude::{self, Outcome, job_ended, lost, never_started, pod_ended},
    observed::{ArrivedResult, JobView, PodView, Waiting},
    plan::{Draft, Ignored, IgnoredResult},
    timing::later,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use trackway_crds::{
    contracts::{ErrorClass, ResultError, Revision, StageResult, WaveAssignment},
    ledger::{MAX_TARGETS, TargetState},
    status::{BatchRunStatus, StagePhase, TargetsStatus, WaveStatus},
};

/// A pod may be seen to start later than its results are read; a Job of a finished run that has not started all its pods by then
/// will not be let do so.
const STARTED_BY_MILLIS: u64 = 10_000;

/// A target that is with a pod.
struct Open<'a> {
    wave: &'a WaveStatus,
    pod: u32,
    attempt: u32,
    try_: u32,
}

/// The running targets by index. A target is with the last wave that names it: it left those before with a result.
fn open_targets<'a>(fan_out: &FanOut<'_>, waves: &'a [WaveStatus]) -> BTreeMap<u32, Open<'a>> {
    let mut open = BTreeMap::new();
    for wave in waves {
        for (position, index) in (0..).zip(wave_targets(&wave.targets, MAX_TARGETS).unwrap_or_default()) {
            let Some(target) = usize::try_from(index).ok().and_then(|index| fan_out.ledger.0.get(index)) else { continue };
            if target.state == TargetState::Running {
                let pod = position / wave.targets_per_pod.max(1);
                open.insert(index, Open { wave, pod, attempt: target.attempt, try_: target.try_() });
            }
        }
    }
    open
}

/// Indices of the running targets of each wave, in the waves' order.
pub(super) fn running_of_waves(fan_out: &FanOut<'_>, targets: &TargetsStatus) -> Vec<Vec<u32>> {
    let open = open_targets(fan_out, &targets.waves);
    let of = |wave: &WaveStatus| open.iter().filter(|(_, open)| open.wave.wave == wave.wave).map(|(index, _)| *index).collect();
    targets.waves.iter().map(of).collect()
}

/// The targets whose try has ended, in the order in which that became known.
pub(super) fn outcomes(draft: &mut Draft<'_>, revision: &Revision, fan_out: &mut FanOut<'_>) -> Vec<(u32, Outcome)> {
    let waves = fan_out.targets(draft).map(|targets| targets.waves.clone()).unwrap_or_default();
    let open = open_targets(fan_out, &waves);
    let reported = reported(draft, fan_out, &open);
    let silent: Vec<_> = open.into_iter().filter(|(index, _)| !reported.contains_key(index)).collect();
    let lost = silent_targets(draft, revision, &silent, &waves);
    fan_out.urgent |= !lost.is_empty();
    let mut reported: Vec<_> = reported.into_iter().collect();
    reported.sort_by_key(|(index, arrived)| (arrived.arrived_at, *index));
    fan_out.last = reported
        .last()
        .map(|(_, ArrivedResult { result, arrived_at })| LastResult { millis: result.millis.clone(), arrived_at: *arrived_at });
    let reported = reported
        .into_iter()
        .map(|(index, ArrivedResult { result, arrived_at })| (index, Outcome::Reported { result: Box::new(result), arrived_at }));
    reported.chain(lost).collect()
}

/// The results that count, by target: one for each, the first.
fn reported(draft: &mut Draft<'_>, fan_out: &mut FanOut<'_>, open: &BTreeMap<u32, Open<'_>>) -> BTreeMap<u32, ArrivedResult> {
    let mut found: BTreeMap<u32, ArrivedResult> = BTreeMap::new();
    let observed = draft.observed;
    let is_open = |result: &StageResult| {
        let of_stage = result.run == draft.run.uid && result.stage == fan_out.resolved.name;
        let open = open.get(&result.index).filter(|_| of_stage)?;
        ((result.attempt, result.try_) == (open.attempt, open.try_)).then_some(open)
    };
    let mut ignored = Vec::new();
    for arrived in &observed.results {
        let Some(target) = is_open(&arrived.result) else {
            ignored.push((Ignored::NotOpen, arrived.result.clone()));
            continue;
        };
        let job = observed.job(&target.wave.job_uid);
        if !job.is_some_and(|job| job.pods.iter().any(|pod| pod.uid == arrived.result.pod)) {
            ignored.push((Ignored::UnknownPod, arrived.result.clone()));
            continue;
        }
        found.entry(arrived.result.index).or_insert_with(|| arrived.clone());
    }
    let mut from_pods = 0;
    let waves: BTreeSet<&str> = open.values().map(|open| open.wave.job_uid.as_str()).collect();
    for job in observed.jobs.iter().filter(|job| waves.contains(job.uid.as_str())) {
        for (pod, result) in job.pods.iter().flat_map(|pod| pod.results.iter().map(move |result| (pod, result))) {
            // What was recorded before is no news here: a pod's last words repeat everything it said.
            let counts = is_open(result).is_some_and(|open| open.wave.job_uid == job.uid) && pod.uid == result.pod;
            if counts && !found.contains_key(&result.index) {
                found.insert(result.index, ArrivedResult { result: result.clone(), arrived_at: draft.now });
                from_pods += 1;
            }
        }
    }
    fan_out.urgent |= from_pods > 0;
    if ignored.iter().any(|(reason, _)| *reason == Ignored::UnknownPod) {
        draft.wake_at.push(later(draft.now, 200));
    }
    draft.out.ignored.extend(ignored.into_iter().map(|(reason, result)| IgnoredResult { reason, result }));
    found
}

/// Those of `silent` that never will report.
fn silent_targets(
    draft: &mut Draft<'_>,
    revision: &Revision,
    silent: &[(u32, Open<'_>)],
    waves: &[WaveStatus],
) -> Vec<(u32, Outcome)> {
    let mut ended = Vec::new();
    for wave in waves {
        let of_wave: Vec<_> = silent.iter().filter(|(_, open)| open.wave.wave == wave.wave).collect();
        if of_wave.is_empty() {
            continue;
        }
        let mut waits = 0;
        let job = draft.observed.job(&wave.job_uid);
        for (index, open) in &of_wave {
            match fate(draft, revision, wave, job, open.pod) {
                Some(error) => ended.push((*index, Outcome::Lost(error))),
                None => waits += 1,
            }
        }
        if waits > 0 {
            wait(draft, wave, job, waits);
        }
    }
    if !ended.is_empty() && !draft.observed.results_known {
        draft.wake_at.push(later(draft.now, 1_000));
        let held = targets_text(ended.len());
        draft.out.why.push(format!("the pods of {held} are gone; waits for the stream before calling them lost"));
        ended.clear();
    }
    ended
}

fn targets_text(count: usize) -> String {
    if count == 1 { "1 target".into() } else { format!("{count} targets") }
}

fn wait(draft: &mut Draft<'_>, wave: &WaveStatus, job: Option<&JobView>, waits: usize) {
    match job {
        Some(job) if job.suspended && job.pods.is_empty() => draft.release_again(job),
        _ => draft.out.why.push(format!("waits for {} of wave {}", targets_text(waits), wave.wave)),
    }
}

/// How the pod with completion index `pod` ended without having reported everything; `None` while it may still report.
fn fate(draft: &mut Draft<'_>, revision: &Revision, wave: &WaveStatus, job: Option<&JobView>, pod: u32) -> Option<ResultError> {
    let Some(job) = job else {
        return Some(lost(ErrorClass::Infrastructure, "JobLost", "its Job is gone; it was deleted by someone else".into()));
    };
    let pods: Vec<&PodView> = job.pods.iter().filter(|view| view.index == pod).collect();
    if let Some(finished) = pods.iter().find_map(|pod| pod.finished.as_ref()) {
        let (reason, message) = pod_ended(finished);
        return Some(lost(ErrorClass::Infrastructure, reason, message));
    }
    if let Some(finished) = &job.ended {
        let (reason, message) = job_ended(finished);
        return Some(lost(ErrorClass::Infrastructure, reason, message));
    }
    if pods.iter().any(|pod| pod.started) {
        return None;
    }
    let waiting = pods.iter().find_map(|pod| pod.waiting.clone()).unwrap_or_default();
    let (class, limit) = conclude::start_limit(revision, &waiting);
    let at = later(wave.started_at.0, limit);
    if draft.now < at {
        draft.wake_at.push(at);
        return None;
    }
    Some(never_started(&waiting, class, limit))
}

/// Whether the pods of a wave's Job had their say, so that it ends by itself and their logs may be kept: it ran, its wave has ended,
/// and it is not one whose pods never start. Of the last wave that may not be certain yet; then it is at the moment given.
pub(crate) fn has_reported(status: &BatchRunStatus, job: &JobView, now: Timestamp) -> Result<bool, Timestamp> {
    let stages = status.stages.iter().filter(|stage| stage.phase != StagePhase::Running);
    let mut waves = stages.filter_map(|stage| stage.targets.as_ref()).flat_map(|targets| &targets.waves);
    if job.suspended || waves.any(|wave| wave.job_uid == job.uid) {
        return Ok(false);
    }
    let pods = job.wave.as_ref().map_or(0, WaveAssignment::pods);
    let certain = status.completed_at.as_ref().map_or(Timestamp::MAX, |at| later(at.0, STARTED_BY_MILLIS));
    match job.pods.len() >= pods && job.pods.iter().all(|pod| pod.started || pod.finished.is_some()) {
        true => Ok(true),
        false if now < certain => Err(certain),
        false => Ok(false),
    }
}

/// Whether some pod of an ended wave's Job will never report: nobody waits for it any more.
pub(super) fn never_reports(job: &JobView, wave: &WaveStatus, revision: &Revision, now: Timestamp) -> bool {
    let targets = wave_targets(&wave.targets, MAX_TARGETS).unwrap_or_default();
    let pods = targets.len().div_ceil(usize::try_from(wave.targets_per_pod).unwrap_or(1).max(1));
    let late = |waiting: &Waiting| now >= later(wave.started_at.0, conclude::start_limit(revision, waiting).1);
    let missing = job.pods.iter().map(|pod| pod.index).collect::<BTreeSet<_>>().len() < pods;
    let unstarted = |pod: &PodView| !pod.started && pod.finished.is_none() && late(&pod.waiting.clone().unwrap_or_default());
    job.pods.iter().any(unstarted) || (missing && late(&Waiting::default()))
}
