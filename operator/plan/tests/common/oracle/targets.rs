//! Invariant 3 for the targets of a fan-out: an account of its own, moved on by what workers really said.

use super::{Faults, Truth, good_enough, overall};
use std::collections::{BTreeMap, BTreeSet};
use trackway_crds::{
    contracts::{ErrorClass, ResolvedForEach, ResolvedStage, ResultPhase},
    ledger::{Ledger, Target, TargetState},
    status::{BatchRunStatus, StagePhase, StageStatus, TargetsStatus},
};

/// Most waves at a time.
const MOST_WAVES: usize = 8;

/// The account: every target as it was after the last write, and every try that was ever given to a pod.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    targets: BTreeMap<String, Vec<Target>>,
    handed: BTreeSet<(String, u32, u32, u32)>,
}

/// Each target of each fan-out moved as its results say, by one step, and what the status counts is what the ledger holds.
pub fn inv03_targets(tally: &mut Tally, truth: &Truth<'_>, before: &BatchRunStatus, after: &BatchRunStatus, faults: &mut Faults) {
    for stage in &after.stages {
        let (Some(targets), Some(resolved)) = (&stage.targets, truth.revision.stage(&stage.name)) else { continue };
        let Some(for_each) = &resolved.for_each else { continue };
        let Ok(Ledger(now)) = Ledger::decode(&targets.ledger) else {
            faults.push(("targets", format!("{}: the ledger cannot be read", stage.name)));
            continue;
        };
        let source = after.stages.iter().find(|source| source.name == for_each.stage);
        let listed = source.and_then(|source| source.lists.get(&for_each.field)).map(|list| list.count);
        if listed != Some(targets.total) || now.len() != usize::try_from(targets.total).unwrap() {
            faults.push(("targets", format!("{}: {} targets in the ledger, {listed:?} listed", stage.name, now.len())));
        }
        let was = before.stages.iter().find(|old| old.name == stage.name).and_then(|old| old.targets.as_ref());
        let of = tally.targets.entry(stage.name.clone()).or_insert_with(|| vec![Target::default(); now.len()]);
        let moves = Moves { truth, stage, resolved };
        for (index, (old, new)) in (0u32..).zip(of.iter().zip(&now)) {
            if let Err(message) = moves.step(index, *old, *new) {
                faults.push(("inv03", format!("{} target {index}: {message}: {old:?} became {new:?}", stage.name)));
            }
        }
        of.clone_from(&now);
        each_try_is_given_once(tally, stage, was, targets, &now, faults);
        waves_hold_what_runs(stage, targets, for_each, &now, faults);
        counts_are_the_ledgers(truth, stage, targets, resolved, &now, faults);
        let reason = after.failure.as_ref().map(|failure| failure.reason.as_str());
        decided_in_time(stage, for_each, &now, reason, faults);
    }
}

struct Moves<'a> {
    truth: &'a Truth<'a>,
    stage: &'a StageStatus,
    resolved: &'a ResolvedStage,
}

impl Moves<'_> {
    fn step(&self, index: u32, old: Target, new: Target) -> Result<(), String> {
        let numbers = |of: Target| (of.attempt, of.infrastructure, of.model, of.judge);
        if numbers(old) == numbers(new) && self.stays(old, new) {
            return Ok(());
        }
        if old.state != TargetState::Running && !(old.state == TargetState::Due && new.infrastructure == old.infrastructure + 1) {
            return Err("only what runs comes to something".into());
        }
        let said = self.truth.said(&self.stage.name, old.attempt, index, old.try_());
        let judged = said.iter().any(|said| said.phase != ResultPhase::Error);
        let told = |class| said.iter().any(|said| said.error.as_ref().is_some_and(|error| error.class == class));
        let failures = |of: Target| [of.infrastructure, of.model, of.judge];
        let grown: Vec<u32> = failures(new).iter().zip(failures(old)).map(|(new, old)| new.wrapping_sub(old)).collect();
        let again = matches!(new.state, TargetState::Due | TargetState::Running);
        let retry = &self.resolved.retry;
        let good = self.good(index, old.attempt);
        match (new.attempt.wrapping_sub(old.attempt), grown.as_slice()) {
            (0, [0, 0, 0]) => match new.state {
                TargetState::Succeeded if judged && good => Ok(()),
                TargetState::FailedQuality if judged && !good && old.attempt >= retry.quality_max_attempts => Ok(()),
                TargetState::FailedPermanent if told(ErrorClass::Permanent) || self.truth.hopeless => Ok(()),
                _ => Err(format!("nobody said so (good: {good}, said: {})", said.len())),
            },
            (1, [0, 0, 0]) if judged && !good && again && new.attempt <= retry.quality_max_attempts => Ok(()),
            (0, [1, 0, 0]) => {
                within(new, again, new.infrastructure, retry.infrastructure_max_tries, TargetState::FailedInfrastructure)
            }
            (0, [0, 1, 0]) if told(ErrorClass::Model) => {
                within(new, again, new.model, retry.model_max_tries, TargetState::FailedModel)
            }
            (0, [0, 0, 1]) if told(ErrorClass::Judge) || judged => {
                within(new, again, new.judge, retry.judge_max_tries, TargetState::FailedJudge)
            }
            _ => Err("no such step".into()),
        }
    }

    /// Nothing happened to it but that it was given to a pod, or given back because its stage is over.
    fn stays(&self, old: Target, new: Target) -> bool {
        let over = self.stage.phase != StagePhase::Running;
        old.state == new.state
            || (old.state, new.state) == (TargetState::Due, TargetState::Running)
            || (over && old.state == TargetState::Running && new.state == TargetState::Due)
    }

    fn good(&self, index: u32, attempt: u32) -> bool {
        let key = (self.stage.name.clone(), attempt, index);
        match &self.resolved.judge {
            Some(judge) => self.truth.verdicts.get(&key).is_some_and(|scores| good_enough(judge, scores)),
            None => self.truth.outputs.contains_key(&key),
        }
    }
}

fn within(new: Target, again: bool, used: u32, max: u32, failed: TargetState) -> Result<(), String> {
    let right = if used < max { again } else { used == max && new.state == failed };
    if right { Ok(()) } else { Err(format!("{used} of {max} used")) }
}

fn each_try_is_given_once(
    tally: &mut Tally,
    stage: &StageStatus,
    was: Option<&TargetsStatus>,
    targets: &TargetsStatus,
    now: &[Target],
    faults: &mut Faults,
) {
    let old: BTreeSet<_> = was.iter().flat_map(|was| &was.waves).map(|wave| (wave.wave, wave.try_)).collect();
    for wave in targets.waves.iter().filter(|wave| !old.contains(&(wave.wave, wave.try_))) {
        for index in indexes(&wave.targets) {
            let Some(target) = now.get(usize::try_from(index).unwrap()) else { continue };
            if !tally.handed.insert((stage.name.clone(), index, target.attempt, target.try_())) {
                let (attempt, try_) = (target.attempt, target.try_());
                faults.push(("inv03", format!("{} target {index}: attempt {attempt} try {try_} was given twice", stage.name)));
            }
        }
    }
}

fn waves_hold_what_runs(
    stage: &StageStatus,
    targets: &TargetsStatus,
    for_each: &ResolvedForEach,
    now: &[Target],
    faults: &mut Faults,
) {
    if stage.phase != StagePhase::Running {
        return;
    }
    let held: Vec<u32> = targets.waves.iter().flat_map(|wave| indexes(&wave.targets)).collect();
    let running: BTreeSet<u32> =
        (0u32..).zip(now).filter(|(_, target)| target.state == TargetState::Running).map(|(index, _)| index).collect();
    if !running.iter().all(|index| held.contains(index)) {
        faults.push(("inv07", format!("{}: {running:?} run, waves hold {held:?}", stage.name)));
    }
    if running.len() > usize::try_from(for_each.max_concurrency).unwrap() {
        faults.push(("targets", format!("{}: {} run, {} may", stage.name, running.len(), for_each.max_concurrency)));
    }
    if targets.waves.len() > MOST_WAVES {
        faults.push(("targets", format!("{}: {} waves at a time", stage.name, targets.waves.len())));
    }
    if targets.waves.iter().any(|wave| wave.wave > targets.cut || wave.targets_per_pod > for_each.targets_per_pod) {
        faults.push(("targets", format!("{}: a wave beyond its numbers: {:?}", stage.name, targets.waves)));
    }
}

fn counts_are_the_ledgers(
    truth: &Truth<'_>,
    stage: &StageStatus,
    targets: &TargetsStatus,
    resolved: &ResolvedStage,
    now: &[Target],
    faults: &mut Faults,
) {
    let count = |which: fn(TargetState) -> bool| u32::try_from(now.iter().filter(|target| which(target.state)).count()).unwrap();
    let scores = resolved.judge.iter().flat_map(|judge| {
        let accepted = (0u32..).zip(now).filter(|(_, target)| target.state == TargetState::Succeeded);
        accepted.filter_map(|(index, target)| {
            let scores = truth.verdicts.get(&(stage.name.clone(), target.attempt, index))?;
            Some(overall(judge, scores))
        })
    });
    let lowest = scores.min();
    let told = (targets.running, targets.succeeded, targets.failed, targets.retries);
    let retries: u32 = now.iter().map(|target| target.attempt - 1).sum();
    let right =
        (count(|s| s == TargetState::Running), count(|s| s == TargetState::Succeeded), count(TargetState::is_failed), retries);
    if told != right || targets.lowest.map(|score| u64::from(score.thousandths())) != lowest {
        let told = (told, targets.lowest);
        faults.push(("summary", format!("{}: counts say {told:?}, the ledger {right:?} {lowest:?}", stage.name)));
    }
}

/// Tolerated failures are decided as soon as they are certain, and rightly.
fn decided_in_time(stage: &StageStatus, for_each: &ResolvedForEach, now: &[Target], reason: Option<&str>, faults: &mut Faults) {
    let total = u32::try_from(now.len()).unwrap();
    let failed = u32::try_from(now.iter().filter(|target| target.state.is_failed()).count()).unwrap();
    let ended = now.iter().all(|target| target.state.is_ended());
    let none = total > 0 && failed == total;
    let too_many = failed > for_each.tolerated_failures.of(total) || none;
    let right = match (stage.phase, reason) {
        (StagePhase::Running, _) => !too_many && !ended,
        (StagePhase::Succeeded, _) => ended && !too_many,
        (StagePhase::Failed, Some("TargetsFailed" | "NoTargetSucceeded")) => too_many,
        // The budget of tokens, or a list that is none.
        (StagePhase::Failed, _) => !too_many,
        (StagePhase::Stopped, _) => true,
    };
    if !right {
        let tolerated = for_each.tolerated_failures;
        let told = format!("{failed} of {total} failed, {tolerated} tolerated, {reason:?}");
        faults.push(("targets", format!("{} is {:?} with {told}", stage.name, stage.phase)));
    }
}

/// `0-3,7` in full.
fn indexes(text: &str) -> Vec<u32> {
    let part = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse::<u32>().unwrap()..=last.parse().unwrap()
    };
    text.split(',').filter(|text| !text.is_empty()).flat_map(part).collect()
}
