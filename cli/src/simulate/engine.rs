//! The loop the operator runs, against Jobs that are tasks of this process.

use crate::submit::Batch;
use anyhow::{anyhow, ensure};
use bytes::Bytes;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use trackway_crds::{
    BatchRun, BatchRunSpec, BatchRunStatus,
    batch_run::{BatchSpec, TrackRef},
    contracts::{Assignment, Revision, StageResult},
    names::run_name,
    status::Phase,
};
use trackway_plan::{
    After, ArrivedResult, Finished, JobIntent, JobView, Observed, Plan, PodView, RevisionView, Run, check, plan,
};
use trackway_resolve::{Resolved, revision_name};
use trackway_store::PayloadStore;
use trackway_worker::{AttemptJob, Models, Outside, Webhooks, attempt_deadline, run_pod};

const NAMESPACE: &str = "simulated";

/// A run that has ended.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// The run with its last status.
    pub run: BatchRun,
    /// What it executed.
    pub revision: Revision,
}

/// Runs `resolved` on `batch` to its end. Payloads go to `store`; `tell` hears what happens, in words.
///
/// # Errors
/// When the store fails, or the planner breaks one of its own rules.
pub async fn simulate(
    resolved: &Resolved,
    batch: &Batch,
    store: &PayloadStore,
    models: Models,
    mut tell: impl FnMut(&str),
) -> anyhow::Result<Simulated> {
    let mut world = World::new(resolved, batch, store, models).await?;
    loop {
        world.hear();
        let plan = world.plan()?;
        plan.events.iter().for_each(|event| tell(&event.note));
        if let Some(intent) = plan.create {
            world.create(intent);
            continue;
        }
        if let Some(status) = plan.status {
            world.status = status;
        }
        for act in plan.after {
            world.apply(act)?;
        }
        if world.status.phase.is_some_and(Phase::is_finished) {
            return Ok(world.ended());
        }
        world.wait(plan.requeue.unwrap_or(Duration::from_secs(1))).await?;
    }
}

/// What a cluster would hold.
struct World {
    name: String,
    uid: String,
    created_at: Timestamp,
    spec: BatchRunSpec,
    status: BatchRunStatus,
    revision_name: String,
    revision: Arc<Revision>,
    files: BTreeMap<String, String>,
    jobs: Vec<JobView>,
    assignments: BTreeMap<String, Assignment>,
    results: Vec<ArrivedResult>,
    pods: JoinSet<Vec<StageResult>>,
    store: PayloadStore,
    models: Arc<Models>,
}

impl World {
    async fn new(resolved: &Resolved, batch: &Batch, store: &PayloadStore, models: Models) -> anyhow::Result<Self> {
        let now = Timestamp::now();
        let info = &batch.info;
        let input = store.put_batch(NAMESPACE, Bytes::from(batch.document.clone())).await?;
        let spec = BatchRunSpec {
            track_ref: TrackRef { name: resolved.revision.track.clone() },
            batch: BatchSpec {
                id: info.id.clone(),
                tenant: info.tenant.clone(),
                level: info.level,
                subject: info.subject.clone(),
                priority: info.priority,
                events: info.counts.events,
                ready_at: MicroTime(info.ready_at),
                input,
            },
            suspend: false,
            cancel: false,
        };
        let name = run_name(&resolved.revision.track, &info.id);
        Ok(Self {
            // A uid of its own, so that a folder may hold many simulations of one batch.
            uid: format!("{name}-{}", now.as_microsecond()),
            name,
            created_at: now,
            spec,
            status: BatchRunStatus::default(),
            revision_name: revision_name(&resolved.revision.track, resolved),
            revision: Arc::new(resolved.revision.clone()),
            files: resolved.files.clone(),
            jobs: Vec::new(),
            assignments: BTreeMap::new(),
            results: Vec::new(),
            pods: JoinSet::new(),
            store: store.clone(),
            models: Arc::new(models),
        })
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        let run = Run {
            namespace: NAMESPACE,
            name: &self.name,
            uid: &self.uid,
            generation: 1,
            created_at: self.created_at,
            spec: &self.spec,
        };
        let observed = Observed {
            revision: RevisionView::Available { name: self.revision_name.clone(), revision: self.revision.clone() },
            jobs: self.jobs.clone(),
            results: self.results.clone(),
            results_known: true,
            refusal: None,
        };
        let plan = plan(&run, &self.status, &observed, Timestamp::now());
        let faults = check(&run, &self.status, &observed, &plan);
        ensure!(faults.is_empty(), "the planner broke a rule of its own, please report it: {faults:?}");
        Ok(plan)
    }

    fn create(&mut self, intent: JobIntent) {
        let uid = format!("job-{}", self.jobs.len() + 1);
        self.jobs.push(JobView {
            name: intent.name,
            uid: uid.clone(),
            owned: true,
            revision: Some(intent.assignment.revision.clone()),
            wave: intent.assignment.wave.clone(),
            suspended: true,
            deleting: false,
            ended: None,
            pods: Vec::new(),
        });
        self.assignments.insert(uid, intent.assignment);
    }

    fn apply(&mut self, act: After) -> anyhow::Result<()> {
        match act {
            After::Release { uid, .. } => self.release(&uid),
            After::Delete { uid, .. } => {
                self.jobs.iter_mut().filter(|job| job.uid == uid).for_each(|job| job.deleting = true);
                Ok(())
            }
        }
    }

    /// The Job's pod starts at once: here it is a task.
    fn release(&mut self, uid: &str) -> anyhow::Result<()> {
        let job = self
            .jobs
            .iter_mut()
            .find(|job| job.uid == uid)
            .ok_or_else(|| anyhow!("Job {uid} is released, but was never made"))?;
        if !std::mem::replace(&mut job.suspended, false) {
            return Ok(());
        }
        let assignment = self.assignments.get(uid).cloned().ok_or_else(|| anyhow!("Job {uid} has no assignment"))?;
        let pod_uid = format!("pod-of-{uid}");
        job.pods.push(PodView { uid: pod_uid.clone(), started: true, ..PodView::default() });
        let timeout = self.revision.stage(&assignment.stage).map_or(60_000, |stage| stage.timeout_millis);
        let attempt = AttemptJob {
            assignment,
            revision: (*self.revision).clone(),
            files: self.files.clone(),
            pod_uid,
            pod_index: 0,
            deadline: attempt_deadline(Instant::now(), timeout),
        };
        let (store, models) = (self.store.clone(), self.models.clone());
        self.pods.spawn(async move {
            let told = Mutex::new(Vec::new());
            let tell = |result| told.lock().unwrap_or_else(PoisonError::into_inner).push(result);
            run_pod(&attempt, &store, &Outside { models: &models, webhooks: &Webhooks::DryRun }, Timestamp::now, &tell).await;
            told.into_inner().unwrap_or_else(PoisonError::into_inner)
        });
        Ok(())
    }

    /// Waits until a pod reports or it is time to look again.
    async fn wait(&mut self, limit: Duration) -> anyhow::Result<()> {
        if self.pods.is_empty() {
            tokio::time::sleep(limit).await;
            return Ok(());
        }
        if let Ok(Some(results)) = timeout(limit, self.pods.join_next()).await {
            let results = results.map_err(|error| anyhow!("a worker ended without a result: {error}"))?;
            results.into_iter().for_each(|result| self.report(result));
        }
        Ok(())
    }

    /// Takes what has come in meanwhile.
    fn hear(&mut self) {
        while let Some(Ok(results)) = self.pods.try_join_next() {
            results.into_iter().for_each(|result| self.report(result));
        }
    }

    fn report(&mut self, result: StageResult) {
        for pod in self.jobs.iter_mut().flat_map(|job| &mut job.pods).filter(|pod| pod.uid == result.pod) {
            pod.finished = Some(Finished { ok: true, ..Finished::default() });
        }
        self.results.push(ArrivedResult { result, arrived_at: Timestamp::now() });
    }

    fn ended(self) -> Simulated {
        let mut run = BatchRun::new(&self.name, self.spec);
        run.metadata.namespace = Some(NAMESPACE.to_owned());
        run.metadata.uid = Some(self.uid);
        run.status = Some(self.status);
        Simulated { run, revision: (*self.revision).clone() }
    }
}
