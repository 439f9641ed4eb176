//! A random track: few or many stages, some of them over a list, judged or not, with small or large budgets, with or without a
//! debugger.

use super::{super::track as fixture, rng::Rng};
use trackway_crds::{
    Tolerance,
    contracts::{ResolvedDebugger, ResolvedForEach, ResolvedStage, ResolvedWork, Revision},
    track::{OnMissing, OnTimeout},
};

pub fn random(rng: &mut Rng) -> Revision {
    let count = if rng.chance(5) { 12 } else { rng.index(1, 4) };
    let mut stages: Vec<ResolvedStage> = (0..count).map(|n| stage(rng, n)).collect();
    if count > 1 && rng.chance(60) {
        let at = rng.index(1, count - 1);
        let source = format!("stage-{}", rng.index(0, at - 1));
        if matches!(stages[at].work, ResolvedWork::Generate { .. }) {
            stages[at].for_each = Some(for_each(rng, source));
        }
    }
    let mut revision = fixture::revision(stages);
    revision.limits.start_timeout_millis = 60_000;
    revision.limits.active_deadline_millis = if rng.chance(10) { 60_000 } else { 3_600_000 };
    revision.limits.tokens = rng.chance(8).then(|| u64::try_from(rng.between(50, 6_000)).unwrap());
    if rng.chance(40) {
        let timeout_millis = if rng.chance(30) { 5_000 } else { 120_000 };
        revision.debugger = Some(ResolvedDebugger { model: fixture::model("critic"), timeout_millis });
    }
    revision
}

fn for_each(rng: &mut Rng, stage: String) -> ResolvedForEach {
    let number = |rng: &mut Rng, most: i64| u32::try_from(rng.between(1, most)).unwrap();
    let tolerated_failures = match rng.between(0, 3) {
        0 => Tolerance::Count(0),
        1 => Tolerance::Count(number(rng, 5)),
        2 => Tolerance::Percent(number(rng, 100)),
        _ => Tolerance::Percent(100),
    };
    let max_concurrency = if rng.chance(20) { number(rng, 4) } else { number(rng, 60) };
    let targets_per_pod = if rng.chance(30) { 1 } else { number(rng, 12) };
    ResolvedForEach { stage, field: "targets".into(), key: "id".into(), max_concurrency, targets_per_pod, tolerated_failures }
}

/// How many entries the lists have: none, a few, or many.
pub fn listed(rng: &mut Rng) -> u32 {
    let most = [0, 1, 6, 12, 25, 60][rng.index(0, 5)];
    u32::try_from(rng.between(0, most)).unwrap()
}

fn stage(rng: &mut Rng, n: usize) -> ResolvedStage {
    let mut stage = fixture::stage(&format!("stage-{n}"));
    let small = |rng: &mut Rng| u32::try_from(rng.between(1, 6)).unwrap();
    stage.retry.quality_max_attempts = if rng.chance(10) { 10 } else { small(rng) };
    stage.retry.infrastructure_max_tries = small(rng);
    stage.retry.model_max_tries = small(rng);
    stage.retry.judge_max_tries = small(rng);
    stage.timeout_millis = 60_000;
    if n == 0 && rng.chance(30) {
        stage.work = match rng.between(0, 4) {
            0 => fixture::validates(OnMissing::Fail),
            1 => fixture::validates(OnMissing::Proceed),
            _ => asks(rng),
        };
        // Nearly always it is what it says; a judged one may be asked and retried in turns.
        if rng.chance(75) {
            stage.judge = None;
        }
    } else if rng.chance(15) {
        stage.judge = None;
    } else if let Some(judge) = &mut stage.judge
        && rng.chance(40)
    {
        judge.dimensions.push(fixture::dimension("safety", 1, 600));
    }
    stage
}

/// Waits for answers between seconds and ten minutes.
fn asks(rng: &mut Rng) -> ResolvedWork {
    let within = u64::try_from(rng.between(5, 600)).unwrap() * 1_000;
    fixture::asks(within, if rng.chance(50) { OnTimeout::Fail } else { OnTimeout::Proceed })
}
