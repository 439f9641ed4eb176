//! What the oracle is told of this world, and what is said when it disagrees.

use super::{Event, SECOND, Sim};
use crate::common::oracle::{self, Truth};
use trackway_crds::{
    names::DEBUGGER,
    status::{BatchRunStatus, Phase, StagePhase},
};

impl Sim {
    /// Invariant 1: only a recorded Job runs a pod.
    pub fn pods_are_made(&mut self, uid: &str) {
        if !self.history.uids.contains(uid) {
            self.broken("inv01", format!("{uid} runs a pod and no status ever named it"));
        }
        let told = self.cluster.assignments.get(uid).map(|told| told.revision.clone());
        if told != self.history.revision {
            self.broken("inv06", format!("{uid} mounts {told:?}, the run pinned {:?}", self.history.revision));
        }
    }

    /// Everything that must be true after a write.
    pub fn written(&mut self, before: &BatchRunStatus) {
        let after = self.cluster.run().status.clone();
        let truth = Truth {
            revision: &self.revisions[0],
            outputs: &self.outputs,
            verdicts: &self.verdicts,
            said: &self.said,
            now: self.moment().as_millisecond(),
            hopeless: self.hopeless,
            questionnaires: &self.questionnaires,
        };
        let mut faults = oracle::written(&mut self.history, &truth, before, &after);
        self.count_writes(before, &after);
        if after.phase.is_some_and(Phase::is_finished) && self.finished_at.is_none() {
            self.finished_at = Some(self.now);
            self.at(self.now + 120 * SECOND, Event::Aftermath);
            oracle::timings_add_up(&after, &mut faults);
            self.failed_in_time(&after);
        }
        for (invariant, message) in faults {
            self.broken(invariant, message);
        }
    }

    /// Invariant 11 where operators are alive: the last fault may have kept them away until it was over.
    fn failed_in_time(&mut self, after: &BatchRunStatus) {
        let (Some(catch), Some(completed)) = (&after.catch, &after.completed_at) else { return };
        let alive = self.moment().as_millisecond() - (self.now - self.faults_end).max(0) / 1_000;
        let late = completed.0.as_millisecond() - catch.deadline_at.0.as_millisecond().max(alive);
        if late > 2_000 && !self.faults {
            self.broken("inv11", format!("failed {late} ms after the catch's deadline"));
        }
    }

    fn count_writes(&mut self, before: &BatchRunStatus, after: &BatchRunStatus) {
        let waves = |status: &BatchRunStatus| -> u32 {
            status.stages.iter().filter_map(|stage| stage.targets.as_ref()).map(|targets| targets.cut).sum()
        };
        self.count_waits(before, after);
        if waves(after) > waves(before) {
            self.count("wave");
        }
        if after.stages.iter().any(|stage| stage.targets.as_ref().is_some_and(|targets| targets.waves.len() > 3)) {
            self.count("many waves");
        }
        let fan_out = after.stages.last().is_some_and(|stage| stage.targets.is_some() && stage.phase == StagePhase::Running);
        if fan_out && after.phase == Some(Phase::Suspended) {
            self.count("suspended in a fan-out");
        }
        if after.completed_at.is_some() && after.catch.is_some() && after.diagnosis.is_none() {
            self.count("debugger in vain");
        }
        if after.catch.as_ref().is_some_and(|catch| catch.try_ > 1) && before.catch.as_ref().is_some_and(|catch| catch.try_ == 1)
        {
            self.count("debugger tried again");
        }
        if after.diagnosis.is_some() && before.diagnosis.is_none() {
            self.count("diagnosed");
        }
        let fan_outs = after.stages.iter().filter(|stage| stage.targets.is_some() && stage.phase == StagePhase::Succeeded);
        let was = before.stages.iter().filter(|stage| stage.targets.is_some() && stage.phase == StagePhase::Succeeded);
        if fan_outs.count() > was.count() {
            self.count("fan-out succeeded");
        }
    }

    fn count_waits(&mut self, before: &BatchRunStatus, after: &BatchRunStatus) {
        let waits = |status: &BatchRunStatus| status.stages.last().is_some_and(|stage| stage.waits_for().is_some());
        match (waits(before), waits(after), after.phase) {
            (false, true, _) => self.count("waited"),
            (true, true, Some(Phase::Suspended)) if before.phase != Some(Phase::Suspended) => {
                self.count("suspended while it waited");
            }
            (true, false, Some(Phase::Running)) => {
                let again = after.stages.last().is_some_and(|stage| stage.attempts.len() > 1);
                self.count(if again { "went on with answers" } else { "went on without answers" });
            }
            _ => {}
        }
    }

    pub fn of_debugger(stage: &str) -> bool {
        stage == DEBUGGER
    }
}
