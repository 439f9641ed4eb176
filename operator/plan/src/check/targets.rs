//! The account of a fan-out's targets: the list is frozen, numbers only grow, counters and waves say what the ledger says.

use super::{Fault, Faults};
use crate::fan_out::wave_targets;
use std::collections::BTreeSet;
use trackway_crds::{
    contracts::Revision,
    ledger::{Ledger, MAX_TARGETS, Target, TargetState},
    status::{BatchRunStatus, StagePhase, TargetsStatus},
};

/// Most waves in work, as the schema has it.
const MAX_WAVES: usize = 8;

/// Invariants 3, 5 and 7 of every fan-out's targets between two statuses.
#[must_use]
pub fn inv03_targets_keep_their_account(before: &BatchRunStatus, after: &BatchRunStatus) -> Vec<Fault> {
    let mut faults = Faults::default();
    for (index, stage) in after.stages.iter().enumerate() {
        let Some(targets) = &stage.targets else { continue };
        let Ok(ledger) = Ledger::decode(&targets.ledger) else {
            faults.unless(3, false, || format!("{}: the ledger cannot be read", stage.name));
            continue;
        };
        counters(&mut faults, &stage.name, targets, &ledger);
        if stage.phase == StagePhase::Running {
            waves(&mut faults, &stage.name, targets, &ledger);
        }
        let old = before.stages.get(index).and_then(|stage| stage.targets.as_ref());
        if let Some(old) = old.and_then(|old| Ledger::decode(&old.ledger).ok()) {
            frozen(&mut faults, &stage.name, &old, &ledger);
        }
    }
    faults.0
}

/// The bounds that a Track sets to its fan-outs.
pub(super) fn inv04_fan_outs_keep_their_bounds(after: &BatchRunStatus, revision: &Revision) -> Vec<Fault> {
    let mut faults = Faults::default();
    for stage in &after.stages {
        let for_each = revision.stage(&stage.name).and_then(|stage| stage.for_each.as_ref());
        let Some((targets, for_each)) = stage.targets.as_ref().zip(for_each) else { continue };
        let max = for_each.max_concurrency;
        faults
            .unless(4, targets.running <= max, || format!("{}: {} targets run, at most {max} may", stage.name, targets.running));
        faults.unless(4, targets.waves.len() <= MAX_WAVES, || format!("{}: {} waves", stage.name, targets.waves.len()));
        let source = after.stages.iter().find(|source| source.name == for_each.stage);
        let count = source.and_then(|source| source.lists.get(&for_each.field)).map_or(0, |list| list.count);
        faults.unless(3, targets.total == count, || {
            format!("{}: {} targets of a list of {count} entries", stage.name, targets.total)
        });
    }
    faults.0
}

fn counters(faults: &mut Faults, name: &str, targets: &TargetsStatus, ledger: &Ledger) {
    let of = |state: TargetState| ledger.count(|known| known == state);
    let told = (targets.total, targets.running, targets.succeeded, targets.failed, targets.retries);
    let right = (
        u32::try_from(ledger.0.len()).unwrap_or(u32::MAX),
        of(TargetState::Running),
        of(TargetState::Succeeded),
        ledger.count(TargetState::is_failed),
        ledger.0.iter().map(|target| target.attempt.saturating_sub(1)).sum(),
    );
    faults.unless(3, told == right, || format!("{name}: counters say {told:?}, the ledger says {right:?}"));
}

/// Every running target is with a wave, and every wave has one that runs.
fn waves(faults: &mut Faults, name: &str, targets: &TargetsStatus, ledger: &Ledger) {
    let runs = |index: &u32| {
        let target = usize::try_from(*index).ok().and_then(|index| ledger.0.get(index));
        target.is_some_and(|target| target.state == TargetState::Running)
    };
    let mut with_a_wave = BTreeSet::new();
    for wave in targets.waves.iter().rev() {
        let Some(indices) = wave_targets(&wave.targets, MAX_TARGETS) else {
            faults.unless(7, false, || format!("{name}: the targets of wave {} cannot be read", wave.wave));
            continue;
        };
        // A target that went on to a later wave is that one's.
        let mine = indices.into_iter().filter(|index| runs(index) && with_a_wave.insert(*index)).count();
        faults.unless(7, mine > 0, || format!("{name}: wave {} has nothing to wait for", wave.wave));
    }
    let lost = (0..).zip(&ledger.0).find(|(index, target)| target.state == TargetState::Running && !with_a_wave.contains(index));
    faults.unless(7, lost.is_none(), || format!("{name}: target {lost:?} runs in no wave"));
}

fn frozen(faults: &mut Faults, name: &str, old: &Ledger, new: &Ledger) {
    faults.unless(3, old.0.len() == new.0.len(), || format!("{name}: {} targets became {}", old.0.len(), new.0.len()));
    for (index, (old, new)) in old.0.iter().zip(&new.0).enumerate() {
        faults.unless(5, !old.state.is_ended() || old == new, || format!("{name}: target {index} changed after its end"));
        let numbers = |target: &Target| [target.attempt, target.infrastructure, target.model, target.judge];
        let grew = numbers(old).iter().zip(numbers(new)).all(|(old, new)| new >= *old);
        faults.unless(3, grew, || format!("{name}: a number of target {index} fell: {old:?} became {new:?}"));
        faults.unless(3, new.best >= old.best, || format!("{name}: the best score of target {index} fell"));
    }
}
