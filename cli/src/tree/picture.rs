//! What the picture of a run shows, as data: the same for people and scripts.

use super::{found::Found, notes, targets::TargetsPicture};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use trackway_crds::{
    BatchRun, Score,
    contracts::{Diagnosis, ListInfo, ResolvedStage, ResolvedWork, Revision},
    status::{self, AttemptStatus, Failure, Phase, StageMillis, StageStatus, TryError, Used, Verdict},
};

/// What a picture is made from.
#[derive(Clone, Copy, Debug)]
pub struct TreeInput<'a> {
    /// The run.
    pub run: &'a BatchRun,
    /// What it executes, once it has pinned that: stages to come, budgets, thresholds.
    pub revision: Option<&'a Revision>,
    /// What a pending run waits for, where that is known better than from its status.
    pub waiting: Option<&'a str>,
    /// What the payload store tells beyond the status, where it was asked.
    pub found: Option<&'a Found>,
    /// The moment the picture shows.
    pub now: Timestamp,
}

/// A run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Picture {
    /// Its name.
    pub run: String,
    /// Where it stands.
    pub phase: Phase,
    /// From its first stage's begin to its end, or until now.
    pub millis: Option<u64>,
    /// Whether it has ended.
    pub finished: bool,
    /// Whose events.
    pub tenant: String,
    /// How urgent.
    pub priority: String,
    /// How many events.
    pub events: u32,
    /// What it executes.
    pub revision: Option<String>,
    /// Tokens of all stages.
    pub tokens: u64,
    /// What it waits for, when it does nothing.
    pub waiting: Option<String>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// What the debugger found out.
    pub diagnosis: Option<Diagnosis>,
    /// Why there is no diagnosis of a failed run.
    pub undiagnosed: Option<String>,
    /// Where the time of all stages went.
    pub timing: StageMillis,
    /// From the failure to the end of the debugger's work, or until now.
    pub debugger_millis: Option<u64>,
    /// Every stage, those to come included.
    pub stages: Vec<StagePicture>,
}

/// A stage.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StagePicture {
    /// Its name.
    pub name: String,
    /// What kind of work it is; `None` when the revision is out of reach.
    pub kind: Option<WorkKind>,
    /// Where it stands.
    pub phase: StagePhase,
    /// From its begin to its end, or until now.
    pub millis: Option<u64>,
    /// The score it was accepted with; of a failed stage its best, of a running one its last, of a fan-out its lowest accepted.
    pub score: Option<Score>,
    /// The mean it must reach; `None` without a judge.
    pub threshold: Option<Score>,
    /// Attempts on record: best, previous, last. Empty in a fan-out.
    pub attempts: Vec<AttemptPicture>,
    /// Attempts it may use.
    pub max_attempts: Option<u32>,
    /// Where its time went.
    pub timing: Option<StageMillis>,
    /// What of each budget is used up.
    pub used: Option<Used>,
    /// The lists of its output that later stages fan out over, by field.
    pub lists: BTreeMap<String, ListInfo>,
    /// Its targets, in a fan-out that has begun.
    pub targets: Option<TargetsPicture>,
    /// What there is to say, for people.
    pub note: String,
}

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum WorkKind {
    /// Checks whether the batch says enough.
    ValidateContext,
    /// Has a model write.
    Generate,
    /// Runs a program of the user's.
    Container,
    /// Sends notices.
    Broadcast,
}

impl WorkKind {
    fn of(work: &ResolvedWork) -> Self {
        match work {
            ResolvedWork::ValidateContext { .. } => Self::ValidateContext,
            ResolvedWork::Generate { .. } => Self::Generate,
            ResolvedWork::Container { .. } => Self::Container,
            ResolvedWork::Broadcast { .. } => Self::Broadcast,
        }
    }
}

/// Where a stage stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum StagePhase {
    /// Not begun.
    Pending,
    /// In work.
    Running,
    /// Accepted.
    Succeeded,
    /// At the end of a budget, or of what trying again could mend.
    Failed,
    /// Cut off by the run's end.
    Stopped,
}

/// An attempt.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttemptPicture {
    /// From 1.
    pub attempt: u32,
    /// Try, from 1.
    #[serde(rename = "try")]
    pub try_: u32,
    /// From its record to its result.
    pub millis: Option<u64>,
    /// Weighted mean.
    pub score: Option<Score>,
    /// Each dimension.
    pub dimensions: BTreeMap<String, Score>,
    /// What was decided.
    pub verdict: Option<Verdict>,
    /// The judge's words, cut.
    pub feedback: Option<String>,
    /// Why the last try brought no verdict.
    pub error: Option<TryError>,
}

impl Picture {
    /// The picture of a run.
    #[must_use]
    pub fn of(input: &TreeInput<'_>) -> Self {
        let run = input.run;
        let status = run.status.clone().unwrap_or_default();
        let phase = status.phase.unwrap_or(Phase::Pending);
        let end = status.completed_at.as_ref().map_or(input.now, |at| at.0);
        Self {
            run: run.metadata.name.clone().unwrap_or_default(),
            phase,
            millis: status.started_at.as_ref().map(|start| millis_between(start.0, end)),
            finished: phase.is_finished(),
            tenant: run.spec.batch.tenant.clone(),
            priority: run.spec.batch.priority.as_str().to_owned(),
            events: run.spec.batch.events,
            revision: status.revision.clone(),
            tokens: status
                .stages
                .iter()
                .map(|stage| stage.used.tokens)
                .chain(status.catch.iter().map(|catch| catch.tokens))
                .sum(),
            waiting: notes::waiting(&status, phase, input),
            failure: status.failure.clone(),
            diagnosis: status.diagnosis.clone(),
            undiagnosed: notes::undiagnosed(&status, phase),
            timing: status.stages.iter().fold(StageMillis::default(), |sum, stage| add(&sum, &stage.millis)),
            debugger_millis: status.catch.as_ref().map(|catch| millis_between(catch.started_at.0, end)),
            stages: stages(&status.stages, input, end),
        }
    }
}

fn stages(begun: &[StageStatus], input: &TreeInput<'_>, end: Timestamp) -> Vec<StagePicture> {
    let resolved = |name: &str| input.revision.and_then(|revision| revision.stage(name));
    let mut pictures: Vec<_> = begun.iter().map(|stage| stage_picture(stage, resolved(&stage.name), input, end)).collect();
    let all = input.revision.map(|revision| revision.stages.as_slice()).unwrap_or_default();
    let to_come = all.iter().filter(|stage| !begun.iter().any(|known| known.name == stage.name));
    pictures.extend(to_come.map(|stage| future_stage(stage, begun)));
    pictures
}

fn future_stage(stage: &ResolvedStage, begun: &[StageStatus]) -> StagePicture {
    StagePicture {
        name: stage.name.clone(),
        kind: Some(WorkKind::of(&stage.work)),
        phase: StagePhase::Pending,
        millis: None,
        score: None,
        threshold: stage.judge.as_ref().map(|judge| judge.threshold),
        attempts: Vec::new(),
        max_attempts: Some(stage.retry.quality_max_attempts),
        timing: None,
        used: None,
        lists: BTreeMap::new(),
        targets: None,
        note: notes::future(stage, begun),
    }
}

fn stage_picture(stage: &StageStatus, resolved: Option<&ResolvedStage>, input: &TreeInput<'_>, end: Timestamp) -> StagePicture {
    let until = stage.completed_at.as_ref().map_or(end, |at| at.0);
    let mut scores = stage.attempts.iter().filter_map(|attempt| attempt.score);
    let phase = match stage.phase {
        status::StagePhase::Running => StagePhase::Running,
        status::StagePhase::Succeeded => StagePhase::Succeeded,
        status::StagePhase::Failed => StagePhase::Failed,
        status::StagePhase::Stopped => StagePhase::Stopped,
    };
    let targets = TargetsPicture::of(stage, resolved, input.found);
    let score = match &stage.targets {
        Some(targets) => targets.lowest,
        None if phase == StagePhase::Failed => scores.max(),
        None => scores.next_back(),
    };
    StagePicture {
        name: stage.name.clone(),
        kind: resolved.map(|stage| WorkKind::of(&stage.work)),
        phase,
        millis: Some(millis_between(stage.started_at.0, until)),
        score,
        threshold: resolved.and_then(|stage| stage.judge.as_ref()).map(|judge| judge.threshold),
        attempts: stage.attempts.iter().map(attempt_picture).collect(),
        max_attempts: resolved.map(|stage| stage.retry.quality_max_attempts),
        timing: Some(stage.millis.clone()),
        used: Some(stage.used.clone()),
        lists: stage.lists.clone(),
        note: notes::stage(stage, resolved, targets.as_ref(), input),
        targets,
    }
}

fn attempt_picture(attempt: &AttemptStatus) -> AttemptPicture {
    AttemptPicture {
        attempt: attempt.attempt,
        try_: attempt.try_,
        millis: attempt.millis,
        score: attempt.score,
        dimensions: attempt.dimensions.clone(),
        verdict: attempt.verdict,
        feedback: attempt.feedback.clone(),
        error: attempt.error.clone(),
    }
}

fn add(a: &StageMillis, b: &StageMillis) -> StageMillis {
    StageMillis {
        queued: a.queued + b.queued,
        pod_start: a.pod_start + b.pod_start,
        generate: a.generate + b.generate,
        judge: a.judge + b.judge,
        operator: a.operator + b.operator,
        paused: a.paused + b.paused,
        waiting: a.waiting + b.waiting,
    }
}

/// Milliseconds from `from` to `to`; 0 when clocks disagree.
pub(crate) fn millis_between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_millisecond() - from.as_millisecond()).unwrap_or(0)
}
