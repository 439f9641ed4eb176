//! The last write of a run. It is written once; after it nothing changes (invariant 5).

use crate::{
    attempts,
    conditions::follow_phase,
    decide,
    events::EventReason,
    fan_out,
    observed::RevisionView,
    open::idle_millis,
    plan::Draft,
    timing::{millis_between, pause_clock},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use trackway_crds::{
    contracts::ResultMillis,
    duration::for_people,
    status::{Phase, StagePhase},
};

/// Every stage succeeded.
pub(crate) fn succeed(draft: &mut Draft<'_>) {
    let took = close(draft, Phase::Succeeded);
    let stages = draft.status.stages.len();
    follow_phase(&mut draft.status, "Succeeded", &format!("all {stages} stages succeeded"), draft.now);
    draft.event(EventReason::Succeeded, "run", format!("{stages} stages in {took}"));
}

/// `status.failure` says why.
pub(crate) fn fail(draft: &mut Draft<'_>) {
    let took = close(draft, Phase::Failed);
    let Some(failure) = draft.status.failure.clone() else { return };
    follow_phase(&mut draft.status, &failure.reason, &failure.message, draft.now);
    let at = failure.stage.map(|stage| format!(" at {stage}")).unwrap_or_default();
    draft.event(EventReason::Failed, "run", format!("{}{at} after {took}", failure.reason));
}

/// `spec.cancel` was set.
pub(crate) fn cancel(draft: &mut Draft<'_>) {
    draft.out.why.push("spec.cancel ends the run".into());
    let took = close(draft, Phase::Cancelled);
    follow_phase(&mut draft.status, "Cancelled", "spec.cancel was set", draft.now);
    draft.event(EventReason::Cancelled, "run", format!("cancelled after {took}"));
}

/// Closes clocks and stages; how long the run took.
fn close(draft: &mut Draft<'_>, phase: Phase) -> String {
    let now = draft.now;
    if let Some(index) = attempts::running(&draft.status.stages) {
        if draft.status.stages[index].targets.is_some() {
            fan_out::account(draft, index, None);
        } else if attempts::in_work(&draft.status.stages[index])
            .is_some_and(|open| open.job_uid.is_some() && open.millis.is_none())
        {
            decide::close_try(draft, index, &ResultMillis::default(), now);
        } else if draft.status.stages[index].waits_for().is_some() {
            let idle = idle_millis(draft);
            draft.status.stages[index].millis.waiting += idle;
        }
        let stage = &mut draft.status.stages[index];
        stage.phase = StagePhase::Stopped;
        stage.completed_at = Some(MicroTime(now));
    }
    draft.status.phase = Some(phase);
    draft.status.completed_at = Some(MicroTime(now));
    if let RevisionView::Available { revision, .. } = &draft.observed.revision {
        pause_clock(&mut draft.status, revision.limits.active_deadline_millis, now);
    }
    draft.status.deadline_at = None;
    draft.delete_active_jobs();
    let from = draft.status.started_at.as_ref().map_or(draft.run.created_at, |at| at.0);
    for_people(millis_between(from, now))
}
