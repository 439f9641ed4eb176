//! What workers say: on the stream, and with their last words.

use super::track as fixture;
use std::collections::BTreeMap;
use trackway_crds::{
    contracts::{
        Assignment, CONTRACT, Diagnosis, ErrorClass, ListInfo, PodDigest, ResolvedStage, ResultError, ResultMillis, ResultPhase,
        Revision, StageResult, TargetAssignment, TargetDigest, Tokens,
    },
    names::DEBUGGER,
};

/// What a pod is to do, one for each of its targets.
pub fn tasks(told: &Assignment, pod: u32) -> Vec<TargetAssignment> {
    match &told.wave {
        Some(wave) => wave.of_pod(usize::try_from(pod).unwrap()).to_vec(),
        None => vec![TargetAssignment { index: 0, attempt: told.attempt, try_: told.try_ }],
    }
}

/// The pods of a Job.
pub fn pods(told: &Assignment) -> u32 {
    u32::try_from(told.wave.as_ref().map_or(1, trackway_crds::contracts::WaveAssignment::pods)).unwrap()
}

/// A result that says nothing yet.
pub fn blank(told: &Assignment, task: TargetAssignment, pod: &str, phase: ResultPhase) -> StageResult {
    StageResult {
        contract: CONTRACT,
        run: told.run.uid.clone(),
        stage: told.stage.clone(),
        index: task.index,
        attempt: task.attempt,
        try_: task.try_,
        pod: pod.to_owned(),
        phase,
        score: None,
        dimensions: BTreeMap::new(),
        feedback: None,
        input: None,
        output: None,
        record: None,
        gaps: None,
        questions: Vec::new(),
        key: told.wave.is_some().then(|| format!("key-{}", task.index)),
        lists: BTreeMap::new(),
        diagnosis: None,
        tokens: Tokens { input: 100, output: 10, judge_input: 5, judge_output: 1 },
        millis: ResultMillis::default(),
        error: None,
    }
}

pub fn error(class: ErrorClass, reason: &str, message: &str) -> ResultError {
    ResultError { class, reason: reason.into(), message: message.into(), retry_after_millis: None }
}

/// The lists of `stage`'s output that later stages fan out over, with `count` entries each.
pub fn lists(revision: &Revision, stage: &str, count: u32) -> BTreeMap<String, ListInfo> {
    let info = ListInfo { count, keys_sha256: "f".repeat(64) };
    revision.fan_outs_over(stage).map(|for_each| (for_each.field.clone(), info.clone())).collect()
}

pub fn diagnosis() -> Diagnosis {
    Diagnosis {
        root_cause: "the prompt names no reader".into(),
        suggested_fix: "name one".into(),
        continuation_prompt: "Name the reader in insights.md.".into(),
        evidence: Vec::new(),
        dropped_evidence: 1,
        confidence: trackway_crds::Score::from_thousandths(800),
        model: "m".into(),
        full: fixture::reference("diagnosis"),
    }
}

/// A pod's last words as the operator reads them: of a wave, a digest of what was said.
pub fn last_words(told: &Assignment, stage: Option<&ResolvedStage>, pod: &str, said: &[StageResult]) -> Vec<StageResult> {
    if told.wave.is_none() || told.stage == DEBUGGER {
        return said.iter().cloned().map(|said| StageResult { questions: Vec::new(), ..said }).collect();
    }
    let dimensions: Vec<String> = stage
        .and_then(|stage| stage.judge.as_ref())
        .map(|judge| judge.dimensions.iter().map(|dimension| dimension.name.clone()).collect())
        .unwrap_or_default();
    let digest = |result: &StageResult| TargetDigest {
        i: result.index,
        a: result.attempt,
        t: result.try_,
        d: (result.phase == ResultPhase::Judged)
            .then(|| dimensions.iter().map(|name| result.dimensions.get(name).copied().unwrap_or(0)).collect()),
        e: result.error.as_ref().map(|error| error.class),
        r: result.error.as_ref().map(|error| error.reason.chars().take(24).collect()),
        n: result.tokens.total(),
    };
    let targets = said.iter().map(digest).collect();
    let digest = PodDigest { contract: CONTRACT, run: told.run.uid.clone(), stage: told.stage.clone(), pod: pod.into(), targets };
    digest.results(&dimensions)
}
