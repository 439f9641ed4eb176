//! Invariant 4: how large a status can get, and what goes first should it get too large.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]

#[path = "common/stories.rs"]
mod common;

use common::{
    cluster::Cluster,
    commands::tell,
    track::{birth, reference},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use trackway_crds::{
    BatchRunStatus, Score,
    contracts::{
        CONTRACT, Diagnosis, ErrorClass, Evidence, ListInfo, MAX_EVIDENCE, ResultMillis, ResultPhase, StageResult, Tokens,
    },
    ledger::{Ledger, MAX_TARGETS},
    names::DEBUGGER,
    status::{
        AttemptStatus, CatchStatus, Failure, MAX_FEEDBACK_BYTES, MAX_MESSAGE_BYTES, MAX_STATUS_BYTES, Phase, StageMillis,
        StagePhase, StageStatus, Summary, TargetError, TargetsStatus, TryError, Used, Verdict, WaveStatus, WorstTarget,
    },
};
use trackway_plan::{ArrivedResult, plan, stored_bytes, wave_text};

/// More milliseconds than a run can last, more tokens than it can use: 16 digits.
const MANY: u64 = 9_999_999_999_999_999;
const ONE_STAGE: &str = "stage insights\ncreate run\n+1s pod starts";
const STAGES: usize = 12;
const ATTEMPTS: u32 = 3;
const DIMENSIONS: usize = 8;
const NAME: usize = 24;

fn moment() -> MicroTime {
    MicroTime("2026-11-22T15:00:00.123456Z".parse().unwrap())
}

fn long(first: impl std::fmt::Display, bytes: usize) -> String {
    format!("{first:x<bytes$}", first = first.to_string())
}

fn attempt(attempt: u32) -> AttemptStatus {
    AttemptStatus {
        attempt,
        try_: 30,
        job_uid: Some("u".repeat(36)),
        started_at: moment(),
        millis: Some(MANY),
        score: Some(Score::from_thousandths(999)),
        dimensions: (0..DIMENSIONS).map(|n| (long(n, NAME), Score::from_thousandths(999))).collect(),
        feedback: Some("f".repeat(MAX_FEEDBACK_BYTES)),
        verdict: Some(Verdict::Advance),
        error: Some(TryError {
            class: ErrorClass::Infrastructure,
            reason: "R".repeat(64),
            message: "m".repeat(MAX_MESSAGE_BYTES),
        }),
        tokens: Some(Tokens { input: MANY, output: MANY, judge_input: MANY, judge_output: MANY }),
        output: Some(reference("output")),
        record: Some(reference("record")),
    }
}

fn stage(n: usize) -> StageStatus {
    StageStatus {
        name: long(n, NAME),
        phase: StagePhase::Succeeded,
        started_at: moment(),
        completed_at: Some(moment()),
        millis: StageMillis {
            queued: MANY,
            pod_start: MANY,
            generate: MANY,
            judge: MANY,
            operator: MANY,
            paused: MANY,
            waiting: MANY,
        },
        input: Some(reference("input")),
        output: Some(reference("output")),
        used: Used { quality: 10, infrastructure: 30, model: 30, judge: 30, tokens: MANY },
        not_before: Some(moment()),
        attempts: (8..8 + ATTEMPTS).map(attempt).collect(),
        lists: Default::default(),
        targets: None,
        questionnaire: None,
    }
}

/// Every list full and every text at its longest.
fn largest() -> BatchRunStatus {
    let condition = |type_: &str| Condition {
        type_: type_.into(),
        status: "False".into(),
        reason: "R".repeat(64),
        message: "m".repeat(MAX_MESSAGE_BYTES),
        observed_generation: Some(i64::MAX),
        last_transition_time: Time(birth()),
    };
    BatchRunStatus {
        observed_generation: i64::MAX,
        revision: Some("r".repeat(63)),
        phase: Some(Phase::Succeeded),
        summary: Some(Summary {
            stage: "s".repeat(NAME),
            progress: "12/12".into(),
            score: Some(Score::from_thousandths(999)),
            retries: 108,
            duration: Some("167h59m".into()),
        }),
        conditions: ["Reconciling", "Ready", "Suspended", "Complete", "Failed", "Stalled"].map(condition).to_vec(),
        started_at: Some(moment()),
        completed_at: Some(moment()),
        deadline_at: Some(MicroTime("2026-11-22T17:00:00.123456Z".parse().unwrap())),
        active_millis: MANY,
        stages: (0..STAGES).map(stage).collect(),
        failure: Some(Failure {
            stage: Some("s".repeat(NAME)),
            target: None,
            class: ErrorClass::Infrastructure,
            reason: "R".repeat(64),
            message: "m".repeat(MAX_MESSAGE_BYTES),
            at: moment(),
        }),
        catch: None,
        diagnosis: None,
    }
}

/// Every list full and every text at its longest: larger than the bound, by the errors of tries that a verdict followed. What is
/// written while the run goes on leaves room for its end, and nothing but those errors is dropped.
#[test]
fn inv04_the_largest_status_is_written_under_the_bound() {
    let mut story = tell(ONE_STAGE);
    let mut version = story.cluster().run().clone();
    version.status = BatchRunStatus { phase: Some(Phase::Running), completed_at: None, failure: None, ..largest() };
    let last = version.status.stages.last_mut().unwrap();
    (last.phase, last.completed_at) = (StagePhase::Running, None);
    let open = last.attempts.last_mut().unwrap();
    (open.verdict, open.job_uid) = (None, Some("job-1".into()));
    let active_deadline = version.status.deadline_at.clone().unwrap().0;
    let mut bytes = vec![stored_bytes(&largest())];
    for now in [story.now, active_deadline] {
        let observed = story.observe(None);
        let planned = plan(&Cluster::plan_run(&version), &version.status, &observed, now);
        version.status = planned.status.expect("something changes");
        bytes.push(stored_bytes(&version.status));
        let attempts: Vec<_> = version.status.stages.iter().flat_map(|stage| &stage.attempts).collect();
        assert!(attempts.iter().all(|attempt| attempt.dimensions.len() == DIMENSIONS && attempt.feedback.is_some()));
    }
    println!("largest status: {} bytes, written {}, at its end {}, of {MAX_STATUS_BYTES}", bytes[0], bytes[1], bytes[2]);
    assert_eq!(version.status.phase, Some(Phase::Failed));
    assert!(bytes[1] <= MAX_STATUS_BYTES - 2_048 && bytes[2] <= MAX_STATUS_BYTES, "{bytes:?}");
}

/// A fan-out over as many targets as there may be, in `waves` waves that nothing shortens.
fn fan_out(n: usize, waves: usize) -> StageStatus {
    let scattered: Vec<u32> = (0..256).map(|n| 488 + 2 * n).collect();
    let wave = |wave: usize| WaveStatus {
        wave: 4_000 + u32::try_from(wave).unwrap(),
        try_: 9,
        job_uid: "u".repeat(36),
        targets: wave_text(&scattered),
        targets_per_pod: 32,
        started_at: moment(),
    };
    let worst = |index| WorstTarget {
        index,
        key: "k".repeat(64),
        attempt: 10,
        score: Some(Score::from_thousandths(999)),
        error: Some(TargetError { class: ErrorClass::Infrastructure, reason: "R".repeat(64), message: "m".repeat(96) }),
    };
    let targets = TargetsStatus {
        total: 1000,
        running: 256,
        succeeded: 1000,
        failed: 1000,
        retries: 14_000,
        lowest: Some(Score::from_thousandths(999)),
        ledger: Ledger::new(MAX_TARGETS).encode(),
        cut: 4_100,
        due_since: Some(moment()),
        updated_at: moment(),
        accounted_until: moment(),
        waves: (0..waves).map(wave).collect(),
        worst: (995..1000).map(worst).collect(),
    };
    StageStatus { attempts: Vec::new(), input: None, output: None, targets: Some(targets), ..stage(n) }
}

fn largest_diagnosis() -> Diagnosis {
    let evidence = || Evidence { piece: "p".repeat(64), sha256: "f".repeat(64), bytes: 4 << 20 };
    Diagnosis {
        root_cause: "r".repeat(2_000),
        suggested_fix: "f".repeat(2_000),
        continuation_prompt: "c".repeat(9_000),
        evidence: (0..9).map(|_| evidence()).collect(),
        dropped_evidence: 9,
        confidence: Score::from_thousandths(999),
        model: "m".repeat(999),
        full: reference("diagnosis"),
    }
}

/// Two fan-outs over 1,000 targets, one of which has failed with eight waves as scattered as can be, and a debugger that answered
/// at length: the last write is under the bound, with every ledger, counter, condition and the failure as they were.
#[test]
fn inv04_two_fan_outs_and_a_diagnosis_are_written_under_the_bound() {
    let mut story = tell(ONE_STAGE);
    let mut version = story.cluster().run().clone();
    let error = TryError { class: ErrorClass::Infrastructure, reason: "R".repeat(64), message: "m".repeat(MAX_MESSAGE_BYTES) };
    let mut before = BatchRunStatus { phase: Some(Phase::Diagnosing), completed_at: None, ..largest() };
    before.catch = Some(CatchStatus {
        started_at: moment(),
        deadline_at: MicroTime("2026-11-22T15:30:00.123456Z".parse().unwrap()),
        try_: 1,
        job_uid: Some("job-1".into()),
        try_started_at: Some(moment()),
        not_before: Some(moment()),
        error: Some(error),
        tokens: MANY - 1_200,
    });
    before.stages = (0..STAGES - 2).map(stage).chain([fan_out(10, 0), fan_out(11, 8)]).collect();
    before.stages.last_mut().unwrap().phase = StagePhase::Failed;
    let lists = |field: &str| (field.repeat(64), ListInfo { count: 1000, keys_sha256: "f".repeat(64) });
    before.stages[0].lists = [lists("a"), lists("b")].into();
    version.status = before.clone();
    let mut observed = story.observe(None);
    let result = diagnosis_result(largest_diagnosis());
    observed.results = vec![ArrivedResult { result, arrived_at: story.now }];
    let planned = plan(&Cluster::plan_run(&version), &version.status, &observed, story.now);
    let after = planned.status.expect("the diagnosis is recorded");
    let (full, written) = (stored_bytes(&before), stored_bytes(&after));
    println!("two fan-outs: {full} bytes before, {written} written with a diagnosis, of {MAX_STATUS_BYTES}");
    assert_eq!(after.phase, Some(Phase::Failed));
    assert!(written <= MAX_STATUS_BYTES, "{written}");
    let diagnosis = after.diagnosis.expect("it is kept");
    assert!(diagnosis.evidence.len() == MAX_EVIDENCE && !diagnosis.continuation_prompt.is_empty());
    assert_eq!((after.failure, after.conditions.len()), (before.failure, before.conditions.len() + 1));
    let kept = |stages: &[StageStatus]| -> Vec<_> {
        let targets = |stage: &StageStatus| {
            let targets = stage.targets.as_ref()?;
            Some((targets.ledger.clone(), targets.waves.clone(), targets.worst.first()?.clone()))
        };
        stages.iter().map(|stage| (stage.used.clone(), stage.millis.clone(), targets(stage))).collect()
    };
    assert_eq!(kept(&after.stages), kept(&before.stages));
}

fn diagnosis_result(diagnosis: Diagnosis) -> StageResult {
    StageResult {
        contract: CONTRACT,
        run: common::track::RUN_UID.into(),
        stage: DEBUGGER.into(),
        index: 0,
        attempt: 1,
        try_: 1,
        pod: "pod-1".into(),
        phase: ResultPhase::Done,
        score: None,
        dimensions: Default::default(),
        feedback: None,
        input: None,
        output: None,
        record: None,
        gaps: None,
        questions: Vec::new(),
        key: None,
        lists: Default::default(),
        diagnosis: Some(diagnosis),
        tokens: Tokens { input: 1_200, ..Tokens::default() },
        millis: ResultMillis::default(),
        error: None,
    }
}

/// What is left of `status` when an operator writes it: the run goes on in its last stage.
fn written(change: impl FnOnce(&mut StageStatus)) -> StageStatus {
    let mut story = tell(ONE_STAGE);
    story.cluster().edit(|spec| spec.suspend = true);
    let mut version = story.cluster().run().clone();
    let open = version.status.stages[0].attempts[0].clone();
    let judged = |number| AttemptStatus { error: None, verdict: Some(Verdict::Retry), ..attempt(number) };
    let open = AttemptStatus { attempt: 3, feedback: Some("newest".into()), dimensions: judged(3).dimensions, ..open };
    version.status.stages[0].attempts = vec![judged(1), judged(2), open];
    change(&mut version.status.stages[0]);
    let observed = story.observe(None);
    let planned = plan(&Cluster::plan_run(&version), &version.status, &observed, story.now);
    let status = planned.status.expect("the new generation is written down");
    assert!(stored_bytes(&status) <= MAX_STATUS_BYTES, "{}", stored_bytes(&status));
    let counters = |stage: &StageStatus| (stage.used.clone(), stage.millis.clone());
    assert_eq!(counters(&status.stages[0]), counters(&version.status.stages[0]), "counters are never shed");
    assert_eq!(status.conditions.len(), version.status.conditions.len(), "conditions are never shed");
    status.stages[0].clone()
}

fn kept(stage: &StageStatus) -> (Vec<usize>, Vec<bool>) {
    let dimensions = stage.attempts.iter().map(|attempt| attempt.dimensions.len()).collect();
    (dimensions, stage.attempts.iter().map(|attempt| attempt.feedback.is_some()).collect())
}

#[test]
fn inv04_nothing_is_shed_while_there_is_room() {
    assert_eq!(kept(&written(|_| ())), (vec![8, 8, 8], vec![true, true, true]));
}

#[test]
fn inv04_dimensions_of_older_attempts_go_first() {
    let stage = written(|stage| {
        stage.attempts[0].dimensions = (0..2_000).map(|n| (long(n, NAME), Score::ONE)).collect();
    });
    assert_eq!(kept(&stage), (vec![0, 0, 8], vec![true, true, true]));
}

#[test]
fn inv04_then_feedback_of_older_attempts() {
    let stage = written(|stage| stage.attempts[1].feedback = Some("f".repeat(60_000)));
    assert_eq!(kept(&stage), (vec![0, 0, 8], vec![false, false, true]));
}

#[test]
fn inv04_and_last_all_feedback() {
    let stage = written(|stage| stage.attempts[2].feedback = Some("f".repeat(60_000)));
    assert_eq!(kept(&stage), (vec![0, 0, 8], vec![false, false, false]));
}
