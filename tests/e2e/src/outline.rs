//! What must be the same however often a run was disturbed: phases, attempts, verdicts, scores, output hashes.

use trackway_crds::{
    BatchRun, Score,
    status::{Phase, StagePhase, Verdict},
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
    /// Attempts: number, verdict, score and output's hash.
    pub attempts: Vec<(u32, Option<Verdict>, Option<Score>, Option<String>)>,
}

impl Outline {
    /// The outline of `run`.
    #[must_use]
    pub fn of(run: &BatchRun) -> Self {
        let status = run.status.clone().unwrap_or_default();
        let stage = |stage: trackway_crds::status::StageStatus| StageOutline {
            name: stage.name,
            phase: stage.phase,
            output: stage.output.map(|output| output.sha256),
            attempts: stage
                .attempts
                .into_iter()
                .map(|attempt| (attempt.attempt, attempt.verdict, attempt.score, attempt.output.map(|output| output.sha256)))
                .collect(),
        };
        Self { phase: status.phase, stages: status.stages.into_iter().map(stage).collect() }
    }
}
