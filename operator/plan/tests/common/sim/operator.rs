//! An operator as it is in the world: a cache that may be old, one call at a time, and a crash possible before each.

use super::{Event, MILLI, SECOND, Sim};
use crate::common::{
    cluster::{Cluster, Created},
    oracle::Key,
    track as fixture,
};
use std::{collections::VecDeque, hash::Hash, sync::Arc};
use trackway_crds::{
    BatchRunStatus,
    ledger::{Ledger, TargetState},
    names::DEBUGGER,
    status::StagePhase,
};
use trackway_plan::{
    After, ArrivedResult, Asking, JobIntent, JobView, Observed, QuestionnaireView, Refusal, RevisionView, check,
};

const INVARIANTS: [&str; 12] =
    ["inv00", "inv01", "inv02", "inv03", "inv04", "inv05", "inv06", "inv07", "inv08", "inv09", "inv10", "inv11"];

#[derive(Default)]
pub struct Operator {
    /// When it does its next call or looks again.
    pub next: i64,
    /// Until then it is down or stuck.
    pub not_before: i64,
    /// The oldest version of the run and of the Jobs it may still see.
    run_floor: usize,
    jobs_floor: usize,
    calls: VecDeque<Call>,
    refusal: Option<Refusal>,
}

enum Call {
    Create(Box<JobIntent>),
    Ask(Box<Asking>),
    Write(u64, Box<BatchRunStatus>),
    After(After),
}

impl Sim {
    /// One call, or one look.
    pub fn operate(&mut self, who: usize) {
        let now = self.now;
        if self.faults && self.rng.chance(3) {
            // Restarts behind an API server that may lag.
            self.count("crash");
            let back = now + self.rng.between(100 * MILLI, 20 * SECOND);
            self.operators[who] = Operator { next: back, not_before: back, ..Operator::default() };
            return;
        }
        if self.faults && self.rng.chance(2) {
            let back = now + self.rng.between(SECOND, 90 * SECOND);
            (self.operators[who].next, self.operators[who].not_before) = (back, back);
            return;
        }
        let soon = now + self.rng.between(MILLI / 2, 10 * MILLI);
        self.operators[who].next = soon;
        match self.operators[who].calls.pop_front() {
            Some(call) => self.call(who, call),
            None => self.look(who),
        }
    }

    fn call(&mut self, who: usize, call: Call) {
        match call {
            Call::Create(intent) => match self.cluster.create(&intent) {
                created @ (Created::Made(_) | Created::Exists) => {
                    self.count("create");
                    self.operators[who].jobs_floor = self.cluster.jobs.len() - 1;
                    self.touch();
                    if let Created::Made(uid) = created
                        && self.conduct.releases_at_once
                    {
                        self.release(&intent.name, &uid);
                    }
                }
                Created::Refused(message) => {
                    self.count("refused");
                    self.operators[who].refusal = Some(Refusal { name: intent.name, message });
                }
            },
            Call::Write(resource_version, status) => self.write(who, resource_version, &status),
            Call::Ask(asking) => self.ask(&asking),
            Call::After(After::Release { name, uid }) => self.release(&name, &uid),
            Call::After(After::Delete { name, uid }) => {
                if self.cluster.delete(&name, &uid) {
                    self.count("delete");
                    self.job_gone(&uid);
                    self.touch();
                }
            }
        }
    }

    fn write(&mut self, who: usize, resource_version: u64, status: &BatchRunStatus) {
        let newest = self.cluster.run().resource_version;
        let resource_version = if self.conduct.unfenced { newest } else { resource_version };
        let before = self.cluster.run().status.clone();
        if self.cluster.write_status(resource_version, status).is_ok() {
            self.count("write");
            self.operators[who].run_floor = self.cluster.versions.len() - 1;
            self.written(&before);
            self.touch();
        } else {
            self.count("conflict");
            self.operators[who].calls.clear();
            if self.rng.chance(70) {
                self.operators[who].run_floor = self.cluster.versions.len() - 1;
            }
        }
    }

    fn release(&mut self, name: &str, uid: &str) {
        let named = |job: &&Arc<JobView>| job.name == name && (job.uid == uid || self.conduct.by_name);
        let Some(uid) = self.cluster.shared_jobs().iter().find(named).map(|job| job.uid.clone()) else { return };
        self.cluster.release(name, &uid);
        self.released(&uid);
    }

    fn look(&mut self, who: usize) {
        let version = self.seen(self.operators[who].run_floor, self.cluster.versions.len() - 1);
        self.operators[who].run_floor = version;
        let version = self.cluster.versions[version].clone();
        let observed = self.observe(who, &version.status);
        let run = Cluster::plan_run(&version);
        let planned = (self.conduct.plan)(&run, &version.status, &observed, self.moment());
        for fault in check(&run, &version.status, &observed, &planned) {
            self.broken(INVARIANTS[usize::from(fault.invariant.min(13))], format!("check: {}", fault.message));
        }
        (self.now, &planned.why).hash(&mut self.trace);
        let calls = &mut self.operators[who].calls;
        calls.extend(planned.create.map(|intent| Call::Create(Box::new(intent))));
        calls.extend(planned.ask.filter(|_| !self.conduct.waits_before_asking).map(|asking| Call::Ask(Box::new(asking))));
        let write = planned.status.map(|status| Call::Write(version.resource_version, Box::new(status)));
        let acts: Vec<_> = planned.after.into_iter().map(Call::After).collect();
        if self.conduct.acts_before_writing {
            calls.extend(acts);
            calls.extend(write);
        } else {
            calls.extend(write);
            calls.extend(acts);
        }
        if calls.is_empty() {
            let pause = planned.requeue.filter(|_| !self.conduct.forgets_to_look);
            let pause = pause.map(|pause| i64::try_from(pause.as_micros()).unwrap());
            self.operators[who].next = pause.map_or(i64::MAX, |pause| self.now + pause);
        }
    }

    /// Index of what is seen: the newest, or while things go wrong anything that is not older than what was seen before.
    fn seen(&mut self, floor: usize, newest: usize) -> usize {
        if self.faults && self.rng.chance(40) { self.rng.index(floor, newest) } else { newest }
    }

    fn observe(&mut self, who: usize, status: &BatchRunStatus) -> Observed {
        let jobs = self.seen(self.operators[who].jobs_floor, self.cluster.jobs.len() - 1);
        self.operators[who].jobs_floor = jobs;
        let mut jobs: Vec<JobView> = self.cluster.jobs[jobs].iter().map(|job| (**job).clone()).collect();
        for uid in waited_for(status) {
            // A cache that is behind must not look like a Job that is gone, so that one is read.
            let missed = jobs.iter().all(|job| job.uid != uid);
            if missed && !(self.faults && self.rng.chance(5)) {
                jobs.extend(self.cluster.job(uid).cloned());
            }
        }
        let results = self.results(status);
        Observed {
            revision: self.revision_view(status),
            jobs,
            results,
            results_known: !self.stream_away,
            questionnaire: self.questionnaire(status),
            refusal: self.operators[who].refusal.take(),
        }
    }

    /// Where the questionnaire stands that `status` waits for; what is read of it may be old.
    fn questionnaire(&mut self, status: &BatchRunStatus) -> QuestionnaireView {
        let Some(asked) = status.stages.last().and_then(|stage| stage.waits_for()) else { return QuestionnaireView::Unknown };
        if self.stream_away || self.conduct.never_asks_again {
            return QuestionnaireView::Unknown;
        }
        match self.questionnaires.get(&asked.name).and_then(|at| *at) {
            Some(at) => QuestionnaireView::Answered(at),
            None => QuestionnaireView::Open,
        }
    }

    /// Makes a questionnaire, or joins the one there is.
    fn ask(&mut self, asking: &Asking) {
        self.count("asked");
        if self.questionnaires.contains_key(&asking.name) {
            return;
        }
        self.questionnaires.insert(asking.name.clone(), None);
        // An operator that was stuck may ask when it is over.
        let until = (asking.expires_at.as_microsecond() - self.moment().as_microsecond()).max(0);
        match self.rng.between(0, 9) {
            0..3 => {}
            3..9 => {
                let at = self.now + self.rng.between(0, until * 9 / 10);
                self.at(at, Event::Answer(asking.name.clone()));
            }
            // Too late for this run, unless nobody has looked yet.
            _ => self.at(self.now + until + SECOND, Event::Answer(asking.name.clone())),
        }
    }

    /// What the stream has of everything that is open, or, now and then, of everything.
    fn results(&mut self, status: &BatchRunStatus) -> Vec<ArrivedResult> {
        if self.stream_away {
            return Vec::new();
        }
        if self.faults && self.rng.chance(10) {
            return self.stream.values().flatten().cloned().collect();
        }
        open_tries(status).iter().filter_map(|subject| self.stream.get(subject)).flatten().cloned().collect()
    }

    fn revision_view(&self, status: &BatchRunStatus) -> RevisionView {
        let named =
            |index: usize| RevisionView::Available { name: revision_name(index), revision: Arc::clone(&self.revisions[index]) };
        match (&status.revision, self.offered) {
            (Some(name), _) if self.revision_lost => RevisionView::Lost { name: name.clone() },
            (Some(name), _) => named(usize::from(*name == revision_name(1))),
            (None, Some(offered)) => named(offered),
            (None, None) => RevisionView::Waiting { reason: "TrackNotReady".into(), message: "the Track is not ready".into() },
        }
    }
}

pub fn revision_name(index: usize) -> String {
    [fixture::REVISION, "admin-77aa01", "admin-0ther"][index].into()
}

/// The Jobs that may still bring something.
fn waited_for(status: &BatchRunStatus) -> Vec<&str> {
    let running = status.stages.iter().filter(|stage| stage.phase == StagePhase::Running);
    let attempts = running.clone().filter_map(|stage| stage.attempts.last()).filter(|last| last.verdict.is_none());
    let waves = running.filter_map(|stage| stage.targets.as_ref()).flat_map(|targets| &targets.waves);
    let catch = status.catch.iter().filter_map(|catch| catch.job_uid.as_deref());
    attempts.filter_map(|last| last.job_uid.as_deref()).chain(waves.map(|wave| wave.job_uid.as_str())).chain(catch).collect()
}

/// The subjects under which results may come that count.
fn open_tries(status: &BatchRunStatus) -> Vec<(Key, u32)> {
    let mut open = Vec::new();
    for stage in status.stages.iter().filter(|stage| stage.phase == StagePhase::Running) {
        let last = stage.attempts.last().filter(|last| last.verdict.is_none());
        open.extend(last.map(|last| ((stage.name.clone(), last.attempt, 0), last.try_)));
        let ledger = stage.targets.as_ref().and_then(|targets| Ledger::decode(&targets.ledger).ok()).unwrap_or_default();
        for (index, target) in (0..).zip(ledger.0).filter(|(_, target)| target.state == TargetState::Running) {
            open.push(((stage.name.clone(), target.attempt, index), target.try_()));
        }
    }
    open.extend(status.catch.iter().map(|catch| ((DEBUGGER.to_owned(), 1, 0), catch.try_)));
    open
}
