//! Tells people and metrics what was done.

use super::Context;
use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use trackway_crds::{BatchRun, contracts::StageResult};
use trackway_kubernetes::events::{Sentence, publish};
use trackway_plan::{After, Ignored, Observed, Plan, stored_bytes};

use crate::metrics::Metrics;

/// Counts results that did not count, each once.
pub(crate) fn ignored(context: &Context, uid: &str, plan: &Plan) {
    for ignored in &plan.ignored {
        let StageResult { run, stage, attempt, try_, index, .. } = &ignored.result;
        let subject = trackway_nats::result_subject(&context.namespace, run, stage, *attempt, *try_, *index);
        if subject.is_ok_and(|subject| !context.memory.first_ignored(uid, &subject)) {
            continue;
        }
        let reason = match ignored.reason {
            Ignored::NotOpen => "NotOpen",
            Ignored::UnknownPod => "UnknownPod",
        };
        Metrics::count(&context.metrics.ignored, reason);
    }
}

/// After everything is applied: log lines, metrics, Events.
pub(crate) fn done(context: &Context, run: &BatchRun, observed: &Observed, plan: &Plan) {
    let name = run.name_any();
    let acted = plan.status.is_some() || !plan.after.is_empty();
    for why in &plan.why {
        // A fan-out is looked at with every result; what only waits on is no news.
        if acted {
            tracing::info!(namespace = context.namespace, run = name, "{why}");
        } else {
            tracing::debug!(namespace = context.namespace, run = name, "{why}");
        }
    }
    if let Some(status) = &plan.status {
        let bytes = u64::try_from(stored_bytes(status)).unwrap_or(u64::MAX);
        if bytes > context.metrics.status_bytes.get() {
            context.metrics.status_bytes.set(bytes);
        }
        if let Some(phase) = status.phase.filter(|phase| phase.is_finished()) {
            Metrics::count(&context.metrics.finished, phase.as_str());
            if status.catch.is_some() {
                let outcome = if status.diagnosis.is_some() { "Diagnosed" } else { "GaveUp" };
                Metrics::count(&context.metrics.debugged, outcome);
            }
        }
    }
    released(context, observed, plan);
    events(context, run, plan);
}

/// Counts waves, and how long other Jobs took from the result they follow from; a wave waits for more results on purpose.
fn released(context: &Context, observed: &Observed, plan: &Plan) {
    let Some(status) = &plan.status else { return };
    for act in &plan.after {
        let After::Release { uid, .. } = act else { continue };
        if observed.jobs.iter().any(|job| job.uid == *uid && job.wave.is_some()) {
            context.metrics.waves.inc();
        } else if let Some(arrived) = observed.results.first().filter(|_| status.catch.is_none()) {
            let took = Timestamp::now().duration_since(arrived.arrived_at).as_secs_f64();
            context.metrics.advance.observe(took.max(0.0));
        }
    }
}

/// Published beside the hot path, in order.
fn events(context: &Context, run: &BatchRun, plan: &Plan) {
    if plan.events.is_empty() {
        return;
    }
    let (recorder, object, events) = (context.recorder.clone(), run.object_ref(&()), plan.events.clone());
    tokio::spawn(async move {
        for event in events {
            let sentence = Sentence {
                warning: event.reason.is_warning(),
                reason: event.reason.as_str(),
                stage: Some(&event.action),
                attempt: None,
                note: &event.note,
            };
            publish(&recorder, &object, &sentence).await;
        }
    });
}
