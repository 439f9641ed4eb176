//! Invariants 3 and 5: numbers only grow, budgets are not given back, and what has ended does not change.

use super::{Fault, Faults};
use trackway_crds::status::{BatchRunStatus, StagePhase, StageStatus};

/// Invariants 3 and 5 of the stages between two statuses; `tries` is how many tries may have ended between them.
#[must_use]
pub fn inv03_numbers_only_grow(before: &BatchRunStatus, after: &BatchRunStatus, tries: u32) -> Vec<Fault> {
    let mut faults = Faults::default();
    faults.unless(3, after.stages.len() >= before.stages.len(), || "a stage vanished".into());
    for (old, new) in before.stages.iter().zip(&after.stages) {
        faults.unless(3, old.name == new.name, || format!("stage {} became {}", old.name, new.name));
        let used = [
            (old.used.quality, new.used.quality),
            (old.used.infrastructure, new.used.infrastructure),
            (old.used.model, new.used.model),
            (old.used.judge, new.used.judge),
        ];
        faults.unless(3, used.iter().all(|(old, new)| new >= old), || format!("{}: a budget was given back", new.name));
        let spent: u32 = used.iter().map(|(old, new)| new.saturating_sub(*old)).sum();
        // Targets have budgets of their own, and many may end at once.
        faults.unless(3, new.targets.is_some() || spent <= tries, || {
            format!("{}: {tries} ended tries used up {spent} budgets", new.name)
        });
        faults.unless(3, last_number(new) >= last_number(old), || format!("{}: an attempt or try number fell", new.name));
        faults.unless(5, old.phase == StagePhase::Running || old == new, || format!("{}: an ended stage changed", new.name));
    }
    if let Some((old, new)) = before.catch.as_ref().zip(after.catch.as_ref()) {
        faults.unless(3, new.try_ >= old.try_ && new.tokens >= old.tokens, || "the debugger's numbers fell".into());
    }
    faults.0
}

fn last_number(stage: &StageStatus) -> (u32, u32) {
    stage.attempts.last().map_or((0, 0), |last| (last.attempt, last.try_))
}
