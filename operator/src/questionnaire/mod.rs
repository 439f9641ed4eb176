//! Questionnaires: made and joined for runs that ask, shown as they are answered, and forgotten a month after. What is answered is
//! never read here: only that it is.

mod ask;
mod record;

pub(crate) use ask::{AskError, ask};
pub(crate) use record::{Record, key, view};

use futures::{Stream, channel::mpsc::UnboundedSender, stream};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Preconditions},
    runtime::{
        controller::Action,
        reflector::{ObjectRef, Store},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;
use trackway_crds::{BatchRun, Questionnaire, QuestionnaireStatus, conditions, questionnaire::QuestionnairePhase};
use trackway_kubernetes::{ApiError, replace_status_fenced, within};
use trackway_nats::{Kv, Nats, NatsError};

use crate::metrics::Metrics;

/// An open one is looked at again after so long: who waits for it comes from a cache.
const OPEN_NET: Duration = Duration::from_secs(60);
/// One that nothing more is expected of.
const OVER_NET: Duration = Duration::from_secs(3600);
const RETRY: Duration = Duration::from_secs(5);
/// Somebody else wrote: the newer object is on its way.
const RETRY_CONFLICT: Duration = Duration::from_millis(100);
/// From its answer or expiry until it is deleted, when no run waits for it.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Everything a reconcile of questionnaires of one namespace needs.
pub(crate) struct Context {
    pub(crate) namespace: String,
    pub(crate) api: Api<Questionnaire>,
    pub(crate) nats: Nats,
    pub(crate) runs: Store<BatchRun>,
    /// Whether `runs` holds all of them.
    pub(crate) runs_full: watch::Receiver<bool>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Why a reconcile ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Nats(#[from] NatsError),
    #[error("{0}")]
    Record(String),
}

/// Shows how far the answers of one questionnaire have come.
pub(crate) async fn reconcile(questionnaire: Arc<Questionnaire>, context: Arc<Context>) -> Result<Action, Error> {
    if questionnaire.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let name = questionnaire.name_any();
    let kv = Kv::questionnaires(&context.nats);
    let record = match kv.get(&key(&context.namespace, &name)).await? {
        Some(entry) => Record::read(&entry.value).map_err(Error::Record)?,
        // The bucket was lost: runs still wait, so it is asked again.
        None => ask::restore(&kv, &context.namespace, &name, &questionnaire.spec).await?,
    };
    let now = Timestamp::now();
    let waiting = waiting(&context.runs, &name).count();
    let status = status_of(&questionnaire, &record, waiting, now);
    if waiting == 0 && *context.runs_full.borrow() && is_old(&record, now) {
        delete(&context, &questionnaire).await?;
        return Ok(Action::await_change());
    }
    let over = status.phase != Some(QuestionnairePhase::Open);
    if questionnaire.status.as_ref() != Some(&status) {
        let mut next = (*questionnaire).clone();
        next.metadata.managed_fields = None;
        next.status = Some(status);
        replace_status_fenced(&context.api, &name, &next).await?;
    }
    let left = record.expires_at.duration_since(now).unsigned_abs();
    Ok(Action::requeue(if over { OVER_NET } else { OPEN_NET.min(left.max(Duration::from_millis(100))) }))
}

/// What to do after a reconcile that ended early.
pub(crate) fn error_policy(questionnaire: Arc<Questionnaire>, error: &Error, context: Arc<Context>) -> Action {
    if matches!(error, Error::Api(ApiError::Conflict { .. })) {
        tracing::debug!(questionnaire = questionnaire.name_any(), %error, "lost a race, looks again");
        return Action::requeue(RETRY_CONFLICT);
    }
    tracing::warn!(questionnaire = questionnaire.name_any(), %error, "questionnaire not looked at, tries again");
    Metrics::count(&context.metrics.errors, "questionnaire");
    Action::requeue(RETRY)
}

fn status_of(questionnaire: &Questionnaire, record: &Record, waiting: usize, now: Timestamp) -> QuestionnaireStatus {
    let phase = match record.answered_at {
        Some(_) => QuestionnairePhase::Answered,
        None if now >= record.expires_at => QuestionnairePhase::Expired,
        None => QuestionnairePhase::Open,
    };
    let (answered, of) = (record.answered(), questionnaire.spec.questions.len());
    let mut conditions = questionnaire.status.as_ref().map(|status| status.conditions.clone()).unwrap_or_default();
    let message = format!("{answered} of {of} questions are answered");
    let generation = questionnaire.metadata.generation;
    let holds = phase == QuestionnairePhase::Answered;
    conditions::set(&mut conditions, "Answered", holds.into(), phase.as_str(), &message, generation, now);
    QuestionnaireStatus {
        phase: Some(phase),
        answered: Some(format!("{answered}/{of}")),
        answered_at: record.answered_at.map(MicroTime),
        waiting: u32::try_from(waiting).unwrap_or(u32::MAX),
        conditions,
    }
}

fn is_old(record: &Record, now: Timestamp) -> bool {
    let over = record.answered_at.unwrap_or(record.expires_at);
    now.duration_since(over) > KEPT
}

async fn delete(context: &Context, questionnaire: &Questionnaire) -> Result<(), ApiError> {
    let name = questionnaire.name_any();
    let preconditions = Some(Preconditions { uid: questionnaire.uid(), resource_version: questionnaire.resource_version() });
    let parameters = DeleteParams { preconditions, ..DeleteParams::default() };
    within(&format!("delete Questionnaire {name}"), context.api.delete(&name, &parameters)).await?;
    tracing::info!(questionnaire = name, "deleted a questionnaire that is over for a month");
    Ok(())
}

/// The questionnaires that `run` waits or has waited for.
pub(crate) fn asked_by(run: &BatchRun) -> impl Iterator<Item = &str> {
    let stages = run.status.iter().flat_map(|status| &status.stages);
    stages.filter_map(|stage| Some(stage.questionnaire.as_ref()?.name.as_str()))
}

/// The runs that wait for `name`.
fn waiting<'a>(runs: &Store<BatchRun>, name: &'a str) -> impl Iterator<Item = Arc<BatchRun>> + 'a {
    let waits = move |run: &Arc<BatchRun>| {
        let stages = run.status.iter().flat_map(|status| &status.stages);
        stages.filter_map(|stage| stage.waits_for()).any(|asked| asked.name == name)
    };
    runs.state().into_iter().filter(waits)
}

/// The questionnaires of `namespace` that were made, answered or moved. Runs that wait for one are told through `wake`.
pub(crate) fn changes(
    nats: &Nats,
    namespace: &str,
    runs: Store<BatchRun>,
    wake: UnboundedSender<ObjectRef<BatchRun>>,
) -> impl Stream<Item = ObjectRef<Questionnaire>> + Send + 'static {
    let namespace = namespace.to_owned();
    let watch = Kv::questionnaires(nats).watch(&format!("{namespace}.>"));
    stream::unfold(Some(watch), move |watch| {
        let (namespace, runs, wake) = (namespace.clone(), runs.clone(), wake.clone());
        async move {
            let watch = watch?;
            let next = async {
                let mut watch = watch?;
                let (key, _) = watch.next().await?;
                Ok::<_, NatsError>((key, watch))
            };
            match next.await {
                Ok((key, watch)) => {
                    let name = key.split_once('.').map_or(key.as_str(), |(_, name)| name);
                    for run in waiting(&runs, name) {
                        // Nobody listens any more only when the process ends.
                        let _ = wake.unbounded_send(ObjectRef::from_obj(&*run));
                    }
                    Some((ObjectRef::new(name).within(&namespace), Some(Ok(watch))))
                }
                Err(error) => {
                    tracing::error!(%error, "answers no longer wake the operator; it looks again every few minutes");
                    None
                }
            }
        }
    })
}
