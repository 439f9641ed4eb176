//! Jobs and their pods, where there is no cluster: each pod is a task of this process.

use anyhow::{Context, anyhow};
use bytes::Bytes;
use jiff::Timestamp;
use std::{collections::BTreeMap, fs, rc::Rc, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::{AbortHandle, JoinError, JoinSet},
    time::{Instant, timeout},
};
use trackway_crds::{
    contracts::{Assignment, ResolvedWork, Revision, StageResult},
    names::DEBUGGER,
};
use trackway_plan::{ArrivedResult, Finished, JobIntent, JobView, PodView};
use trackway_store::PayloadStore;
use trackway_worker::{Answers, AttemptJob, Models, Outside, Retriever, Webhooks, attempt_deadline, container, run_pod};

/// Time of a pod whose stage the revision does not know.
const WITHOUT_STAGE_MILLIS: u64 = 60_000;

/// What every pod is given, and what it works with.
pub(super) struct Means {
    pub(super) revision: Arc<Revision>,
    pub(super) files: BTreeMap<String, String>,
    pub(super) store: PayloadStore,
    pub(super) models: Models,
    /// What the tenant has answered.
    pub(super) answers: Answers,
    /// What the program of a container stage would write, by stage.
    pub(super) containers: BTreeMap<String, Bytes>,
}

/// Jobs, pods and what they said. Pods are tasks of the LocalSet that is entered.
pub(super) struct Pods {
    means: Rc<Means>,
    pub(super) jobs: Vec<JobView>,
    pub(super) results: Vec<ArrivedResult>,
    assignments: BTreeMap<String, Assignment>,
    tasks: JoinSet<String>,
    stop: BTreeMap<String, Vec<AbortHandle>>,
    tell: UnboundedSender<StageResult>,
    told: UnboundedReceiver<StageResult>,
}

impl Pods {
    pub(super) fn new(means: Means) -> Self {
        let (tell, told) = unbounded_channel();
        Self {
            means: Rc::new(means),
            jobs: Vec::new(),
            results: Vec::new(),
            assignments: BTreeMap::new(),
            tasks: JoinSet::new(),
            stop: BTreeMap::new(),
            tell,
            told,
        }
    }

    /// A Job, suspended.
    pub(super) fn create(&mut self, intent: JobIntent) {
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

    /// The Job's pods start at once.
    pub(super) fn release(&mut self, uid: &str) -> anyhow::Result<()> {
        let job = self.jobs.iter_mut().find(|job| job.uid == uid);
        let job = job.ok_or_else(|| anyhow!("Job {uid} is released, but was never made"))?;
        if !std::mem::replace(&mut job.suspended, false) {
            return Ok(());
        }
        let assignment = self.assignments.get(uid).ok_or_else(|| anyhow!("Job {uid} has no assignment"))?;
        let pods = assignment.wave.as_ref().map_or(1, trackway_crds::contracts::WaveAssignment::pods);
        for index in 0..u32::try_from(pods).unwrap_or(u32::MAX) {
            let pod_uid = format!("pod-{index}-of-{uid}");
            job.pods.push(PodView { uid: pod_uid.clone(), started: true, index, ..PodView::default() });
            let pod = self.means.pod(assignment.clone(), pod_uid, index);
            let stop = self.tasks.spawn_local(work(self.means.clone(), pod, self.tell.clone()));
            self.stop.entry(uid.to_owned()).or_default().push(stop);
        }
        Ok(())
    }

    /// The Job goes, and its pods with it.
    pub(super) fn delete(&mut self, uid: &str) {
        self.jobs.iter_mut().filter(|job| job.uid == uid).for_each(|job| job.deleting = true);
        self.stop.remove(uid).into_iter().flatten().for_each(|pod| pod.abort());
    }

    /// Waits until a pod says something or ends, at most for `limit`.
    pub(super) async fn wait(&mut self, limit: Duration) -> anyhow::Result<()> {
        let Self { told, tasks, .. } = self;
        let news = async {
            tokio::select! {
                biased;
                result = told.recv() => (result, None),
                ended = tasks.join_next(), if !tasks.is_empty() => (None, ended),
            }
        };
        // Silence is no error.
        let (result, ended) = timeout(limit, news).await.unwrap_or_default();
        self.results.extend(result.map(arrived));
        if let Some(ended) = ended {
            self.ended(ended)?;
        }
        Ok(())
    }

    /// Takes what has come in meanwhile.
    pub(super) fn hear(&mut self) -> anyhow::Result<()> {
        while let Some(ended) = self.tasks.try_join_next() {
            self.ended(ended)?;
        }
        self.listen();
        Ok(())
    }

    fn listen(&mut self) {
        while let Ok(result) = self.told.try_recv() {
            self.results.push(arrived(result));
        }
    }

    /// A pod has ended; what it said came before.
    fn ended(&mut self, ended: Result<String, JoinError>) -> anyhow::Result<()> {
        self.listen();
        let uid = match ended {
            Ok(uid) => uid,
            Err(error) if error.is_cancelled() => return Ok(()),
            Err(error) => return Err(error).context("a worker broke off, please report it"),
        };
        let well = Finished { ok: true, ..Finished::default() };
        for job in self.jobs.iter_mut().filter(|job| job.pods.iter().any(|pod| pod.uid == uid)) {
            job.pods.iter_mut().filter(|pod| pod.uid == uid).for_each(|pod| pod.finished = Some(well.clone()));
            if job.pods.iter().all(|pod| pod.finished.is_some()) {
                job.ended = Some(well.clone());
            }
        }
        Ok(())
    }
}

fn arrived(result: StageResult) -> ArrivedResult {
    ArrivedResult { result, arrived_at: Timestamp::now() }
}

impl Means {
    fn pod(&self, assignment: Assignment, pod_uid: String, pod_index: u32) -> AttemptJob {
        let timeout = match &self.revision.debugger {
            Some(debugger) if assignment.stage == DEBUGGER => debugger.timeout_millis,
            _ => self.revision.stage(&assignment.stage).map_or(WITHOUT_STAGE_MILLIS, |stage| stage.timeout_millis),
        };
        AttemptJob {
            assignment,
            revision: (*self.revision).clone(),
            files: self.files.clone(),
            pod_uid,
            pod_index,
            deadline: attempt_deadline(Instant::now(), timeout),
        }
    }

    fn is_container(&self, stage: &str) -> bool {
        self.revision.stage(stage).is_some_and(|stage| matches!(stage.work, ResolvedWork::Container { .. }))
    }
}

/// One pod, from its first instruction to its end.
async fn work(means: Rc<Means>, pod: AttemptJob, tell: UnboundedSender<StageResult>) -> String {
    // Sending fails only when the simulation is over.
    let tell = |result: StageResult| drop(tell.send(result));
    let outside =
        Outside { models: &means.models, webhooks: &Webhooks::DryRun, retriever: &Retriever::offline(), answers: &means.answers };
    let output = means.containers.get(&pod.assignment.stage).filter(|_| means.is_container(&pod.assignment.stage));
    match (output, TempDir::new()) {
        (Some(output), Ok(folder)) => {
            let now = Timestamp::now;
            match container::fetch(&pod, &means.store, &outside, now, folder.path()).await {
                Some(result) => tell(result),
                None => {
                    // One that is not written is reported as missing.
                    let _ = fs::write(folder.path().join("output.json"), output);
                    tell(container::report(&pod, &means.store, &outside, now, folder.path()).await);
                }
            }
        }
        _ => run_pod(&pod, &means.store, &outside, Timestamp::now, &tell).await,
    }
    pod.pod_uid
}
