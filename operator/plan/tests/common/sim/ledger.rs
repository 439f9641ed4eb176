//! The invariants of design.md §6 as the world sees them, looked at after every write. It knows what really happened, not what the
//! planner thinks.

use super::{Event, SECOND, Sim, operator::open_try};
use std::collections::{BTreeMap, BTreeSet};
use trackway_crds::{
    Score,
    contracts::{ErrorClass, ResolvedJudge, ResultPhase, StageResult},
    status::{BatchRunStatus, MAX_STATUS_BYTES, Phase, StagePhase, StageStatus, Verdict},
};

/// What is broken, and what it is: an invariant of design.md §6, the summary, the timings.
type Faults = Vec<(&'static str, String)>;

#[derive(Default)]
pub struct Ledger {
    pub broken: Vec<String>,
    /// The one Job of each (stage, attempt, try).
    recorded: BTreeMap<(String, u32, u32), String>,
    uids: BTreeSet<String>,
    numbers: BTreeMap<String, (u32, u32)>,
    revision: Option<String>,
}

impl Sim {
    /// Invariant 1: only a recorded Job runs a pod.
    pub fn pod_is_made(&mut self, uid: &str) {
        self.count("pod");
        if !self.ledger.uids.contains(uid) {
            self.broken("inv01", format!("{uid} runs a pod and no status ever named it"));
        }
        let told = self.cluster.assignments.get(uid).map(|told| told.revision.clone());
        if told != self.ledger.revision {
            self.broken("inv06", format!("{uid} mounts {told:?}, the run pinned {:?}", self.ledger.revision));
        }
    }

    /// Everything that must be true after a write.
    pub fn written(&mut self, before: &BatchRunStatus) {
        let after = self.cluster.run().status.clone();
        let mut faults = Vec::new();
        one_job_per_try(&mut self.ledger, &after, &mut faults);
        self.numbers_and_budgets(before, &after, &mut faults);
        for stage in &after.stages {
            self.advanced_rightly(stage, &mut faults);
        }
        let bytes = serde_json::to_vec(&after).unwrap().len();
        if bytes > MAX_STATUS_BYTES {
            faults.push(("inv04", format!("status has {bytes} bytes")));
        }
        if before.completed_at.is_some() && *before != after {
            faults.push(("inv05", "a finished run was changed".into()));
        }
        if self.ledger.revision.is_some() && self.ledger.revision != after.revision {
            faults.push(("inv06", format!("{:?} became {:?}", self.ledger.revision, after.revision)));
        }
        self.ledger.revision.clone_from(&after.revision);
        summary_is_what_stages_say(&after, self.revisions[0].stages.len(), &mut faults);
        if after.phase.is_some_and(Phase::is_finished) && self.finished_at.is_none() {
            self.finished_at = Some(self.now);
            self.at(self.now + 120 * SECOND, Event::Aftermath);
            self.time_adds_up(&after, &mut faults);
        }
        for (invariant, message) in faults {
            self.broken(invariant, message);
        }
    }

    fn numbers_and_budgets(&mut self, before: &BatchRunStatus, after: &BatchRunStatus, faults: &mut Faults) {
        let open = open_try(before);
        let said = |stage: &str| -> Option<&StageResult> {
            let (of, attempt, try_, _) = open.as_ref()?;
            self.said.iter().find(|r| of == stage && r.stage == stage && (r.attempt, r.try_) == (*attempt, *try_))
        };
        for stage in &after.stages {
            let old = before.stages.iter().find(|old| old.name == stage.name);
            let was = old.map(|old| old.used.clone()).unwrap_or_default();
            let class = said(&stage.name).and_then(|result| result.error.as_ref()).map(|error| error.class);
            let judged = said(&stage.name).is_some_and(|result| result.phase == ResultPhase::Judged);
            let causes = [
                ("model", stage.used.model - was.model, class == Some(ErrorClass::Model)),
                ("judge", stage.used.judge - was.judge, class == Some(ErrorClass::Judge)),
                ("quality", stage.used.quality - was.quality, judged),
            ];
            for (budget, spent, caused) in causes {
                if spent > u32::from(caused) {
                    faults.push(("inv03", format!("{}: {spent} of the {budget} budget used without such a failure", stage.name)));
                }
            }
            let retry = &self.revisions[0].stage(&stage.name).unwrap().retry;
            let within = stage.used.quality <= retry.quality_max_attempts
                && stage.used.infrastructure <= retry.infrastructure_max_tries
                && stage.used.model <= retry.model_max_tries
                && stage.used.judge <= retry.judge_max_tries;
            if !within {
                faults.push(("inv03", format!("{}: {:?} is more than {retry:?}", stage.name, stage.used)));
            }
        }
        for stage in &after.stages {
            let last = stage.attempts.last().map_or((0, 0), |last| (last.attempt, last.try_));
            let known = self.ledger.numbers.entry(stage.name.clone()).or_default();
            if last < *known {
                faults.push(("inv03", format!("{}: attempt and try {known:?} became {last:?}", stage.name)));
            }
            *known = last;
        }
    }

    /// Invariants 2 and 3: advanced on what the judge really said of the one output that is stored.
    fn advanced_rightly(&self, stage: &StageStatus, faults: &mut Faults) {
        for attempt in stage.attempts.iter().filter(|attempt| attempt.verdict.is_some()) {
            if attempt.output.as_ref() != self.outputs.get(&(stage.name.clone(), attempt.attempt)) {
                faults.push(("inv03", format!("{} attempt {}: not the output that is stored", stage.name, attempt.attempt)));
            }
        }
        let Some(last) = stage.attempts.last().filter(|_| stage.phase == StagePhase::Succeeded) else { return };
        let Some(judge) = self.revisions[0].stage(&stage.name).and_then(|stage| stage.judge.as_ref()) else { return };
        let verdict = self.verdicts.get(&(stage.name.clone(), last.attempt));
        if last.verdict != Some(Verdict::Advance) || !verdict.is_some_and(|scores| good_enough(judge, scores)) {
            faults.push(("inv02", format!("{} advanced on {verdict:?}", stage.name)));
        }
    }

    /// What stages account for is the time from the run's creation (where a wait was written down) or start to its end.
    fn time_adds_up(&mut self, status: &BatchRunStatus, faults: &mut Faults) {
        let (Some(started), Some(completed), Some(Phase::Succeeded)) = (&status.started_at, &status.completed_at, status.phase)
        else {
            return;
        };
        let parts = |stage: &StageStatus| {
            let ms = &stage.millis;
            ms.queued + ms.pod_start + ms.generate + ms.judge + ms.operator + ms.paused
        };
        let told: u64 = status.stages.iter().map(parts).sum();
        let birth = crate::common::track::birth().as_millisecond();
        let since = |from: i64| u64::try_from(completed.0.as_millisecond() - from).unwrap();
        if told != since(started.0.as_millisecond()) && told != since(birth) {
            let (run, life) = (since(started.0.as_millisecond()), since(birth));
            faults
                .push(("timings", format!("stages account for {told} ms of {run} ms since the start, {life} ms since creation")));
        }
    }
}

fn one_job_per_try(ledger: &mut Ledger, status: &BatchRunStatus, faults: &mut Faults) {
    for stage in &status.stages {
        for attempt in &stage.attempts {
            let Some(uid) = &attempt.job_uid else { continue };
            let key = (stage.name.clone(), attempt.attempt, attempt.try_);
            let first = ledger.recorded.entry(key.clone()).or_insert_with(|| uid.clone());
            if first != uid {
                faults.push(("inv01", format!("{key:?} was {first} and is {uid}")));
            }
            ledger.uids.insert(uid.clone());
        }
    }
    if ledger.uids.len() > ledger.recorded.len() {
        faults.push(("inv01", "one Job serves two tries".into()));
    }
}

/// The threshold by arithmetic of its own: twice the weighted sum plus the weights, over twice the weights, rounded down.
fn good_enough(judge: &ResolvedJudge, scores: &BTreeMap<String, u16>) -> bool {
    let weights: u64 = judge.dimensions.iter().map(|d| u64::from(d.weight)).sum();
    let sum: u64 = judge.dimensions.iter().map(|d| u64::from(d.weight) * u64::from(scores[&d.name])).sum();
    let mean = (2 * sum + weights) / (2 * weights);
    mean >= u64::from(judge.threshold.thousandths())
        && judge.dimensions.iter().all(|d| Score::from_thousandths(scores[&d.name]) >= d.minimum)
}

/// The columns of `kubectl get`, worked out a second way.
fn summary_is_what_stages_say(status: &BatchRunStatus, total: usize, faults: &mut Faults) {
    let Some(summary) = &status.summary else {
        if !status.stages.is_empty() {
            faults.push(("summary", "no summary although stages have begun".into()));
        }
        return;
    };
    let done = status.stages.iter().filter(|stage| stage.phase == StagePhase::Succeeded);
    let accepted = done.clone().filter_map(|stage| stage.attempts.last()?.score).min();
    let failed = status.stages.iter().find(|stage| stage.phase == StagePhase::Failed);
    let best = failed.and_then(|stage| stage.attempts.iter().filter_map(|attempt| attempt.score).max());
    let retries = status.stages.iter().filter_map(|stage| stage.attempts.last()).map(|last| last.attempt - 1).sum();
    let told = (summary.progress.clone(), summary.score, summary.retries, summary.duration.is_some());
    let ended = status.completed_at.is_some() && status.started_at.is_some();
    let right = (format!("{}/{total}", done.count()), best.or(accepted), retries, ended);
    if told != right || summary.stage != status.stages.last().map_or("", |stage| &stage.name) {
        faults.push(("summary", format!("summary says {told:?}, stages say {right:?}")));
    }
}
