//! The Job controller, and workers that store before they judge, adopt what is stored, report once, and sometimes die on the way.

use super::{Event, MILLI, SECOND, Sim};
use crate::common::track as fixture;
use std::collections::BTreeMap;
use trackway_crds::contracts::{
    Assignment, CONTRACT, ErrorClass, ResolvedWork, ResultError, ResultMillis, ResultPhase, StageResult, Tokens,
};
use trackway_plan::{ArrivedResult, Finished, JobView, PodView, Waiting};

/// Longer than anybody works and than an operator is away.
const JOB_DEADLINE: i64 = 300 * SECOND;

/// A pod of a Job.
pub struct Worker {
    pub told: Assignment,
    pub pod: String,
    pub alive: bool,
    started: i64,
    generated: i64,
    result: Option<StageResult>,
}

impl Sim {
    /// A Job was unsuspended: its controller makes a pod.
    pub fn released(&mut self, uid: &str) {
        let soon = self.now + self.rng.between(10 * MILLI, 400 * MILLI);
        self.at(soon, Event::MakePod(uid.into()));
        self.touch();
    }

    /// A Job was deleted. Its pod dies, or, on a node that nobody reaches, goes on.
    pub fn job_gone(&mut self, uid: &str) {
        let survives = self.faults && self.rng.chance(20);
        if let Some(worker) = self.workers.get_mut(uid).filter(|_| !survives) {
            worker.alive = false;
        }
    }

    pub fn work(&mut self, event: Event) {
        match event {
            Event::MakePod(uid) => self.make_pod(&uid),
            Event::Waits(uid, reason) => {
                self.pod(&uid, |pod| pod.waiting = Some(Waiting { reason, message: "nothing to be done".into() }));
            }
            Event::Start(uid) => self.start(&uid),
            Event::Generated(uid) => self.generated(&uid),
            Event::Judged(uid) => self.judged(&uid),
            Event::Publish(uid, times) => self.publish(&uid, times),
            Event::Ended(uid) => self.ended(&uid),
            Event::Completed(uid) => self.job_ends(&uid, true, "Complete"),
            Event::TimedOut(uid) => self.timed_out(&uid),
            Event::Vanish(uid) => self.vanish(&uid),
            Event::Chaos | Event::FaultsEnd | Event::Aftermath => {}
        }
    }

    fn change(&mut self, uid: &str, change: impl FnOnce(&mut JobView)) {
        if let Some(name) = self.cluster.job(uid).map(|job| job.name.clone()) {
            self.cluster.change_job(&name, uid, change);
            self.touch();
        }
    }

    fn pod(&mut self, uid: &str, change: impl FnOnce(&mut PodView)) {
        self.change(uid, |job| {
            if let Some(pod) = job.pods.first_mut() {
                change(pod);
            }
        });
    }

    fn make_pod(&mut self, uid: &str) {
        let Some(job) = self.cluster.job(uid) else { return };
        if job.suspended || job.ended.is_some() || !job.pods.is_empty() {
            return;
        }
        self.pod_is_made(uid);
        // A Job that somebody else made runs nothing of ours; that it was released is already known to be wrong.
        let Some(told) = self.cluster.assignments.get(uid).cloned() else { return };
        let pod = uid.replace("job-", "pod-");
        self.change(uid, |job| job.pods.push(PodView { uid: pod.clone(), ..PodView::default() }));
        let worker = Worker { told, pod, alive: true, started: 0, generated: 0, result: None };
        self.workers.insert(uid.into(), worker);
        let deadline = self.now + JOB_DEADLINE;
        self.at(deadline, Event::TimedOut(uid.into()));
        let fate = if self.faults { self.rng.between(0, 99) } else { 99 };
        match fate {
            0..4 => self.within(0, 1, Event::Waits(uid.into(), "ImagePullBackOff".into())),
            4..6 => {
                self.within(0, 1, Event::Waits(uid.into(), "CreateContainerConfigError".into()));
                self.within(1, 15, Event::Start(uid.into()));
            }
            _ => self.within(0, 2, Event::Start(uid.into())),
        }
    }

    fn start(&mut self, uid: &str) {
        let now = self.now;
        let Some(worker) = self.workers.get_mut(uid).filter(|worker| worker.alive) else { return };
        worker.started = now;
        self.pod(uid, |pod| (pod.started, pod.waiting) = (true, None));
        if !(self.faults && self.rng.chance(10)) {
            self.within(0, 8, Event::Generated(uid.into()));
        }
    }

    /// The output is stored under a name that is written once; who comes second takes what is there.
    fn generated(&mut self, uid: &str) {
        let Some(worker) = self.workers.get(uid).filter(|worker| worker.alive) else { return };
        let (told, key) = (worker.told.clone(), (worker.told.stage.clone(), worker.told.attempt));
        if !self.outputs.contains_key(&key) {
            if self.goes_wrong(12) {
                return self.report_error(uid);
            }
            let text = format!("output of {} {} by try {} of {uid}", told.stage, told.attempt, told.try_);
            self.outputs.insert(key, fixture::reference(&text));
        }
        if let Some(worker) = self.workers.get_mut(uid) {
            worker.generated = self.now;
        }
        self.within(0, 3, Event::Judged(uid.into()));
    }

    fn judged(&mut self, uid: &str) {
        let Some(worker) = self.workers.get(uid).filter(|worker| worker.alive) else { return };
        let (told, key) = (worker.told.clone(), (worker.told.stage.clone(), worker.told.attempt));
        let judge = self.revisions[0].stage(&told.stage).and_then(|stage| stage.judge.clone());
        if self.goes_wrong(8) {
            return self.report_error(uid);
        }
        if let Some(judge) = &judge
            && !self.verdicts.contains_key(&key)
        {
            let scores = judge.dimensions.iter().map(|d| (d.name.clone(), self.score())).collect();
            self.verdicts.insert(key.clone(), scores);
        }
        let mut result = self.blank(uid, if judge.is_some() { ResultPhase::Judged } else { ResultPhase::Done });
        result.dimensions = self.verdicts.get(&key).cloned().unwrap_or_default();
        result.output = self.outputs.get(&key).cloned();
        result.input = Some(fixture::reference("input"));
        result.record = Some(fixture::reference("record"));
        result.feedback = Some("says \"more\" <than> it & knows".repeat(20));
        let validates = self.revisions[0].stage(&told.stage).map(|stage| &stage.work);
        if matches!(validates, Some(ResolvedWork::ValidateContext { .. })) {
            result.gaps = Some(u32::from(self.rng.chance(20)));
        }
        self.report(uid, result);
    }

    fn score(&mut self) -> u16 {
        match self.rng.between(0, 9) {
            0 => 700,
            1 => 699,
            2 => 0,
            3 => 1000,
            _ => u16::try_from(self.rng.between(550, 1000)).unwrap(),
        }
    }

    fn goes_wrong(&mut self, percent: u32) -> bool {
        // Where little else goes wrong, models and judges do.
        let percent = if self.seed % 4 == 3 { percent * 3 } else { percent };
        self.rng.chance(if self.faults { percent } else { percent / 4 })
    }

    fn report_error(&mut self, uid: &str) {
        let classes = [ErrorClass::Model, ErrorClass::Model, ErrorClass::Judge, ErrorClass::Infrastructure];
        let class = if self.rng.chance(2) { ErrorClass::Permanent } else { classes[self.rng.index(0, 3)] };
        let retry_after_millis = self.rng.chance(20).then_some(90_000);
        let mut result = self.blank(uid, ResultPhase::Error);
        result.error = Some(ResultError {
            class,
            reason: "SomethingWentWrong".into(),
            message: "<it> went & wrong\n".repeat(40),
            retry_after_millis,
        });
        self.report(uid, result);
    }

    fn blank(&self, uid: &str, phase: ResultPhase) -> StageResult {
        let worker = &self.workers[uid];
        let told = &worker.told;
        let millis = |from: i64, to: i64| u64::try_from((to - from).max(0) / MILLI).unwrap();
        let generated = if worker.generated == 0 { self.now } else { worker.generated };
        StageResult {
            contract: CONTRACT,
            run: told.run.uid.clone(),
            stage: told.stage.clone(),
            index: 0,
            attempt: told.attempt,
            try_: told.try_,
            pod: worker.pod.clone(),
            phase,
            score: None,
            dimensions: BTreeMap::new(),
            feedback: None,
            input: None,
            output: None,
            record: None,
            gaps: None,
            key: None,
            lists: BTreeMap::new(),
            diagnosis: None,
            tokens: Tokens { input: 100, output: 10, judge_input: 5, judge_output: 1 },
            millis: ResultMillis { generate: millis(worker.started, generated), judge: millis(generated, self.now) },
            error: None,
        }
    }

    /// To the stream, late, twice, or never; then the pod ends, usually with the same as its last words.
    fn report(&mut self, uid: &str, result: StageResult) {
        self.said.push(result.clone());
        if let Some(worker) = self.workers.get_mut(uid) {
            worker.result = Some(result);
        }
        let fate = if self.faults { self.rng.between(0, 99) } else { 99 };
        match fate {
            0..6 => {}
            6..12 => self.within(1, 120, Event::Publish(uid.into(), 1)),
            12..20 => self.publish(uid, 2),
            20..24 => return self.within(0, 2, Event::Vanish(uid.into())),
            _ => self.publish(uid, 1),
        }
        self.within(0, 3, Event::Ended(uid.into()));
    }

    fn publish(&mut self, uid: &str, times: u32) {
        let Some(result) = self.workers.get(uid).and_then(|worker| worker.result.clone()) else { return };
        let subject = |result: &StageResult| (result.stage.clone(), result.attempt, result.try_);
        if self.stream_away || self.stream.iter().any(|arrived| subject(&arrived.result) == subject(&result)) {
            return;
        }
        let arrived = ArrivedResult { result, arrived_at: self.moment() };
        (0..times).for_each(|_| self.stream.push(arrived.clone()));
        self.touch();
    }

    fn ended(&mut self, uid: &str) {
        let Some(worker) = self.workers.get(uid).filter(|worker| worker.alive) else { return };
        let wordless = self.faults && self.rng.chance(15);
        let result = worker.result.clone().filter(|_| !wordless);
        self.pod(uid, |pod| {
            pod.finished = Some(Finished { ok: true, reason: "Completed".into(), message: String::new() });
            pod.results = result.into_iter().collect();
        });
        self.within(1, 3, Event::Completed(uid.into()));
    }

    fn timed_out(&mut self, uid: &str) {
        if self.cluster.job(uid).is_some_and(|job| job.ended.is_none()) {
            self.job_ends(uid, false, "DeadlineExceeded");
            self.job_gone(uid);
        }
    }

    /// A pod dies without a word.
    fn vanish(&mut self, uid: &str) {
        self.job_gone(uid);
        let evicted = Finished { ok: false, reason: "Evicted".into(), message: "the node was low on memory".into() };
        if self.rng.chance(50) {
            self.pod(uid, |pod| pod.finished = Some(evicted));
            self.within(1, 2, Event::TimedOut(uid.into()));
        } else {
            self.job_ends(uid, false, "PodLost");
        }
    }

    /// A run that ended two minutes ago has nobody at work who has not reported.
    pub fn nothing_works_on(&mut self) {
        let silent = |uid: &String| self.workers.get(uid).is_none_or(|worker| worker.result.is_none());
        let runs =
            self.cluster.jobs_now().iter().filter(|job| job.owned && !job.suspended && !job.deleting && job.ended.is_none());
        let runs: Vec<_> = runs.map(|job| job.uid.clone()).filter(silent).collect();
        if !runs.is_empty() {
            self.broken("inv07", format!("the run has ended and these Jobs work on: {runs:?}"));
        }
    }

    fn job_ends(&mut self, uid: &str, ok: bool, reason: &str) {
        let ended = Finished { ok, reason: reason.into(), message: String::new() };
        self.change(uid, |job| {
            job.ended.get_or_insert(ended);
        });
    }
}
