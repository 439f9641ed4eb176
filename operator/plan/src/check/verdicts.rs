//! Invariant 2: a judged stage advances only on a verdict; a fan-out only when each of its targets has one or its failure is tolerated.

use super::{Fault, Faults};
use trackway_crds::{
    contracts::{ResolvedForEach, ResolvedJudge, ResolvedStage, Revision},
    ledger::{Ledger, Target, TargetState},
    status::{BatchRunStatus, StagePhase, StageStatus, TargetsStatus, Verdict},
};

/// Invariant 2 of `status`.
#[must_use]
pub fn inv02_advanced_on_a_verdict(status: &BatchRunStatus, revision: &Revision) -> Vec<Fault> {
    let mut faults = Faults::default();
    for stage in status.stages.iter().filter(|stage| stage.phase == StagePhase::Succeeded) {
        let Some(resolved) = revision.stage(&stage.name) else { continue };
        match (&resolved.for_each, &stage.targets) {
            (Some(for_each), Some(targets)) => fan_out(&mut faults, stage, resolved, for_each, targets),
            (Some(_), None) | (None, Some(_)) => {
                faults.unless(2, false, || format!("{}: a fan-out has targets, and nothing else has", stage.name));
            }
            (None, None) => plain(&mut faults, stage, resolved.judge.as_ref()),
        }
    }
    faults.0
}

fn plain(faults: &mut Faults, stage: &StageStatus, judge: Option<&ResolvedJudge>) {
    let Some(judge) = judge else { return };
    let good = stage.attempts.last().is_some_and(|last| {
        let minimums = judge.dimensions.iter().all(|dimension| {
            // Shedding may have dropped the dimensions of an attempt that was checked when it was recorded.
            last.dimensions.is_empty() || last.dimensions.get(&dimension.name).is_some_and(|score| *score >= dimension.minimum)
        });
        last.verdict == Some(Verdict::Advance) && last.score.is_some_and(|score| score >= judge.threshold) && minimums
    });
    faults.unless(2, good, || format!("{} advanced without a verdict at or above its threshold", stage.name));
}

fn fan_out(
    faults: &mut Faults,
    stage: &StageStatus,
    resolved: &ResolvedStage,
    for_each: &ResolvedForEach,
    targets: &TargetsStatus,
) {
    let name = &stage.name;
    let Ok(ledger) = Ledger::decode(&targets.ledger) else {
        return faults.unless(2, false, || format!("{name} advanced with a ledger that cannot be read"));
    };
    let total = u32::try_from(ledger.0.len()).unwrap_or(u32::MAX);
    faults.unless(2, ledger.count(TargetState::is_ended) == total, || format!("{name} advanced before all targets had ended"));
    let failed = ledger.count(TargetState::is_failed);
    let tolerated = for_each.tolerated_failures.of(total);
    faults.unless(2, failed <= tolerated, || format!("{name} advanced with {failed} failed targets, {tolerated} are tolerated"));
    faults.unless(2, total == 0 || failed < total, || format!("{name} advanced although no target succeeded"));
    let Some(judge) = &resolved.judge else { return };
    // The ledger has hundredths, rounded down.
    let floor = judge.threshold.thousandths() / 10;
    let good = |target: &Target| target.best.is_some_and(|best| u16::from(best) >= floor);
    let bad = ledger.0.iter().position(|target| target.state == TargetState::Succeeded && !good(target));
    faults.unless(2, bad.is_none(), || format!("{name}: target {bad:?} was accepted below the threshold"));
    let lowest = targets.lowest.is_none_or(|lowest| lowest >= judge.threshold);
    faults.unless(2, lowest, || format!("{name}: a target was accepted with {:?}", targets.lowest));
}
