//! An operator as it is in the world: a cache that may be old, one call at a time, and a crash possible before each.

use super::{MILLI, SECOND, Sim};
use crate::common::{
    cluster::{Cluster, Created},
    track as fixture,
};
use std::{collections::VecDeque, hash::Hash, sync::Arc};
use trackway_crds::{BatchRunStatus, status::StagePhase};
use trackway_plan::{After, JobIntent, JobView, Observed, Refusal, RevisionView, check, plan};

const INVARIANTS: [&str; 8] = ["inv00", "inv01", "inv02", "inv03", "inv04", "inv05", "inv06", "inv07"];

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
                Created::Made(_) | Created::Exists => {
                    self.count("create");
                    self.operators[who].jobs_floor = self.cluster.jobs.len() - 1;
                    self.touch();
                }
                Created::Refused(message) => {
                    self.count("refused");
                    self.operators[who].refusal = Some(Refusal { job: intent.name, message });
                }
            },
            Call::Write(resource_version, status) => {
                let before = self.cluster.run().status.clone();
                if self.cluster.write_status(resource_version, &status).is_ok() {
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
            Call::After(After::Release { name, uid }) => {
                if self.cluster.release(&name, &uid) {
                    self.released(&uid);
                }
            }
            Call::After(After::Delete { name, uid }) => {
                if self.cluster.delete(&name, &uid) {
                    self.count("delete");
                    self.job_gone(&uid);
                    self.touch();
                }
            }
        }
    }

    fn look(&mut self, who: usize) {
        let version = self.seen(self.operators[who].run_floor, self.cluster.versions.len() - 1);
        self.operators[who].run_floor = version;
        let version = self.cluster.versions[version].clone();
        let observed = self.observe(who, &version.status);
        let run = Cluster::plan_run(&version);
        let planned = plan(&run, &version.status, &observed, self.moment());
        for fault in check(&run, &version.status, &observed, &planned) {
            self.broken(INVARIANTS[usize::from(fault.invariant)], format!("check: {}", fault.message));
        }
        (self.now, &planned.why).hash(&mut self.trace);
        let calls = &mut self.operators[who].calls;
        calls.extend(planned.create.map(|intent| Call::Create(Box::new(intent))));
        calls.extend(planned.status.map(|status| Call::Write(version.resource_version, Box::new(status))));
        calls.extend(planned.after.into_iter().map(Call::After));
        if calls.is_empty() {
            let pause = planned.requeue.map(|pause| i64::try_from(pause.as_micros()).unwrap());
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
        let mut jobs = self.cluster.jobs[jobs].clone();
        let open = open_try(status);
        if let Some((.., uid)) = &open
            && !jobs.iter().any(|job| job.uid == *uid)
            && !(self.faults && self.rng.chance(5))
        {
            // A cache that is behind must not look like a Job that is gone, so that one is read.
            jobs.extend(self.cluster.job(uid).cloned().into_iter().collect::<Vec<JobView>>());
        }
        let all = self.faults && self.rng.chance(10);
        let of_open = |result: &trackway_crds::contracts::StageResult| {
            open.as_ref().is_some_and(|(stage, attempt, try_, _)| {
                (result.stage.as_str(), result.attempt, result.try_) == (stage.as_str(), *attempt, *try_)
            })
        };
        let results = self.stream.iter().filter(|arrived| !self.stream_away && (all || of_open(&arrived.result)));
        Observed {
            revision: self.revision_view(status),
            jobs,
            results: results.cloned().collect(),
            results_known: !self.stream_away,
            refusal: self.operators[who].refusal.take(),
        }
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

/// The try whose Job is recorded and whose outcome is not.
pub fn open_try(status: &BatchRunStatus) -> Option<(String, u32, u32, String)> {
    let stage = status.stages.iter().find(|stage| stage.phase == StagePhase::Running)?;
    let attempt = stage.attempts.last().filter(|attempt| attempt.verdict.is_none())?;
    Some((stage.name.clone(), attempt.attempt, attempt.try_, attempt.job_uid.clone()?))
}
