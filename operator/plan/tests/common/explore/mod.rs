//! A small world around the real `plan` in which nothing is left to chance: whatever may happen next is an [`Action`], so that all
//! of it can be tried. Time passes only when nothing else happens, or as a fault.

pub mod case;
pub mod cases;
mod operator;
pub mod search;
pub mod straight;
mod worker;

use super::{
    cluster::Version,
    conduct::Conduct,
    oracle::{self, Faults, History, Key, Truth},
    track as fixture,
};
use case::{Budget, Case};
use jiff::{SignedDuration, Timestamp};
use operator::Operator;
use std::{
    collections::{BTreeMap, hash_map::DefaultHasher},
    fmt::{self, Debug, Write},
    hash::{Hash, Hasher},
    sync::Arc,
};
use trackway_crds::{
    BatchRunStatus,
    contracts::{Assignment, Reference, StageResult},
    status::Phase,
};
use trackway_plan::{ArrivedResult, JobView};
use worker::Pod;

/// Something that may happen next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// An operator does the next call of its plan.
    Call(usize),
    /// It plans, from the newest or from what it has seen before.
    Look(usize, bool),
    /// A pod runs.
    Start(String, u32),
    /// It comes to an end with its next target, and says so unless the message is lost.
    Report(String, u32, bool),
    /// It ends, with its last words.
    End(String, u32),
    /// Time passes until somebody wants to look or a Job is too late.
    Tick,
    Crash(usize),
    LoseWatch(usize),
    /// A pod dies; `true`: after it has stored what it wrote.
    Die(String, u32, bool),
    Remove(String),
    Cancel,
    Forge(String),
    /// The tenant answers a questionnaire.
    Answer(String),
}

/// Something that is not changed in place, with a hash of what it says.
#[derive(Debug)]
pub struct Told<T> {
    pub it: T,
    hash: u64,
}

impl<T: Debug> Told<T> {
    fn new(it: T) -> Arc<Self> {
        let hash = content_hash(&it);
        Arc::new(Self { it, hash })
    }
}

/// What is true of the run whatever anybody sees.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    outputs: BTreeMap<Key, Reference>,
    verdicts: BTreeMap<Key, BTreeMap<String, u16>>,
    said: BTreeMap<(Key, u32), Vec<StageResult>>,
    /// How often each output was written: more than once is paid for twice.
    pub generations: BTreeMap<Key, u32>,
    told: BTreeMap<String, Assignment>,
    /// Jobs made of each name.
    made: BTreeMap<String, u32>,
    stream: Vec<ArrivedResult>,
    /// Questionnaires that were made, and since when they are answered.
    questionnaires: BTreeMap<String, Option<Timestamp>>,
}

#[derive(Clone)]
pub struct World {
    pub case: Arc<Case>,
    conduct: Conduct,
    /// Milliseconds since the run's creation.
    pub now: i64,
    run: Arc<Told<Version>>,
    jobs: Arc<Told<Vec<JobView>>>,
    operators: Vec<Operator>,
    pods: BTreeMap<(String, u32), Pod>,
    facts: Arc<Facts>,
    history: Arc<History>,
    left: Budget,
    pub broken: Vec<String>,
}

impl World {
    pub fn new(case: &Arc<Case>, conduct: Conduct) -> Self {
        let mut spec = fixture::spec();
        spec.suspend = case.suspended_until.is_some();
        let version = Version { resource_version: 1, generation: 1, spec, status: BatchRunStatus::default() };
        let (run, jobs) = (Told::new(version), Told::new(Vec::new()));
        let operator = Operator::new(&run, &jobs);
        Self {
            case: Arc::clone(case),
            conduct,
            now: 0,
            run,
            jobs,
            operators: vec![operator; case.operators],
            pods: BTreeMap::new(),
            facts: Arc::default(),
            history: Arc::default(),
            left: case.budget,
            broken: Vec::new(),
        }
    }

    pub fn status(&self) -> &BatchRunStatus {
        &self.run.it.status
    }

    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    pub fn is_finished(&self) -> bool {
        self.status().phase.is_some_and(Phase::is_finished)
    }

    /// Everything that may happen without anything going wrong, in the order in which a straight run does it.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for (who, operator) in self.operators.iter().enumerate() {
            if operator.is_busy() {
                actions.push(Action::Call(who));
            } else if operator.dirty {
                actions.push(Action::Look(who, true));
            }
        }
        self.offer_work(&mut actions);
        self.offer_answers(&mut actions);
        if actions.is_empty() && self.next_moment().is_some() {
            actions.push(Action::Tick);
        }
        actions
    }

    /// Everything that may go wrong now.
    pub fn faults(&self) -> Vec<Action> {
        let left = &self.left;
        let mut actions = Vec::new();
        for (who, operator) in self.operators.iter().enumerate() {
            if left.crashes > 0 && operator.has_something_to_lose() {
                actions.push(Action::Crash(who));
            }
            if left.stale > 0 && !operator.is_busy() && operator.dirty && operator.is_behind(&self.run, &self.jobs) {
                actions.push(Action::Look(who, false));
            }
            if left.lost_watches > 0 && operator.dirty && !operator.is_busy() && operator.wake.is_some_and(|wake| wake > self.now)
            {
                actions.push(Action::LoseWatch(who));
            }
        }
        self.offer_faults_of_pods(&mut actions);
        if left.early > 0 && !self.is_finished() && self.next_moment().is_some() && !self.actions().contains(&Action::Tick) {
            actions.push(Action::Tick);
        }
        if left.deletions > 0 {
            actions.extend(self.jobs.it.iter().map(|job| Action::Remove(job.uid.clone())));
        }
        if left.cancels > 0 && !self.run.it.spec.cancel && !self.is_finished() {
            actions.push(Action::Cancel);
        }
        actions
    }

    /// The world after `action`.
    pub fn after(&self, action: &Action) -> Self {
        let mut next = self.clone();
        next.act(action);
        next
    }

    pub fn act(&mut self, action: &Action) {
        match action {
            Action::Call(who) => self.call(*who),
            Action::Look(who, fresh) => {
                self.left.stale -= u8::from(!*fresh);
                self.look(*who, *fresh);
            }
            Action::Crash(who) => {
                self.left.crashes = self.left.crashes.saturating_sub(1);
                self.operators[*who].crash();
            }
            Action::LoseWatch(who) => {
                self.left.lost_watches = self.left.lost_watches.saturating_sub(1);
                self.operators[*who].dirty = false;
            }
            Action::Tick => self.tick(),
            Action::Cancel => {
                self.left.cancels = self.left.cancels.saturating_sub(1);
                self.edit(|version| version.spec.cancel = true);
            }
            Action::Remove(uid) => {
                self.left.deletions -= 1;
                self.remove_job(uid);
            }
            Action::Answer(name) => {
                let now = self.moment();
                Arc::make_mut(&mut self.facts).questionnaires.insert(name.clone(), Some(now));
                self.touch();
            }
            work => self.work(work),
        }
    }

    /// Whatever is asked is answered while somebody waits for it, if anybody answers.
    fn offer_answers(&self, actions: &mut Vec<Action>) {
        let waits = self.status().stages.last().and_then(|stage| stage.waits_for());
        let open = |name: &String| self.facts.questionnaires.get(name).is_some_and(Option::is_none);
        let open = waits.map(|asked| asked.name.clone()).filter(|name| self.case.answers && open(name));
        actions.extend(open.map(Action::Answer));
    }

    fn tick(&mut self) {
        if !self.actions().contains(&Action::Tick) {
            self.left.early -= 1;
        }
        let Some(next) = self.next_moment() else { return };
        let mut faults = Faults::new();
        oracle::inv11_overdue(self.status(), self.moment().as_millisecond(), &mut faults);
        self.break_all(faults);
        if self.is_finished() {
            self.nothing_works_on();
        }
        self.now = next;
        for operator in &mut self.operators {
            operator.dirty |= operator.wake.is_some_and(|wake| wake <= next);
        }
        self.end_late_jobs();
        if self.case.suspended_until.is_some_and(|until| until <= next) && self.run.it.spec.suspend {
            self.edit(|version| version.spec.suspend = false);
        }
    }

    /// When something happens by itself.
    fn next_moment(&self) -> Option<i64> {
        let wakes = self.operators.iter().filter(|operator| !operator.is_busy() && !operator.dirty);
        let wakes = wakes.filter_map(|operator| operator.wake);
        let resumed = self.case.suspended_until.filter(|_| self.run.it.spec.suspend && !self.is_finished());
        wakes.chain(self.job_deadlines()).chain(resumed).min().map(|at| at.max(self.now + 1))
    }

    fn edit(&mut self, change: impl FnOnce(&mut Version)) {
        let mut version = self.run.it.clone();
        change(&mut version);
        version.generation += 1;
        version.resource_version += 1;
        self.run = Told::new(version);
        self.touch();
    }

    fn change_jobs(&mut self, change: impl FnOnce(&mut Vec<JobView>)) {
        let mut jobs = self.jobs.it.clone();
        change(&mut jobs);
        self.jobs = Told::new(jobs);
        self.touch();
    }

    fn remove_job(&mut self, uid: &str) {
        self.change_jobs(|jobs| jobs.retain(|job| job.uid != uid));
        self.pods.retain(|(job, _), _| job != uid);
    }

    fn touch(&mut self) {
        self.operators.iter_mut().for_each(|operator| operator.dirty = true);
    }

    fn moment(&self) -> Timestamp {
        fixture::birth().checked_add(SignedDuration::from_millis(self.now)).unwrap()
    }

    /// Looks at what was written.
    fn written(&mut self, before: &BatchRunStatus) {
        let facts = Arc::clone(&self.facts);
        let case = Arc::clone(&self.case);
        let truth = Truth {
            revision: &case.revision,
            outputs: &facts.outputs,
            verdicts: &facts.verdicts,
            said: &facts.said,
            now: self.moment().as_millisecond(),
            hopeless: false,
            questionnaires: &facts.questionnaires,
        };
        let run = Arc::clone(&self.run);
        let mut faults = oracle::written(Arc::make_mut(&mut self.history), &truth, before, &run.it.status);
        if run.it.status.completed_at.is_some() && before.completed_at.is_none() {
            oracle::timings_add_up(&run.it.status, &mut faults);
        }
        self.break_all(faults);
    }

    fn break_all(&mut self, faults: Faults) {
        self.broken.extend(faults.into_iter().map(|(what, message)| format!("{what} at {} ms: {message}", self.now)));
    }

    /// Where nothing can happen any more the run has ended, and nothing of it is left in work.
    pub fn is_over_rightly(&mut self) {
        if !self.is_finished() {
            let told = serde_json::to_string(self.status()).unwrap();
            self.broken.push(format!("inv07 at {} ms: nothing can happen and the run has not ended: {told}", self.now));
        }
        self.nothing_works_on();
    }

    fn nothing_works_on(&mut self) {
        let at_work: Vec<_> = self.pods.iter().filter(|(_, pod)| pod.is_at_work()).map(|(pod, _)| pod.clone()).collect();
        if !at_work.is_empty() {
            self.broken.push(format!("inv07 at {} ms: the run has ended and these pods work on: {at_work:?}", self.now));
        }
    }

    /// Two worlds with the same hash have the same future.
    pub fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.now, self.run.hash, self.jobs.hash, self.left).hash(&mut hasher);
        let mut operators: Vec<u64> = self.operators.iter().map(|operator| operator.hash(&self.run)).collect();
        // Operators are alike: which of two is which changes nothing.
        operators.sort_unstable();
        operators.hash(&mut hasher);
        self.pods.hash(&mut hasher);
        self.facts.outputs.hash(&mut hasher);
        self.facts.stream.len().hash(&mut hasher);
        for arrived in &self.facts.stream {
            let result = &arrived.result;
            (&result.stage, result.attempt, result.index, result.try_, &result.pod).hash(&mut hasher);
            arrived.arrived_at.as_millisecond().hash(&mut hasher);
        }
        for (name, at) in &self.facts.questionnaires {
            (name, at.map(|at| at.as_millisecond())).hash(&mut hasher);
        }
        self.history.recorded.hash(&mut hasher);
        hasher.finish()
    }
}

pub fn content_hash(it: &impl Debug) -> u64 {
    struct Sink(DefaultHasher);
    impl fmt::Write for Sink {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut sink = Sink(DefaultHasher::new());
    write!(sink, "{it:?}").unwrap();
    sink.0.finish()
}
