//! A world around the real `plan` in which everything goes wrong that can: two operators with stale caches, crashes between any two
//! calls, Jobs deleted by hand, pods lost, results late, twice, never. Faults stop at some moment; then every run must end.

mod chaos;
mod jobs;
mod ledger;
mod operator;
mod rng;
mod track;
mod worker;

use super::{
    cluster::Cluster,
    conduct::Conduct,
    oracle::{History, Key},
    track as fixture,
};
use jiff::{SignedDuration, Timestamp};
use operator::Operator;
use rng::Rng;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::Arc,
};
use trackway_crds::{
    BatchRunStatus,
    contracts::{Reference, Revision, StageResult},
    status::Phase,
};
use trackway_plan::ArrivedResult;
use worker::Worker;

pub const MILLI: i64 = 1_000;
pub const SECOND: i64 = 1_000_000;
const OPERATORS: usize = 2;
/// A run must end this long after the last fault: longer than its active deadline and all its pauses.
const PATIENCE: i64 = 3 * 3600 * SECOND;
/// What is watched after a run's end: late results, stale operators.
const AFTERMATH: i64 = 900 * SECOND;
const MOST_STEPS: u32 = 200_000;

/// What a world came to.
pub struct Told {
    pub seed: u64,
    /// Everything that was broken, beginning with what it is: `inv01`, `summary`, `timings`.
    pub broken: Vec<String>,
    /// Hash of everything that happened.
    pub trace: u64,
    pub status: BatchRunStatus,
    pub counts: BTreeMap<&'static str, u32>,
}

/// Something that happens at a moment: to a Job (by uid), to the pod of one of its indexes, to one of that pod's targets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Event {
    MakePods(String),
    Start(String, u32),
    Waits(String, u32, &'static str),
    Generated(String, u32, usize),
    Judged(String, u32, usize),
    Publish(String, u32, usize, u32),
    Ended(String, u32),
    Completed(String),
    TimedOut(String),
    Vanish(String, u32),
    Remove(String),
    /// Somebody answers a questionnaire.
    Answer(String),
    Aftermath,
    Chaos,
    FaultsEnd,
}

pub struct Sim {
    seed: u64,
    conduct: Conduct,
    rng: Rng,
    /// Microseconds since the run's creation.
    now: i64,
    faults: bool,
    faults_end: i64,
    agenda: BinaryHeap<Reverse<(i64, u64, Event)>>,
    order: u64,
    cluster: Cluster,
    revisions: [Arc<Revision>; 2],
    /// Entries of the lists that stages write.
    listed: u32,
    /// Targets that kill their pod.
    poison: BTreeSet<u32>,
    /// Which revision the Track offers; `None`: it is not ready.
    offered: Option<usize>,
    revision_lost: bool,
    hopeless: bool,
    stream_away: bool,
    /// By subject: stage, attempt, target and try.
    stream: BTreeMap<(Key, u32), Vec<ArrivedResult>>,
    /// Questionnaires that were made, and since when they are answered.
    questionnaires: BTreeMap<String, Option<Timestamp>>,
    workers: BTreeMap<(String, u32), Worker>,
    /// Write-once names: the output and verdict of (stage, attempt, target).
    outputs: BTreeMap<Key, Reference>,
    verdicts: BTreeMap<Key, BTreeMap<String, u16>>,
    /// Things that are missing, by the attempt that found them.
    gaps: BTreeMap<Key, u32>,
    /// What workers said.
    said: BTreeMap<(Key, u32), Vec<StageResult>>,
    operators: Vec<Operator>,
    history: History,
    broken: Vec<String>,
    trace: DefaultHasher,
    finished_at: Option<i64>,
    counts: BTreeMap<&'static str, u32>,
}

/// Lives one world to its end.
pub fn live(seed: u64) -> Told {
    live_with(seed, Conduct::REAL)
}

/// The same with operators that make a mistake.
pub fn live_with(seed: u64, conduct: Conduct) -> Told {
    let mut sim = Sim::new(seed, conduct);
    for _ in 0..MOST_STEPS {
        if !sim.step() || sim.broken.len() > 20 {
            return sim.tell();
        }
    }
    sim.broken("inv07", format!("still busy after {MOST_STEPS} steps, at {} s", sim.now / SECOND));
    sim.tell()
}

impl Sim {
    fn new(seed: u64, conduct: Conduct) -> Self {
        let mut rng = Rng::new(seed);
        let first = Arc::new(track::random(&mut rng));
        let second = Arc::new(Revision { audience: "Org admin, later".into(), ..(*first).clone() });
        let faults_end = rng.between(5, 1_800) * SECOND;
        let listed = track::listed(&mut rng);
        let poison = if rng.chance(30) { (0..listed).filter(|_| rng.chance(8)).collect() } else { BTreeSet::new() };
        let mut spec = fixture::spec();
        spec.suspend = rng.chance(5);
        let mut sim = Self {
            seed,
            conduct,
            now: 0,
            faults: true,
            faults_end,
            agenda: BinaryHeap::new(),
            order: 0,
            cluster: Cluster::new(spec),
            revisions: [first, second],
            listed,
            poison,
            offered: if rng.chance(85) { Some(0) } else { None },
            revision_lost: false,
            hopeless: false,
            stream_away: false,
            stream: BTreeMap::new(),
            questionnaires: BTreeMap::new(),
            workers: BTreeMap::new(),
            outputs: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            gaps: BTreeMap::new(),
            said: BTreeMap::new(),
            operators: (0..OPERATORS).map(|_| Operator::default()).collect(),
            history: History::default(),
            broken: Vec::new(),
            trace: DefaultHasher::new(),
            finished_at: None,
            counts: BTreeMap::new(),
            rng,
        };
        sim.at(faults_end, Event::FaultsEnd);
        sim.within(0, 30, Event::Chaos);
        sim
    }

    /// Whatever comes next; `false` when the world is over.
    fn step(&mut self) -> bool {
        let who = (0..OPERATORS).min_by_key(|who| self.operators[*who].next).unwrap_or(0);
        let looks = self.operators[who].next;
        let happens = self.agenda.peek().map_or(i64::MAX, |Reverse((at, ..))| *at);
        let next = looks.min(happens);
        let end = self.finished_at.map_or(self.faults_end + PATIENCE, |at| at.max(self.faults_end) + AFTERMATH);
        if next >= end {
            return false;
        }
        self.now = self.now.max(next);
        if looks <= happens {
            self.operate(who);
        } else if let Some(Reverse((_, _, event))) = self.agenda.pop() {
            (self.now, &event).hash(&mut self.trace);
            self.happen(event);
        }
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Chaos => self.go_wrong(),
            Event::FaultsEnd => self.go_right(),
            Event::Aftermath => self.nothing_works_on(),
            event => self.work(event),
        }
    }

    fn at(&mut self, at: i64, event: Event) {
        self.order += 1;
        self.agenda.push(Reverse((at, self.order, event)));
    }

    /// Some time between `low` and `high` seconds from now.
    fn within(&mut self, low: i64, high: i64, event: Event) {
        let at = self.now + self.rng.between(low * SECOND, high * SECOND);
        self.at(at, event);
    }

    /// Operators get to know of a change within milliseconds, or, while things go wrong, not at all.
    fn touch(&mut self) {
        for who in 0..OPERATORS {
            if !(self.faults && self.rng.chance(5)) {
                let soon = self.now + self.rng.between(MILLI / 2, 30 * MILLI);
                let operator = &mut self.operators[who];
                operator.next = operator.next.min(soon.max(operator.not_before));
            }
        }
    }

    fn moment(&self) -> Timestamp {
        fixture::birth().checked_add(SignedDuration::from_micros(self.now)).unwrap()
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn broken(&mut self, what: &'static str, message: String) {
        self.broken.push(format!("{what} at {} ms: {message}", self.now / MILLI));
    }

    fn tell(mut self) -> Told {
        let status = self.cluster.run().status.clone();
        if !status.phase.is_some_and(Phase::is_finished) {
            let told = serde_json::to_string(&status).unwrap();
            self.broken("inv07", format!("not finished long after the last fault: {told}"));
        }
        let runs = self.cluster.shared_jobs().iter().filter(|job| job.owned && !job.suspended && job.ended.is_none());
        let runs: Vec<_> = runs.map(|job| job.uid.clone()).collect();
        if !runs.is_empty() {
            self.broken("inv07", format!("the run has ended and these Jobs have not: {runs:?}"));
        }
        serde_json::to_string(&status).unwrap().hash(&mut self.trace);
        Told { seed: self.seed, broken: self.broken, trace: self.trace.finish(), status, counts: self.counts }
    }
}
