//! A random track: few or many stages, judged or not, with small or large budgets.

use super::{super::track as fixture, rng::Rng};
use trackway_crds::{
    contracts::{ResolvedStage, ResolvedWork, Revision},
    track::OnMissing,
};

pub fn random(rng: &mut Rng) -> Revision {
    let count = if rng.chance(5) { 12 } else { rng.index(1, 4) };
    let mut revision = fixture::revision((0..count).map(|n| stage(rng, n)).collect());
    revision.limits.start_timeout_millis = 60_000;
    revision.limits.active_deadline_millis = if rng.chance(10) { 60_000 } else { 3_600_000 };
    revision
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
        let on_missing = if rng.chance(50) { OnMissing::Fail } else { OnMissing::Proceed };
        stage.work =
            ResolvedWork::ValidateContext { model: Box::new(fixture::model("writer")), prompt: "context.md".into(), on_missing };
        stage.judge = None;
    } else if rng.chance(15) {
        stage.judge = None;
    } else if let Some(judge) = &mut stage.judge
        && rng.chance(40)
    {
        judge.dimensions.push(fixture::dimension("safety", 1, 600));
    }
    stage
}
