//! The end of a wave, and of the stage.

use super::{FanOut, conclude, timing, worst};
use crate::{decide::fail_stage, events::EventReason, plan::Draft, timing::millis_between};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use trackway_crds::{
    contracts::ErrorClass,
    duration::for_people,
    ledger::TargetState,
    status::{StagePhase, WaveStatus, WorstTarget},
};

/// More targets have failed than are tolerated.
const TARGETS_FAILED: &str = "TargetsFailed";
/// All targets have failed.
const NO_TARGET_SUCCEEDED: &str = "NoTargetSucceeded";

/// Drops the waves whose targets have all ended or are due again.
pub(super) fn waves(draft: &mut Draft<'_>, fan_out: &mut FanOut<'_>) {
    let Some(targets) = fan_out.targets(draft).cloned() else { return };
    let running = conclude::running_of_waves(fan_out, &targets);
    let (ended, live): (Vec<_>, Vec<_>) = targets.waves.into_iter().zip(running).partition(|(_, running)| running.is_empty());
    if ended.is_empty() {
        return;
    }
    fan_out.urgent = true;
    timing::account(draft, fan_out.stage, fan_out.last.as_ref());
    for (wave, _) in ended {
        draft.out.why.push(format!("wave {} has ended", wave.wave));
        stop(draft, &wave);
    }
    if let Some(targets) = fan_out.targets(draft) {
        targets.waves = live.into_iter().map(|(wave, _)| wave).collect();
    }
}

/// Deletes the Job of an ended wave if pods of it never reported; others end by themselves and keep their logs.
fn stop(draft: &mut Draft<'_>, wave: &WaveStatus) {
    let Some((job, revision)) = draft.observed.job(&wave.job_uid).zip(draft.revision()) else { return };
    if job.is_active() && (job.suspended || conclude::never_reports(job, wave, revision, draft.now)) {
        draft.delete(job);
    }
}

/// Ends the stage if it has failed for certain or all its targets have ended.
pub(super) fn stage(draft: &mut Draft<'_>, fan_out: &FanOut<'_>) -> bool {
    let total = u32::try_from(fan_out.ledger.0.len()).unwrap_or(u32::MAX);
    let failed = fan_out.ledger.count(TargetState::is_failed);
    let tolerated = fan_out.for_each.tolerated_failures.of(total);
    if failed > tolerated {
        let counts = format!("{failed} of {total} targets failed, {tolerated} tolerated");
        fail(draft, fan_out, TARGETS_FAILED, &counts);
        return true;
    }
    if fan_out.ledger.count(TargetState::is_ended) < total {
        return false;
    }
    if total > 0 && failed == total {
        fail(draft, fan_out, NO_TARGET_SUCCEEDED, &format!("none of {total} targets succeeded"));
        return true;
    }
    succeed(draft, fan_out, failed, tolerated);
    true
}

fn fail(draft: &mut Draft<'_>, fan_out: &FanOut<'_>, reason: &str, counts: &str) {
    timing::account(draft, fan_out.stage, fan_out.last.as_ref());
    let now = MicroTime(draft.now);
    let told = fan_out.targets(draft).map(|targets| (targets.worst.iter().find(|worst| worst.error.is_some()).cloned(), targets));
    let Some((known, targets)) = told else { return };
    targets.updated_at = now;
    let tipped: Option<WorstTarget> = fan_out.tipped.as_ref().map(|tipped| tipped.target.clone()).or(known);
    if let Some(tipped) = tipped.clone() {
        worst::first(&mut targets.worst, tipped);
    }
    let error = tipped.as_ref().and_then(|tipped| tipped.error.clone());
    let class = error.as_ref().map_or(ErrorClass::Permanent, |error| error.class);
    let key = tipped.map(|tipped| tipped.key);
    let detail = key.as_ref().zip(error).map(|(key, error)| format!("; {key}: {}: {}", error.reason, error.message));
    let message = format!("{counts}{}", detail.unwrap_or_default());
    fail_stage(draft, fan_out.stage, key, class, reason, &message);
}

fn succeed(draft: &mut Draft<'_>, fan_out: &FanOut<'_>, failed: u32, tolerated: u32) {
    let now = draft.now;
    if let Some(targets) = fan_out.targets(draft) {
        targets.updated_at = MicroTime(now);
    }
    let stage = &mut draft.status.stages[fan_out.stage];
    stage.phase = StagePhase::Succeeded;
    stage.completed_at = Some(MicroTime(now));
    stage.not_before = None;
    let (name, took) = (stage.name.clone(), for_people(millis_between(stage.started_at.0, now)));
    let (total, retries) = stage.targets.as_ref().map_or((0, 0), |targets| (targets.total, targets.retries));
    let failed = if failed > 0 { format!(", {failed} failed ({tolerated} tolerated)") } else { String::new() };
    let succeeded = fan_out.ledger.count(|state| state == TargetState::Succeeded);
    let targets = if total == 1 { "target" } else { "targets" };
    let retries = if retries == 1 { "1 retry".into() } else { format!("{retries} retries") };
    let note = format!("{name}: {total} {targets}: {succeeded} ok{failed}, {retries} in {took}");
    draft.out.why.push(note.clone());
    draft.event(EventReason::StageSucceeded, name, note);
}
