//! What a pod does, whatever its stage is.

use futures::{StreamExt as _, stream::FuturesUnordered};
use jiff::Timestamp;
use trackway_crds::{
    contracts::{ResolvedWork, StageResult, TargetAssignment},
    names::DEBUGGER,
};
use trackway_store::PayloadStore;

use crate::{
    AttemptJob, Outside,
    attempt::{Work, attempt},
    broadcast::broadcast,
    conclude::conclude,
    container::not_here,
    debugger::debug,
    job::{Env, Task, parts},
    report::Report,
};

/// Does the work of one pod and tells each result as it comes: one, or in a fan-out one for each of the pod's targets, which
/// are worked on at the same time. Never fails: what goes wrong is a result of phase `Error`. Safe to run again and beside
/// itself: what is stored already is adopted. `clock` is asked for the times in records.
pub async fn run_pod(
    job: &AttemptJob,
    store: &PayloadStore,
    outside: &Outside<'_>,
    clock: fn() -> Timestamp,
    tell: &(dyn Fn(StageResult) + Send + Sync),
) {
    let env = Env { store, outside, clock };
    if job.assignment.stage == DEBUGGER {
        return tell(debug(job, env).await);
    }
    match job.revision.stage(&job.assignment.stage).map(|stage| (stage, &stage.work)) {
        Some((_, ResolvedWork::Broadcast { .. })) => tell(broadcast(job, env).await),
        Some((stage, ResolvedWork::Container { .. })) => {
            tell(conclude(Task::of(job), env, Report::default(), Err(not_here(stage))).await);
        }
        _ => ask_models(job, env, tell).await,
    }
}

async fn ask_models(job: &AttemptJob, env: Env<'_>, tell: &(dyn Fn(StageResult) + Send + Sync)) {
    let work = Work::load(job, env).await;
    let try_one = |part: TargetAssignment| {
        let work = &work;
        async move {
            match work {
                Ok(work) => {
                    let target = usize::try_from(part.index).ok().and_then(|index| work.targets.get(index));
                    attempt(work, Task { job, part, target }, env).await
                }
                Err(failure) => conclude(Task { job, part, target: None }, env, Report::default(), Err(failure.clone())).await,
            }
        }
    };
    let mut tries: FuturesUnordered<_> = parts(&job.assignment, job.pod_index).into_iter().map(try_one).collect();
    while let Some(result) = tries.next().await {
        tell(result);
    }
}
