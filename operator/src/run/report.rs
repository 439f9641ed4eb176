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
    for why in &plan.why {
        tracing::info!(namespace = context.namespace, run = name, "{why}");
    }
    if let Some(status) = &plan.status {
        let bytes = u64::try_from(stored_bytes(status)).unwrap_or(u64::MAX);
        if bytes > context.metrics.status_bytes.get() {
            context.metrics.status_bytes.set(bytes);
        }
        if let Some(phase) = status.phase.filter(|phase| phase.is_finished()) {
            Metrics::count(&context.metrics.finished, phase.as_str());
        }
    }
    let released = plan.after.iter().any(|act| matches!(act, After::Release { .. }));
    if let Some(arrived) = observed.results.first().filter(|_| released && plan.status.is_some()) {
        let took = Timestamp::now().duration_since(arrived.arrived_at).as_secs_f64();
        context.metrics.advance.observe(took.max(0.0));
    }
    events(context, run, plan);
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
