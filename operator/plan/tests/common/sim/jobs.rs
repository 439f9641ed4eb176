//! The Job controller: pods for a released Job, an end when they have ended, a deadline, and pods that are lost.

use super::{Event, MILLI, SECOND, Sim, worker::Worker};
use crate::common::report;
use std::sync::Arc;
use trackway_plan::{Finished, JobView, PodView, Waiting};

/// Longer than anybody works and than an operator is away.
const JOB_DEADLINE: i64 = 300 * SECOND;

impl Sim {
    /// A Job was unsuspended: its controller makes pods.
    pub fn released(&mut self, uid: &str) {
        let soon = self.now + self.rng.between(10 * MILLI, 400 * MILLI);
        self.at(soon, Event::MakePods(uid.into()));
        self.touch();
    }

    /// A Job was deleted. Its pods die, or, on a node that nobody reaches, go on.
    pub fn job_gone(&mut self, uid: &str) {
        let survives = self.faults && self.rng.chance(20);
        let of_job = self.workers.iter_mut().filter(|((job, _), _)| job == uid && !survives);
        of_job.for_each(|(_, worker)| worker.alive = false);
    }

    pub fn change(&mut self, uid: &str, change: impl FnOnce(&mut JobView)) {
        if let Some(name) = self.cluster.job(uid).map(|job| job.name.clone()) {
            self.cluster.change_job(&name, uid, change);
            self.touch();
        }
    }

    pub fn pod(&mut self, uid: &str, index: u32, change: impl FnOnce(&mut PodView)) {
        self.change(uid, |job| {
            if let Some(pod) = job.pods.iter_mut().find(|pod| pod.index == index) {
                change(pod);
            }
        });
    }

    pub fn make_pods(&mut self, uid: &str) {
        let Some(job) = self.cluster.job(uid) else { return };
        if job.suspended || job.ended.is_some() || !job.pods.is_empty() {
            return;
        }
        self.pods_are_made(uid);
        // A Job that somebody else made runs nothing of ours; that it was released is already known to be wrong.
        let Some(told) = self.cluster.assignments.get(uid).cloned().map(Arc::new) else { return };
        let mut views = Vec::new();
        for index in 0..report::pods(&told) {
            self.count("pod");
            let pod = format!("{}/{index}", uid.replace("job-", "pod-"));
            views.push(PodView { uid: pod.clone(), index, ..PodView::default() });
            self.workers.insert((uid.into(), index), Worker::new(&told, index, pod));
            self.begin(uid, index);
        }
        self.change(uid, |job| job.pods = views);
        let deadline = self.now + JOB_DEADLINE;
        self.at(deadline, Event::TimedOut(uid.into()));
    }

    fn begin(&mut self, uid: &str, index: u32) {
        let fate = if self.faults { self.rng.between(0, 99) } else { 99 };
        match fate {
            0..4 => self.within(0, 1, Event::Waits(uid.into(), index, "ImagePullBackOff")),
            4..6 => {
                self.within(0, 1, Event::Waits(uid.into(), index, "CreateContainerConfigError"));
                self.within(1, 15, Event::Start(uid.into(), index));
            }
            _ => self.within(0, 2, Event::Start(uid.into(), index)),
        }
    }

    pub fn waits(&mut self, uid: &str, index: u32, reason: &'static str) {
        self.hopeless |= reason == "CreateContainerConfigError";
        let waiting = Waiting { reason: reason.into(), message: "nothing to be done".into() };
        self.pod(uid, index, |pod| pod.waiting = Some(waiting));
    }

    pub fn timed_out(&mut self, uid: &str) {
        if self.cluster.job(uid).is_some_and(|job| job.ended.is_none()) {
            self.job_ends(uid, false, "DeadlineExceeded");
            self.job_gone(uid);
        }
    }

    /// A pod dies without a word; the other pods of its Job go on.
    pub fn vanish(&mut self, uid: &str, index: u32) {
        let survives = self.faults && self.rng.chance(20);
        let worker = self.workers.get_mut(&(uid.to_owned(), index));
        let Some(worker) = worker else { return };
        worker.alive &= survives;
        self.count("pod lost");
        let evicted = Finished { ok: false, reason: "Evicted".into(), message: "the node was low on memory".into() };
        let alone = self.cluster.job(uid).is_some_and(|job| job.pods.len() < 2);
        if alone && self.rng.chance(50) {
            return self.job_ends(uid, false, "PodLost");
        }
        self.pod(uid, index, |pod| {
            pod.finished.get_or_insert(evicted);
        });
        self.pod_ended(uid);
    }

    /// With its last pod, a Job ends.
    pub fn pod_ended(&mut self, uid: &str) {
        let over = self.cluster.job(uid).is_some_and(|job| job.pods.iter().all(|pod| pod.finished.is_some()));
        if over {
            self.within(1, 3, Event::Completed(uid.into()));
        }
    }

    pub fn completed(&mut self, uid: &str) {
        let ok = self
            .cluster
            .job(uid)
            .is_some_and(|job| job.pods.iter().all(|pod| pod.finished.as_ref().is_some_and(|finished| finished.ok)));
        self.job_ends(uid, ok, if ok { "Complete" } else { "FailedIndexes" });
    }

    fn job_ends(&mut self, uid: &str, ok: bool, reason: &str) {
        let ended = Finished { ok, reason: reason.into(), message: String::new() };
        self.change(uid, |job| {
            job.ended.get_or_insert(ended);
        });
    }

    /// A run that ended two minutes ago has nobody at work who has not reported.
    pub fn nothing_works_on(&mut self) {
        let jobs = self.cluster.shared_jobs().iter();
        let runs = jobs.filter(|job| job.owned && !job.suspended && !job.deleting && job.ended.is_none());
        let reported = |uid: &str, pod: &PodView| {
            let worker = self.workers.get(&(uid.to_owned(), pod.index));
            pod.finished.is_some() || worker.is_some_and(Worker::has_said_all)
        };
        let silent = runs.filter(|job| job.pods.is_empty() || !job.pods.iter().all(|pod| reported(&job.uid, pod)));
        let silent: Vec<_> = silent.map(|job| job.uid.clone()).collect();
        if !silent.is_empty() {
            self.broken("inv07", format!("the run has ended and these Jobs work on: {silent:?}"));
        }
    }
}
