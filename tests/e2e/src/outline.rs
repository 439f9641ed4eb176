//! What must be the same however often a run was disturbed: phases, attempts, verdicts, scores, output hashes.

use std::collections::BTreeMap;
use trackway_crds::{
    BatchRun, Score,
    status::{AttemptStatus, Phase, StagePhase, StageStatus, Verdict},
};

/// The outline of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    /// Phase of the run.
    pub phase: Option<Phase>,
    /// Its stages in order.
    pub stages: Vec<StageOutline>,
}

/// The outline of a stage.
#[derive(Clone, Debug, PartialEq)]
pub struct StageOutline {
    /// Name.
    pub name: String,
    /// Phase.
    pub phase: StagePhase,
    /// Hash of the accepted output.
    pub output: Option<String>,
    /// Its attempts in order.
    pub attempts: Vec<AttemptOutline>,
    /// The state of its targets, in a fan-out.
    pub targets: Option<String>,
}

/// The outline of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub struct AttemptOutline {
    /// Number.
    pub attempt: u32,
    /// What was decided.
    pub verdict: Option<Verdict>,
    /// Overall score.
    pub score: Option<Score>,
    /// Score of each dimension.
    pub dimensions: BTreeMap<String, Score>,
    /// Hash of its output.
    pub output: Option<String>,
}

impl Outline {
    /// The outline of `run`.
    #[must_use]
    pub fn of(run: &BatchRun) -> Self {
        let status = run.status.clone().unwrap_or_default();
        let attempt = |attempt: AttemptStatus| AttemptOutline {
            attempt: attempt.attempt,
            verdict: attempt.verdict,
            score: attempt.score,
            dimensions: attempt.dimensions,
            output: attempt.output.map(|output| output.sha256),
        };
        let stage = |stage: StageStatus| StageOutline {
            name: stage.name,
            phase: stage.phase,
            output: stage.output.map(|output| output.sha256),
            attempts: stage.attempts.into_iter().map(attempt).collect(),
            targets: stage.targets.map(|targets| targets.ledger),
        };
        Self { phase: status.phase, stages: status.stages.into_iter().map(stage).collect() }
    }
}
