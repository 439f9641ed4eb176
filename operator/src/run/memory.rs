//! What the operator knows before its caches do: the objects its own writes returned, pods it has seen, results it has heard. All
//! of it can be lost without harm; with it a reconcile right after a write does not plan from the past.

use super::{
    heard::Heard,
    open::{Open, OpenTry},
    view,
};
use jiff::Timestamp;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::{Resource, ResourceExt};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use trackway_crds::BatchRun;
use trackway_plan::{ArrivedResult, Finished, PodView};

/// By run uid.
#[derive(Default)]
pub(crate) struct Memory(Mutex<HashMap<String, RunMemory>>);

#[derive(Default)]
struct RunMemory {
    run: Option<Arc<BatchRun>>,
    jobs: BTreeMap<String, Arc<Job>>,
    pods: HashMap<String, BTreeMap<String, SeenPod>>,
    heard: Heard,
}

/// A pod as last seen.
struct SeenPod {
    version: Option<String>,
    view: PodView,
}

impl Memory {
    /// The newer of `cached` and what the last write of the run returned.
    pub(crate) fn newest_run(&self, uid: &str, cached: Arc<BatchRun>) -> Arc<BatchRun> {
        let written = self.lock().get(uid).and_then(|memory| memory.run.clone());
        written.filter(|written| version(&**written) > version(&*cached)).unwrap_or(cached)
    }

    /// Keeps what a write of the run, or a fresh read, returned.
    pub(crate) fn remember_run(&self, uid: &str, run: BatchRun) {
        self.lock().entry(uid.to_owned()).or_default().run = Some(Arc::new(run));
    }

    /// Keeps what a write of a Job, or a fresh read, returned.
    pub(crate) fn remember_job(&self, run_uid: &str, job: Job) {
        self.lock().entry(run_uid.to_owned()).or_default().jobs.insert(job.name_any(), Arc::new(job));
    }

    /// Forgets a Job that is gone.
    pub(crate) fn forget_job(&self, run_uid: &str, name: &str) {
        if let Some(memory) = self.lock().get_mut(run_uid) {
            memory.jobs.remove(name);
        }
    }

    /// The newest view of each Job of the run: the cache's, or what a write returned.
    pub(crate) fn newest_jobs(&self, run_uid: &str, cached: Vec<Arc<Job>>) -> Vec<Arc<Job>> {
        let mut jobs: BTreeMap<String, Arc<Job>> = cached.into_iter().map(|job| (job.name_any(), job)).collect();
        if let Some(memory) = self.lock().get_mut(run_uid) {
            // What the cache has caught up with is the cache's to forget, or a Job deleted by hand would live on here.
            memory.jobs.retain(|name, written| jobs.get(name).is_none_or(|cached| version(&**written) > version(&**cached)));
            jobs.extend(memory.jobs.iter().map(|(name, written)| (name.clone(), Arc::clone(written))));
        }
        jobs.into_values().collect()
    }

    /// The pods of a Job: those in the cache, and those that were seen and are gone. `dimensions`: see [`view::pod`].
    pub(crate) fn pods(&self, run_uid: &str, job_uid: &str, cached: &[Arc<Pod>], dimensions: &[String]) -> Vec<PodView> {
        let mut memory = self.lock();
        let known = memory.entry(run_uid.to_owned()).or_default().pods.entry(job_uid.to_owned()).or_default();
        for gone in known.values_mut().map(|seen| &mut seen.view).filter(|pod| pod.finished.is_none()) {
            if !cached.iter().any(|pod| pod.uid().as_deref() == Some(gone.uid.as_str())) {
                gone.finished = Some(Finished { ok: false, reason: "Gone".into(), message: "the pod was deleted".into() });
            }
        }
        for pod in cached {
            let (uid, version) = (pod.uid().unwrap_or_default(), pod.resource_version());
            if known.get(&uid).is_none_or(|seen| seen.version != version || version.is_none()) {
                known.insert(uid, SeenPod { version, view: view::pod(pod, dimensions) });
            }
        }
        known.values().map(|seen| seen.view.clone()).collect()
    }

    /// Forgets the pods of Jobs other than `jobs`: a fan-out has many in its time.
    pub(crate) fn keep_pods_of(&self, run_uid: &str, jobs: &HashSet<&str>) {
        if let Some(memory) = self.lock().get_mut(run_uid) {
            memory.pods.retain(|job, _| jobs.contains(job.as_str()));
        }
    }

    /// Keeps the message of a subject of the run; the first one counts. Returns whether it can count as a result.
    pub(crate) fn hear(&self, run_uid: &str, subject: &str, payload: &[u8], at: Timestamp) -> bool {
        self.lock().entry(run_uid.to_owned()).or_default().heard.hear(subject, payload, at)
    }

    /// The open tries whose results were not heard yet. What is not open any more is forgotten.
    pub(crate) fn unheard<'a>(&self, run_uid: &str, open: &'a Open, now: Timestamp) -> Vec<&'a OpenTry> {
        let mut memory = self.lock();
        let heard = &mut memory.entry(run_uid.to_owned()).or_default().heard;
        heard.keep_open(open, now);
        open.tries.iter().filter(|open| !heard.knows(&open.subject)).collect()
    }

    /// See [`Heard::results`].
    pub(crate) fn results(&self, run_uid: &str, open: &Open, seen: &HashSet<&str>, now: Timestamp) -> Vec<ArrivedResult> {
        self.lock().get(run_uid).map(|memory| memory.heard.results(open, seen, now)).unwrap_or_default()
    }

    /// See [`Heard::is_due`].
    pub(crate) fn is_due(&self, run_uid: &str, now: Timestamp) -> bool {
        self.lock().get(run_uid).is_none_or(|memory| memory.heard.is_due(now))
    }

    /// See [`Heard::asked`].
    pub(crate) fn asked(&self, run_uid: &str, now: Timestamp) {
        self.lock().entry(run_uid.to_owned()).or_default().heard.asked(now);
    }

    /// Results of any run may have come unheard.
    pub(crate) fn ask_again(&self) {
        self.lock().values_mut().for_each(|memory| memory.heard.ask_again());
    }

    /// See [`Heard::first_ignored`].
    pub(crate) fn first_ignored(&self, run_uid: &str, subject: &str) -> bool {
        self.lock().get_mut(run_uid).is_none_or(|memory| memory.heard.first_ignored(subject))
    }

    /// Drops everything about runs that do not exist any more.
    pub(crate) fn keep_runs(&self, uids: &HashSet<String>) {
        self.lock().retain(|uid, _| uids.contains(uid));
    }

    /// Drops everything about a run.
    pub(crate) fn forget(&self, run_uid: &str) {
        self.lock().remove(run_uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, RunMemory>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Versions of one resource are comparable as numbers.
fn version(object: &impl Resource) -> u64 {
    object.meta().resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(version: &str) -> Job {
        serde_json::from_value(json!({"metadata": {"name": "j", "uid": "u", "resourceVersion": version}})).unwrap()
    }

    #[test]
    fn inv01_a_write_is_seen_before_the_cache_has_it_and_forgotten_with_the_cache() {
        let memory = Memory::default();
        memory.remember_job("run", job("7"));
        assert_eq!(memory.newest_jobs("run", Vec::new()).len(), 1, "the cache is behind");
        let newest = memory.newest_jobs("run", vec![Arc::new(job("5"))]);
        assert_eq!(version(&*newest[0]), 7, "the cache is older");
        assert_eq!(version(&*memory.newest_jobs("run", vec![Arc::new(job("8"))])[0]), 8);
        assert!(memory.newest_jobs("run", Vec::new()).is_empty(), "deleted by hand");
    }
}
