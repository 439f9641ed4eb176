//! Tells a story: reads its lines, changes the world, lets the operator plan and apply as it really does, and writes down what it did.

use super::{
    cluster::{Cluster, Created},
    track, transcript,
};
use jiff::{SignedDuration, Timestamp};
use std::{collections::BTreeMap, fmt::Write, sync::Arc};
use trackway_crds::contracts::Revision;
use trackway_plan::{
    After, ArrivedResult, IgnoredResult, Observed, Plan, QuestionnaireView, Refusal, RevisionView, check, inv11_diagnosing_ends,
    plan,
};

/// More plans than this in a row without time passing means that the operator spins.
const SPIN: usize = 12;

pub struct Story {
    pub cluster: Option<Cluster>,
    pub revision: Revision,
    pub view: View,
    pub suspended_from_birth: bool,
    pub stream_away: bool,
    pub operator_away: bool,
    /// The operator goes away once it has created the next Job.
    pub dies_at_create: bool,
    pub results: Vec<ArrivedResult>,
    /// Questionnaires that are answered, and since when.
    pub answered: BTreeMap<String, Timestamp>,
    /// Whether they are cannot be asked.
    pub questionnaires_away: bool,
    /// While set, no questionnaire is taken.
    pub refuse_questions: Option<String>,
    pub now: Timestamp,
    pub told: String,
    wake: Option<Timestamp>,
    last_why: Vec<String>,
    told_ignored: Vec<IgnoredResult>,
}

/// What the operator finds when it looks for what the run executes.
pub enum View {
    Here,
    Waiting(String, String),
    Lost,
}

impl Story {
    pub fn new() -> Self {
        Self {
            cluster: None,
            revision: track::revision(Vec::new()),
            view: View::Here,
            suspended_from_birth: false,
            stream_away: false,
            operator_away: false,
            dies_at_create: false,
            results: Vec::new(),
            answered: BTreeMap::new(),
            questionnaires_away: false,
            refuse_questions: None,
            now: track::birth(),
            told: String::new(),
            wake: None,
            last_why: Vec::new(),
            told_ignored: Vec::new(),
        }
    }

    pub fn cluster(&mut self) -> &mut Cluster {
        self.cluster.as_mut().expect("`create run` comes first")
    }

    /// Lets time pass; the operator looks again whenever it said it would.
    pub fn pass(&mut self, millis: i64) {
        let until = self.now.checked_add(SignedDuration::from_millis(millis)).unwrap();
        while let Some(wake) = self.wake.filter(|wake| *wake <= until && !self.operator_away) {
            self.now = wake;
            self.look();
        }
        self.now = until;
    }

    /// The operator looks until nothing is left to do.
    pub fn look(&mut self) {
        if self.cluster.is_none() || self.operator_away {
            return;
        }
        let mut refusal = None;
        for _ in 0..SPIN {
            let version = self.cluster().run().clone();
            let run = Cluster::plan_run(&version);
            let observed = self.observe(refusal.take());
            let planned = plan(&run, &version.status, &observed, self.now);
            let mut faults = check(&run, &version.status, &observed, &planned);
            faults.extend(inv11_diagnosing_ends(planned.status.as_ref().unwrap_or(&version.status), &planned, self.now));
            self.wake = planned.requeue.map(|requeue| self.now.checked_add(requeue).unwrap());
            self.tell(&version.status, &planned);
            for fault in faults {
                writeln!(self.told, "    FAULT {fault}").unwrap();
            }
            match self.apply(version.resource_version, &planned) {
                Applied::Nothing => return,
                Applied::Something if planned.create.is_some() && self.dies_at_create => {
                    self.told.push_str("    (the operator dies)\n");
                    (self.operator_away, self.dies_at_create) = (true, false);
                    return;
                }
                Applied::Something => {}
                Applied::Refused(told) => refusal = Some(told),
            }
        }
        writeln!(self.told, "    FAULT the operator spins").unwrap();
    }

    pub fn observe(&self, refusal: Option<Refusal>) -> Observed {
        let revision = match &self.view {
            View::Here => RevisionView::Available { name: track::REVISION.into(), revision: Arc::new(self.revision.clone()) },
            View::Waiting(reason, message) => RevisionView::Waiting { reason: reason.clone(), message: message.clone() },
            View::Lost => RevisionView::Lost { name: track::REVISION.into() },
        };
        let jobs = self.cluster.as_ref().map(|cluster| cluster.jobs_now().to_vec()).unwrap_or_default();
        let results = if self.stream_away { Vec::new() } else { self.results.clone() };
        let questionnaire = self.questionnaire();
        Observed { revision, jobs, results, results_known: !self.stream_away, questionnaire, refusal }
    }

    fn questionnaire(&self) -> QuestionnaireView {
        let waits = self.cluster.as_ref().and_then(|cluster| cluster.run().status.stages.last()?.waits_for());
        match waits {
            _ if self.questionnaires_away => QuestionnaireView::Unknown,
            None => QuestionnaireView::Unknown,
            Some(asked) => self.answered.get(&asked.name).map_or(QuestionnaireView::Open, |at| QuestionnaireView::Answered(*at)),
        }
    }

    fn apply(&mut self, resource_version: u64, planned: &Plan) -> Applied {
        if let Some(intent) = &planned.create {
            return match self.cluster().create(intent) {
                Created::Made(_) => Applied::Something,
                Created::Refused(message) => {
                    writeln!(self.told, "    refused: {message}").unwrap();
                    Applied::Refused(Refusal { name: intent.name.clone(), message })
                }
                Created::Exists => unreachable!("a story has no stale reads"),
            };
        }
        if let (Some(asking), Some(message)) = (&planned.ask, self.refuse_questions.clone()) {
            writeln!(self.told, "    refused: {message}").unwrap();
            return Applied::Refused(Refusal { name: asking.name.clone(), message });
        }
        let mut changed = false;
        if let Some(status) = &planned.status {
            self.cluster().write_status(resource_version, status).expect("a story has one operator");
            changed = true;
        }
        for act in &planned.after {
            changed |= match act {
                After::Release { name, uid } => self.cluster().release(name, uid),
                After::Delete { name, uid } => self.cluster().delete(name, uid),
            };
        }
        if changed { Applied::Something } else { Applied::Nothing }
    }

    fn tell(&mut self, before: &trackway_crds::BatchRunStatus, planned: &Plan) {
        let mut planned = planned.clone();
        planned.ignored.retain(|ignored| !self.told_ignored.contains(ignored));
        self.told_ignored.extend(planned.ignored.iter().cloned());
        let quiet = planned.create.is_none() && planned.status.is_none() && planned.after.is_empty();
        if quiet && (planned.why.is_empty() || planned.why == self.last_why) && planned.ignored.is_empty() {
            return;
        }
        self.last_why.clone_from(&planned.why);
        self.told.push_str(&transcript::plan(before, &planned, self.now));
    }
}

enum Applied {
    Nothing,
    Something,
    Refused(Refusal),
}
