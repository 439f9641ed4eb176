//! One checker for each invariant of design.md §6, for whoever writes a status: the simulation, the exhaustive model, a cluster.
//! They know what really happened ([`Truth`]), not what the planner thinks, and reckon by arithmetic of their own.

mod catch;
mod summary;
mod targets;
mod timings;
mod waiting;

pub use catch::{inv11_failed_in_time, inv11_overdue};
pub use summary::summary_is_what_stages_say;
pub use targets::{Tally, inv03_targets};
pub use timings::timings_add_up;

use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use trackway_crds::{
    contracts::{ErrorClass, Reference, ResolvedJudge, ResultPhase, Revision, StageResult},
    names::DEBUGGER,
    status::{BatchRunStatus, MAX_STATUS_BYTES, StagePhase, StageStatus, Verdict},
};

/// What is broken, and what it is: an invariant, the summary, the timings.
pub type Faults = Vec<(&'static str, String)>;
/// Stage, attempt, target.
pub type Key = (String, u32, u32);
/// Stage, then attempt and 0, or 0 and wave, then try.
pub type Place = (String, u32, u32, u32);

/// What really happened.
pub struct Truth<'a> {
    pub revision: &'a Revision,
    /// Write-once names: what is stored.
    pub outputs: &'a BTreeMap<Key, Reference>,
    pub verdicts: &'a BTreeMap<Key, BTreeMap<String, u16>>,
    /// What workers with a recorded Job said, by key and try.
    pub said: &'a BTreeMap<(Key, u32), Vec<StageResult>>,
    /// Milliseconds since the epoch.
    pub now: i64,
    /// Some pod could not start for a reason that only somebody's hand mends.
    pub hopeless: bool,
    /// Questionnaires that were made, and since when they are answered.
    pub questionnaires: &'a BTreeMap<String, Option<Timestamp>>,
}

/// What earlier statuses said.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The one Job of each place.
    pub recorded: BTreeMap<Place, String>,
    pub uids: BTreeSet<String>,
    /// Attempt and try of each stage.
    numbers: BTreeMap<String, (u32, u32)>,
    pub revision: Option<String>,
    /// Stages that went on with answers, and after which round.
    resumed: BTreeSet<(String, u32)>,
    pub tally: Tally,
}

impl Truth<'_> {
    pub fn said(&self, stage: &str, attempt: u32, index: u32, try_: u32) -> &[StageResult] {
        self.said.get(&((stage.to_owned(), attempt, index), try_)).map_or(&[], Vec::as_slice)
    }
}

/// Everything that must be true after `before` became `after`.
pub fn written(history: &mut History, truth: &Truth<'_>, before: &BatchRunStatus, after: &BatchRunStatus) -> Faults {
    let mut faults = Vec::new();
    inv01_one_job_per_try(history, after, &mut faults);
    for stage in &after.stages {
        inv02_advanced_on_a_verdict(truth, stage, &mut faults);
    }
    inv03_budgets(truth, before, after, &mut faults);
    inv03_numbers_grow(history, after, &mut faults);
    inv03_targets(&mut history.tally, truth, before, after, &mut faults);
    inv04_bounded(after, &mut faults);
    inv05_ended_stays(before, after, &mut faults);
    inv06_one_revision(history, after, &mut faults);
    inv07_on_a_clock(truth, after, &mut faults);
    waiting::inv07_waits_for_what_is_asked(history, truth, before, after, &mut faults);
    inv11_failed_in_time(truth.revision, before, after, &mut faults);
    tokens_are_not_overspent(truth.revision, before, after, &mut faults);
    summary_is_what_stages_say(after, truth.revision.stages.len(), &mut faults);
    faults
}

/// The Jobs that `status` names.
pub fn recorded(status: &BatchRunStatus) -> Vec<(Place, String)> {
    let mut found = Vec::new();
    for stage in &status.stages {
        let attempts = stage.attempts.iter().map(|attempt| ((attempt.attempt, 0, attempt.try_), attempt.job_uid.clone()));
        let waves = stage.targets.iter().flat_map(|targets| &targets.waves);
        let waves = waves.map(|wave| ((0, wave.wave, wave.try_), Some(wave.job_uid.clone())));
        for ((attempt, wave, try_), uid) in attempts.chain(waves) {
            found.extend(uid.map(|uid| ((stage.name.clone(), attempt, wave, try_), uid)));
        }
    }
    if let Some(catch) = &status.catch {
        found.extend(catch.job_uid.clone().map(|uid| ((DEBUGGER.to_owned(), 1, 0, catch.try_), uid)));
    }
    found
}

fn inv01_one_job_per_try(history: &mut History, status: &BatchRunStatus, faults: &mut Faults) {
    for (place, uid) in recorded(status) {
        history.uids.insert(uid.clone());
        let first = history.recorded.entry(place.clone()).or_insert_with(|| uid.clone());
        if *first != uid {
            faults.push(("inv01", format!("{place:?} was {first} and is {uid}")));
        }
    }
    if history.uids.len() < history.recorded.len() {
        faults.push(("inv01", format!("one Job serves two tries: {:?}", history.recorded)));
    }
}

/// Advanced on what the judge really said of the one output that is stored.
fn inv02_advanced_on_a_verdict(truth: &Truth<'_>, stage: &StageStatus, faults: &mut Faults) {
    for attempt in stage.attempts.iter().filter(|attempt| attempt.verdict.is_some()) {
        if attempt.output.as_ref() != truth.outputs.get(&(stage.name.clone(), attempt.attempt, 0)) {
            faults.push(("inv03", format!("{} attempt {}: not the output that is stored", stage.name, attempt.attempt)));
        }
    }
    let Some(last) = stage.attempts.last().filter(|_| stage.phase == StagePhase::Succeeded) else { return };
    let Some(judge) = truth.revision.stage(&stage.name).and_then(|stage| stage.judge.as_ref()) else { return };
    let verdict = truth.verdicts.get(&(stage.name.clone(), last.attempt, 0));
    if last.verdict != Some(Verdict::Advance) || !verdict.is_some_and(|scores| good_enough(judge, scores)) {
        faults.push(("inv02", format!("{} advanced on {verdict:?}", stage.name)));
    }
}

/// A budget is used only by a failure of its class that a worker told of, or, of infrastructure, by a try that ended.
fn inv03_budgets(truth: &Truth<'_>, before: &BatchRunStatus, after: &BatchRunStatus, faults: &mut Faults) {
    for stage in &after.stages {
        let Some(resolved) = truth.revision.stage(&stage.name) else { continue };
        let old = before.stages.iter().find(|old| old.name == stage.name);
        let was = old.map(|old| old.used.clone()).unwrap_or_default();
        // An attempt that asked counts once nobody answers.
        let open = old.and_then(|old| old.attempts.last());
        let open = open.filter(|last| matches!(last.verdict, None | Some(Verdict::Ask)));
        let said = open.map_or(&[][..], |open| truth.said(&stage.name, open.attempt, 0, open.try_));
        let class = |class| said.iter().any(|said| said.error.as_ref().is_some_and(|error| error.class == class));
        let judged = said.iter().any(|said| said.phase == ResultPhase::Judged);
        let mut causes = vec![
            ("model", stage.used.model, was.model, class(ErrorClass::Model)),
            ("judge", stage.used.judge, was.judge, class(ErrorClass::Judge)),
            ("quality", stage.used.quality, was.quality, judged),
        ];
        if resolved.for_each.is_some() {
            causes.clear();
        }
        for (budget, used, was, caused) in causes {
            let spent = used.saturating_sub(was);
            if spent > u32::from(caused) {
                faults.push(("inv03", format!("{}: {spent} of the {budget} budget used without such a failure", stage.name)));
            }
        }
        let retry = &resolved.retry;
        let within = stage.used.quality <= retry.quality_max_attempts
            && stage.used.infrastructure <= retry.infrastructure_max_tries
            && stage.used.model <= retry.model_max_tries
            && stage.used.judge <= retry.judge_max_tries;
        if resolved.for_each.is_none() && !within {
            faults.push(("inv03", format!("{}: {:?} is more than {retry:?}", stage.name, stage.used)));
        }
        // Rounds of questions are attempts that use up nothing.
        let judged = stage.attempts.iter().rfind(|attempt| attempt.verdict.is_some());
        let asked = stage.questionnaire.as_ref().map_or(0, |asked| asked.round);
        let asked = asked - u32::from(judged.is_some_and(|last| expired_on(stage, last.attempt, asked)));
        let judged = judged.map(|last| last.attempt - asked);
        if resolved.judge.is_some() && judged.unwrap_or(0) != stage.used.quality && resolved.for_each.is_none() {
            faults.push(("inv03", format!("{}: attempt {judged:?} was judged, {} counted", stage.name, stage.used.quality)));
        }
    }
}

/// Whether nobody answered the last round, so that the attempt that asked was what the stage ended with.
fn expired_on(stage: &StageStatus, attempt: u32, asked: u32) -> bool {
    let unanswered = stage.questionnaire.as_ref().is_some_and(|asked| asked.answered_at.is_none());
    asked > 0 && unanswered && stage.attempts.iter().any(|last| last.attempt == attempt && last.verdict == Some(Verdict::Advance))
}

fn inv03_numbers_grow(history: &mut History, after: &BatchRunStatus, faults: &mut Faults) {
    for stage in &after.stages {
        let last = stage.attempts.last().map_or((0, 0), |last| (last.attempt, last.try_));
        let known = history.numbers.entry(stage.name.clone()).or_default();
        if last < *known || last.0 > known.0 + 1 {
            faults.push(("inv03", format!("{}: attempt and try {known:?} became {last:?}", stage.name)));
        }
        *known = last;
    }
}

fn inv04_bounded(after: &BatchRunStatus, faults: &mut Faults) {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    serde_json::to_writer(&mut count, after).unwrap();
    let bytes = count.0;
    if bytes > MAX_STATUS_BYTES {
        faults.push(("inv04", format!("status has {bytes} bytes")));
    }
}

fn inv05_ended_stays(before: &BatchRunStatus, after: &BatchRunStatus, faults: &mut Faults) {
    if before.completed_at.is_some() && before != after {
        faults.push(("inv05", "a finished run was changed".into()));
    }
    for old in before.stages.iter().filter(|old| old.phase != StagePhase::Running) {
        let new = after.stages.iter().find(|new| new.name == old.name);
        if new.is_none_or(|new| new.phase != old.phase || new.output != old.output || new.used != old.used) {
            faults.push(("inv05", format!("{}: an ended stage was changed", old.name)));
        }
    }
}

fn inv06_one_revision(history: &mut History, after: &BatchRunStatus, faults: &mut Faults) {
    if history.revision.is_some() && history.revision != after.revision {
        faults.push(("inv06", format!("{:?} became {:?}", history.revision, after.revision)));
    }
    history.revision.clone_from(&after.revision);
}

/// A run that is at work ends by its active deadline: no clock was started later than now.
fn inv07_on_a_clock(truth: &Truth<'_>, after: &BatchRunStatus, faults: &mut Faults) {
    let limit = i64::try_from(truth.revision.limits.active_deadline_millis).unwrap();
    let Some(deadline) = &after.deadline_at else { return };
    let left = limit - i64::try_from(after.active_millis).unwrap();
    let told = deadline.0.as_millisecond() - truth.now;
    if told > left {
        faults.push(("inv07", format!("the active deadline is {told} ms away, {left} ms are left")));
    }
}

/// Nothing new is recorded once the budget of tokens is used up.
fn tokens_are_not_overspent(revision: &Revision, before: &BatchRunStatus, after: &BatchRunStatus, faults: &mut Faults) {
    let Some(limit) = revision.limits.tokens else { return };
    let debugger = after.catch.as_ref().map_or(0, |catch| catch.tokens);
    let used = after.stages.iter().map(|stage| stage.used.tokens).sum::<u64>() + debugger;
    let known = recorded(before);
    let new: Vec<_> = recorded(after).into_iter().filter(|place| !known.contains(place)).collect();
    if used >= limit && !new.is_empty() {
        faults.push(("tokens", format!("{used} of {limit} tokens are used and {new:?} is begun")));
    }
}

/// The threshold by arithmetic of its own: twice the weighted sum plus the weights, over twice the weights, rounded down.
pub fn good_enough(judge: &ResolvedJudge, scores: &BTreeMap<String, u16>) -> bool {
    let score = |name: &String| scores.get(name).copied().unwrap_or(0);
    let high = judge.dimensions.iter().all(|d| score(&d.name) >= d.minimum.thousandths());
    high && overall(judge, scores) >= u64::from(judge.threshold.thousandths())
}

/// The weighted mean in thousandths.
pub fn overall(judge: &ResolvedJudge, scores: &BTreeMap<String, u16>) -> u64 {
    let weights: u64 = judge.dimensions.iter().map(|d| u64::from(d.weight)).sum();
    let of = |name: &String| u64::from(scores.get(name).copied().unwrap_or(0));
    let sum: u64 = judge.dimensions.iter().map(|d| u64::from(d.weight) * of(&d.name)).sum();
    (2 * sum + weights) / (2 * weights)
}
