//! An operator: a cache that may be behind, the calls of its plan one by one, and a memory that a crash ends.

use super::{Told, World, content_hash};
use crate::common::{
    cluster::{Cluster, Version},
    oracle, track as fixture,
};
use std::{
    collections::{VecDeque, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::Arc,
};
use trackway_crds::{BatchRunStatus, names::DEBUGGER, status::StagePhase};
use trackway_plan::{After, JobIntent, JobView, Observed, QuestionnaireView, Refusal, RevisionView, check};

#[derive(Clone)]
pub struct Operator {
    /// What its watches brought.
    run: Arc<Told<Version>>,
    jobs: Arc<Told<Vec<JobView>>>,
    /// What its own calls returned since.
    own_run: Option<Arc<Told<Version>>>,
    own_jobs: Option<Arc<Told<Vec<JobView>>>>,
    calls: VecDeque<(u64, Call)>,
    refusal: Option<Refusal>,
    /// There is something it has not looked at.
    pub dirty: bool,
    /// When it looks again by itself.
    pub wake: Option<i64>,
}

#[derive(Clone, Debug)]
enum Call {
    Create(Arc<JobIntent>),
    Ask(String),
    Write(u64, Arc<BatchRunStatus>),
    After(After),
}

impl Operator {
    pub fn new(run: &Arc<Told<Version>>, jobs: &Arc<Told<Vec<JobView>>>) -> Self {
        Self {
            run: Arc::clone(run),
            jobs: Arc::clone(jobs),
            own_run: None,
            own_jobs: None,
            calls: VecDeque::new(),
            refusal: None,
            dirty: true,
            wake: None,
        }
    }

    pub fn is_busy(&self) -> bool {
        !self.calls.is_empty()
    }

    pub fn has_something_to_lose(&self) -> bool {
        self.is_busy() || self.own_run.is_some() || self.own_jobs.is_some()
    }

    pub fn is_behind(&self, run: &Arc<Told<Version>>, jobs: &Arc<Told<Vec<JobView>>>) -> bool {
        !Arc::ptr_eq(self.seen_run(), run) || !Arc::ptr_eq(self.seen_jobs(), jobs)
    }

    pub fn next_is_write(&self) -> bool {
        matches!(self.calls.front(), Some((_, Call::Write(..))))
    }

    pub fn crash(&mut self) {
        *self = Self::new(&self.run, &self.jobs);
    }

    fn seen_run(&self) -> &Arc<Told<Version>> {
        self.own_run.as_ref().unwrap_or(&self.run)
    }

    fn seen_jobs(&self) -> &Arc<Told<Vec<JobView>>> {
        self.own_jobs.as_ref().unwrap_or(&self.jobs)
    }

    pub fn hash(&self, now: &Told<Version>) -> u64 {
        let mut hasher = DefaultHasher::new();
        let fenced = |version: &Told<Version>| version.it.resource_version == now.it.resource_version;
        (self.run.hash, fenced(&self.run), self.jobs.hash, self.dirty, self.wake).hash(&mut hasher);
        (self.own_run.as_ref().map(|run| (run.hash, fenced(run))), self.own_jobs.as_ref().map(|jobs| jobs.hash))
            .hash(&mut hasher);
        for (hash, call) in &self.calls {
            let fenced = matches!(call, Call::Write(version, _) if *version == now.it.resource_version);
            (hash, fenced).hash(&mut hasher);
        }
        self.refusal.as_ref().map(|refusal| &refusal.name).hash(&mut hasher);
        hasher.finish()
    }
}

impl World {
    pub fn look(&mut self, who: usize, fresh: bool) {
        let (run, jobs) = (Arc::clone(&self.run), Arc::clone(&self.jobs));
        let operator = &mut self.operators[who];
        if fresh {
            (operator.run, operator.jobs, operator.own_run, operator.own_jobs) = (run, jobs, None, None);
            operator.dirty = false;
        }
        let refusal = operator.refusal.take();
        let (version, jobs) = (Arc::clone(operator.seen_run()), Arc::clone(operator.seen_jobs()));
        let observed = self.observe(&version.it.status, &jobs.it, refusal);
        let run = Cluster::plan_run(&version.it);
        let planned = (self.conduct.plan)(&run, &version.it.status, &observed, self.moment());
        for fault in check(&run, &version.it.status, &observed, &planned) {
            self.broken.push(format!("inv{:02} at {} ms: check: {}", fault.invariant, self.now, fault.message));
        }
        let write = planned.status.map(|status| Call::Write(version.it.resource_version, Arc::new(status)));
        let acts: Vec<_> = planned.after.into_iter().map(Call::After).collect();
        let mut calls: Vec<_> = planned.create.map(|intent| Call::Create(Arc::new(intent))).into_iter().collect();
        calls.extend(planned.ask.filter(|_| !self.conduct.waits_before_asking).map(|asking| Call::Ask(asking.name)));
        if self.conduct.acts_before_writing {
            calls.extend(acts);
            calls.extend(write);
        } else {
            calls.extend(write);
            calls.extend(acts);
        }
        let pause = planned.requeue.filter(|_| !self.conduct.forgets_to_look);
        let operator = &mut self.operators[who];
        operator.wake = pause.map(|pause| self.now + i64::try_from(pause.as_millis()).unwrap());
        if !fresh {
            // What it has not seen is still on its way.
            operator.wake = operator.wake.map(|wake| wake.min(self.now));
        }
        operator.calls = calls.into_iter().map(|call| (content_hash(&call), call)).collect();
    }

    fn observe(&self, status: &BatchRunStatus, seen: &[JobView], refusal: Option<Refusal>) -> Observed {
        let mut jobs = seen.to_vec();
        // A cache that is behind must not look like a Job that is gone, so those that are waited for are read.
        for (_, uid) in oracle::recorded(status) {
            if !jobs.iter().any(|job| job.uid == uid) {
                jobs.extend(self.jobs.it.iter().find(|job| job.uid == uid).cloned());
            }
        }
        let open = status.stages.iter().find(|stage| stage.phase == StagePhase::Running).map(|stage| stage.name.as_str());
        let open = open.unwrap_or(DEBUGGER);
        let results = self.facts.stream.iter().filter(|arrived| arrived.result.stage == open).cloned().collect();
        let revision = RevisionView::Available { name: fixture::REVISION.into(), revision: Arc::clone(&self.case.revision) };
        let questionnaire = self.questionnaire(status);
        Observed { revision, jobs, results, results_known: true, questionnaire, refusal }
    }

    fn questionnaire(&self, status: &BatchRunStatus) -> QuestionnaireView {
        let Some(asked) = status.stages.last().and_then(|stage| stage.waits_for()) else { return QuestionnaireView::Unknown };
        if self.conduct.never_asks_again {
            return QuestionnaireView::Unknown;
        }
        let answered = self.facts.questionnaires.get(&asked.name).copied().flatten();
        answered.map_or(QuestionnaireView::Open, QuestionnaireView::Answered)
    }

    /// The next call; with a conflict, the rest of the plan is forgotten.
    pub fn call(&mut self, who: usize) {
        let Some((_, call)) = self.operators[who].calls.pop_front() else { return };
        match call {
            Call::Create(intent) => self.create(who, &intent),
            Call::Ask(name) => {
                Arc::make_mut(&mut self.facts).questionnaires.entry(name).or_default();
            }
            Call::Write(version, status) => self.write(who, version, &status),
            Call::After(After::Release { name, uid }) => self.release(&name, &uid),
            Call::After(After::Delete { name, uid }) => {
                if self.jobs.it.iter().any(|job| job.name == name && (job.uid == uid || self.conduct.by_name)) {
                    self.remove_job(&uid);
                }
            }
        }
    }

    /// An API server that does not answer: the rest of the plan is forgotten, and the operator looks again.
    pub fn fail_call(&mut self, who: usize) {
        let now = self.now;
        let operator = &mut self.operators[who];
        operator.calls.clear();
        (operator.dirty, operator.wake) = (true, Some(now));
    }

    fn create(&mut self, who: usize, intent: &JobIntent) {
        if self.now < self.case.refused_until {
            self.operators[who].refusal = Some(Refusal { name: intent.name.clone(), message: "exceeded quota: pods=10".into() });
            self.operators[who].dirty = true;
            return;
        }
        if !self.jobs.it.iter().any(|job| job.name == intent.name) {
            let facts = Arc::make_mut(&mut self.facts);
            let made = facts.made.entry(intent.name.clone()).or_default();
            *made += 1;
            let uid = format!("{}.{made}", intent.name);
            facts.told.insert(uid.clone(), intent.assignment.clone());
            let job = JobView {
                name: intent.name.clone(),
                uid,
                owned: true,
                revision: Some(intent.assignment.revision.clone()),
                wave: intent.assignment.wave.clone(),
                suspended: true,
                deleting: false,
                ended: None,
                pods: Vec::new(),
            };
            let (name, uid) = (job.name.clone(), job.uid.clone());
            self.change_jobs(|jobs| jobs.push(job));
            if self.conduct.releases_at_once {
                self.release(&name, &uid);
            }
            let made: u32 = self.facts.made.values().sum();
            if self.case.cancel_after == Some(made) {
                self.edit(|version| version.spec.cancel = true);
            }
        }
        self.operators[who].own_jobs = Some(Arc::clone(&self.jobs));
        self.operators[who].dirty = true;
    }

    fn write(&mut self, who: usize, version: u64, status: &BatchRunStatus) {
        if self.run.it.resource_version != version && !self.conduct.unfenced {
            // The answer to a conflict brings the newest.
            self.operators[who].own_run = Some(Arc::clone(&self.run));
            return self.fail_call(who);
        }
        let before = Arc::clone(&self.run);
        let mut next = before.it.clone();
        // What is stored is what JSON keeps of it.
        next.status = serde_json::from_str(&serde_json::to_string(status).unwrap()).unwrap();
        next.resource_version += 1;
        self.run = Told::new(next);
        self.touch();
        self.operators[who].own_run = Some(Arc::clone(&self.run));
        self.written(&before.it.status);
    }

    fn release(&mut self, name: &str, uid: &str) {
        let found = self.jobs.it.iter().find(|job| job.name == name && (job.uid == uid || self.conduct.by_name));
        let Some(uid) = found.filter(|job| job.suspended).map(|job| job.uid.clone()) else { return };
        self.change_jobs(|jobs| jobs.iter_mut().filter(|job| job.uid == uid).for_each(|job| job.suspended = false));
        self.released(&uid);
    }
}
