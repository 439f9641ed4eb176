//! Workers that store before they judge, adopt what is stored, report each target once, and sometimes die on the way.

use super::{Event, MILLI, Sim};
use crate::common::{
    oracle::Key,
    report::{self, blank},
    track as fixture,
};
use std::{collections::BTreeMap, sync::Arc};
use trackway_crds::contracts::{Assignment, ErrorClass, ResolvedWork, ResultMillis, ResultPhase, StageResult, TargetAssignment};
use trackway_plan::{ArrivedResult, Finished};

/// A pod of a Job.
pub struct Worker {
    pub told: Arc<Assignment>,
    pub pod: String,
    pub alive: bool,
    started: i64,
    tasks: Vec<Task>,
}

/// One of its targets.
struct Task {
    what: TargetAssignment,
    generated: i64,
    result: Option<StageResult>,
}

impl Worker {
    pub fn new(told: &Arc<Assignment>, index: u32, pod: String) -> Self {
        let task = |what| Task { what, generated: 0, result: None };
        let tasks = report::tasks(told, index).into_iter().map(task).collect();
        Self { told: Arc::clone(told), pod, alive: true, started: 0, tasks }
    }

    pub fn has_said_all(&self) -> bool {
        self.tasks.iter().all(|task| task.result.is_some())
    }

    fn key(&self, n: usize) -> Key {
        let what = &self.tasks[n].what;
        (self.told.stage.clone(), what.attempt, what.index)
    }
}

impl Sim {
    pub fn work(&mut self, event: Event) {
        match event {
            Event::MakePods(uid) => self.make_pods(&uid),
            Event::Waits(uid, index, reason) => self.waits(&uid, index, reason),
            Event::Start(uid, index) => self.start(&uid, index),
            Event::Generated(uid, index, n) => self.generated(&uid, index, n),
            Event::Judged(uid, index, n) => self.judged(&uid, index, n),
            Event::Publish(uid, index, n, times) => self.publish(&uid, index, n, times),
            Event::Ended(uid, index) => self.ended(&uid, index),
            Event::Completed(uid) => self.completed(&uid),
            Event::TimedOut(uid) => self.timed_out(&uid),
            Event::Vanish(uid, index) => self.vanish(&uid, index),
            Event::Remove(uid) => self.remove(&uid),
            Event::Answer(name) => self.answer(&name),
            Event::Chaos | Event::FaultsEnd | Event::Aftermath => {}
        }
    }

    fn at_work(&mut self, uid: &str, index: u32) -> Option<&mut Worker> {
        self.workers.get_mut(&(uid.to_owned(), index)).filter(|worker| worker.alive)
    }

    fn start(&mut self, uid: &str, index: u32) {
        let now = self.now;
        let Some(worker) = self.at_work(uid, index) else { return };
        worker.started = now;
        let tasks = worker.tasks.len();
        self.pod(uid, index, |pod| (pod.started, pod.waiting) = (true, None));
        for n in 0..tasks {
            let debugger = self.workers.get(&(uid.to_owned(), index)).is_some_and(|worker| Self::of_debugger(&worker.told.stage));
            if debugger && self.rng.chance(25) {
                self.count("debugger hung");
            } else if !(self.faults && self.rng.chance(if tasks > 1 { 3 } else { 10 })) {
                self.within(0, 8, Event::Generated(uid.into(), index, n));
            }
        }
    }

    /// The output is stored under a name that is written once; who comes second takes what is there.
    fn generated(&mut self, uid: &str, index: u32, n: usize) {
        let Some(worker) = self.at_work(uid, index) else { return };
        let (key, try_, fans_out) = (worker.key(n), worker.tasks[n].what.try_, worker.told.wave.is_some());
        if fans_out && self.poison.contains(&key.2) {
            self.count("poison");
            return self.vanish(uid, index);
        }
        if !self.outputs.contains_key(&key) {
            if self.goes_wrong(12) {
                return self.report_error(uid, index, n);
            }
            let text = format!("output of {key:?} by try {try_} of {uid}");
            self.outputs.insert(key, fixture::reference(&text));
        }
        let now = self.now;
        if let Some(worker) = self.at_work(uid, index) {
            worker.tasks[n].generated = now;
        }
        self.within(0, 3, Event::Judged(uid.into(), index, n));
    }

    fn judged(&mut self, uid: &str, index: u32, n: usize) {
        let Some(worker) = self.at_work(uid, index) else { return };
        let key = worker.key(n);
        if self.goes_wrong(8) {
            return self.report_error(uid, index, n);
        }
        let revision = Arc::clone(&self.revisions[0]);
        let stage = revision.stage(&key.0);
        let judge = stage.and_then(|stage| stage.judge.as_ref());
        if let Some(judge) = judge
            && !self.verdicts.contains_key(&key)
        {
            let scores = judge.dimensions.iter().map(|d| (d.name.clone(), self.score())).collect();
            self.verdicts.insert(key.clone(), scores);
        }
        let mut result = self.say(uid, index, n, if judge.is_some() { ResultPhase::Judged } else { ResultPhase::Done });
        result.dimensions = self.verdicts.get(&key).cloned().unwrap_or_default();
        result.output = self.outputs.get(&key).cloned();
        if stage.is_some_and(|stage| stage.for_each.is_none()) {
            result.input = Some(fixture::reference("input"));
            result.record = Some(fixture::reference("record"));
            result.feedback = Some("says \"more\" <than> it & knows".repeat(20));
            result.lists = report::lists(&revision, &key.0, self.listed);
        }
        if matches!(stage.map(|stage| &stage.work), Some(ResolvedWork::ValidateContext { .. })) {
            let found = if self.rng.chance(40) { u32::try_from(self.rng.between(1, 8)).unwrap() } else { 0 };
            // They are in the output, which is written once.
            let gaps = *self.gaps.entry(key.clone()).or_insert(found);
            result.gaps = Some(gaps);
            // Now and then the same is asked again.
            let round = if self.seed.is_multiple_of(5) { 0 } else { key.1 };
            result.questions = fixture::questions(gaps, round);
        }
        if Self::of_debugger(&key.0) {
            if self.rng.chance(40) {
                // It answers prose, to the repair turn too.
                let error = report::error(ErrorClass::Model, "MalformedAnswer", "prose");
                result = StageResult { phase: ResultPhase::Error, error: Some(error), ..result };
            } else {
                result.diagnosis = Some(report::diagnosis());
            }
        }
        self.report(uid, index, n, result);
    }

    /// The tenant answers.
    fn answer(&mut self, name: &str) {
        let now = self.moment();
        self.count("answered");
        self.questionnaires.insert(name.to_owned(), Some(now));
        self.touch();
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

    fn report_error(&mut self, uid: &str, index: u32, n: usize) {
        let classes = [ErrorClass::Model, ErrorClass::Model, ErrorClass::Judge, ErrorClass::Infrastructure];
        let class = if self.rng.chance(2) { ErrorClass::Permanent } else { classes[self.rng.index(0, 3)] };
        let mut error = report::error(class, "SomethingWentWrong", &"<it> went & wrong\n".repeat(40));
        error.retry_after_millis = self.rng.chance(20).then_some(90_000);
        let mut result = self.say(uid, index, n, ResultPhase::Error);
        result.error = Some(error);
        self.report(uid, index, n, result);
    }

    fn say(&self, uid: &str, index: u32, n: usize, phase: ResultPhase) -> StageResult {
        let worker = &self.workers[&(uid.to_owned(), index)];
        let task = &worker.tasks[n];
        let millis = |from: i64, to: i64| u64::try_from((to - from).max(0) / MILLI).unwrap();
        let generated = if task.generated == 0 { self.now } else { task.generated };
        let mut result = blank(&worker.told, task.what, &worker.pod, phase);
        result.millis = ResultMillis { generate: millis(worker.started, generated), judge: millis(generated, self.now) };
        result
    }

    /// To the stream, late, twice, or never; with the last one the pod ends, usually with the same as its last words.
    fn report(&mut self, uid: &str, index: u32, n: usize, result: StageResult) {
        let key = (result.stage.clone(), result.attempt, result.index);
        self.said.entry((key, result.try_)).or_default().push(result.clone());
        let Some(worker) = self.at_work(uid, index) else { return };
        worker.tasks[n].result = Some(result);
        let over = worker.has_said_all();
        let fate = if self.faults { self.rng.between(0, 99) } else { 99 };
        match fate {
            0..6 => self.count("result lost"),
            6..12 => self.within(1, 120, Event::Publish(uid.into(), index, n, 1)),
            12..20 => self.publish(uid, index, n, 2),
            20..24 => return self.within(0, 2, Event::Vanish(uid.into(), index)),
            _ => self.publish(uid, index, n, 1),
        }
        if over {
            self.within(0, 3, Event::Ended(uid.into(), index));
        }
    }

    fn publish(&mut self, uid: &str, index: u32, n: usize, times: u32) {
        let Some(worker) = self.workers.get(&(uid.to_owned(), index)) else { return };
        let Some(result) = worker.tasks[n].result.clone() else { return };
        let subject = ((result.stage.clone(), result.attempt, result.index), result.try_);
        if self.stream_away || self.stream.contains_key(&subject) {
            return;
        }
        let arrived = ArrivedResult { result, arrived_at: self.moment() };
        self.stream.insert(subject, (0..times).map(|_| arrived.clone()).collect());
        self.touch();
    }

    fn ended(&mut self, uid: &str, index: u32) {
        let Some(worker) = self.at_work(uid, index) else { return };
        let said: Vec<_> = worker.tasks.iter().filter_map(|task| task.result.clone()).collect();
        let (told, pod) = (Arc::clone(&worker.told), worker.pod.clone());
        worker.alive = false;
        let wordless = self.faults && self.rng.chance(15);
        let results =
            if wordless { Vec::new() } else { report::last_words(&told, self.revisions[0].stage(&told.stage), &pod, &said) };
        self.pod(uid, index, |pod| {
            pod.finished = Some(Finished { ok: true, reason: "Completed".into(), message: String::new() });
            pod.results = results;
        });
        self.pod_ended(uid);
    }

    /// Somebody in a worker's namespace says that a target is done who has no pod of its Job.
    pub fn forge(&mut self) {
        let silent = |worker: &&Worker| worker.alive && !worker.has_said_all();
        let Some(worker) = self.workers.values().rfind(silent) else { return };
        let Some(task) = worker.tasks.iter().find(|task| task.result.is_none()) else { return };
        let mut result = blank(&worker.told, task.what, "a-stranger", ResultPhase::Judged);
        result.dimensions =
            ["relevance", "clarity", "safety"].map(|name| (name.to_owned(), 1000)).into_iter().collect::<BTreeMap<_, _>>();
        result.output = Some(fixture::reference("forged"));
        let subject = ((result.stage.clone(), result.attempt, result.index), result.try_);
        let arrived = ArrivedResult { result, arrived_at: self.moment() };
        self.count("forged");
        self.stream.entry(subject).or_insert_with(|| vec![arrived]);
    }
}
