//! Pictures of runs: what `kubectl trackway tree` shows for each kind of life a run can have.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may")]

use jiff::Timestamp;
use trackway_cli::{
    screen::Style,
    tree::{Picture, TreeInput, TreeStyle, render_tree},
    why::{Why, explain},
};
use trackway_crds::{BatchRun, contracts::Revision};

/// The revision of a track with three stages, of which the first is not judged.
fn revision() -> Revision {
    let model = serde_json::json!({"role": "writer", "endpoint": "main", "baseURL": "http://llm/v1", "model": "m", "timeoutMillis": 90000});
    let judge = serde_json::json!({"model": model, "threshold": 0.7,
        "dimensions": [{"name": "grounded", "weight": 2, "minimum": 0.0, "criterion": "Cites events."}]});
    let retry = serde_json::json!({"qualityMaxAttempts": 4, "infrastructureMaxTries": 5, "modelMaxTries": 6, "judgeMaxTries": 5,
        "modelBackoff": {"initialMillis": 1000, "factor": 2, "maxMillis": 30000}});
    let stage = |name: &str, work: serde_json::Value, judge: serde_json::Value| serde_json::json!({"name": name, "work": work, "judge": judge, "retry": retry, "timeoutMillis": 600000});
    let generate = serde_json::json!({"kind": "Generate", "model": model, "prompt": "p.md"});
    let validate = serde_json::json!({"kind": "ValidateContext", "model": model, "prompt": "p.md", "onMissing": "Proceed"});
    let stages = serde_json::json!([
        stage("context-validation", validate, serde_json::Value::Null),
        stage("insights", generate.clone(), judge.clone()),
        stage("solutions", generate, judge),
    ]);
    let limits = serde_json::json!({"startTimeoutMillis": 300000, "activeDeadlineMillis": 7200000, "deadlineMillis": 604800000});
    serde_json::from_value(
        serde_json::json!({"contract": 1, "track": "admin", "audience": "Owners", "stages": stages, "limits": limits}),
    )
    .unwrap()
}

/// A run whose status is the given YAML.
fn run(status: &str) -> BatchRun {
    let head = r#"
apiVersion: trackway.dev/v1alpha1
kind: BatchRun
metadata: {name: admin-b7k2f9q1, namespace: default, uid: 3f0c}
spec:
  trackRef: {name: admin}
  batch: {id: b7k2f9q1, tenant: octo-org, level: Tenant, subject: octo-org, priority: High, events: 37,
    readyAt: "2026-11-22T14:00:00.000000Z", input: {sha256: aa, bytes: 48211}}
status:
"#;
    serde_saphyr::from_str(&format!("{head}  {}", status.trim().replace('\n', "\n  "))).unwrap()
}

fn now() -> Timestamp {
    "2026-11-22T14:00:20Z".parse().unwrap()
}

const PLAIN: TreeStyle = TreeStyle { style: Style { colour: false, glyphs: false }, all: false, wide: false, offline: false };
const TERMINAL: TreeStyle = TreeStyle { style: Style { colour: false, glyphs: true }, all: false, wide: false, offline: false };

fn picture(status: &str, style: TreeStyle) -> String {
    let (run, revision) = (run(status), revision());
    render_tree(&TreeInput { run: &run, revision: Some(&revision), waiting: None, found: None, now: now() }, style)
}

fn why(status: &str, stage: Option<&str>) -> String {
    let (run, revision) = (run(status), revision());
    let picture = Picture::of(&TreeInput { run: &run, revision: Some(&revision), waiting: None, found: None, now: now() });
    explain(&Why { picture: &picture, revision: Some(&revision), diagnosis: None }, stage, PLAIN.style)
}

const CONTEXT: &str = r#"
- name: context-validation
  phase: Succeeded
  startedAt: "2026-11-22T14:00:00.000000Z"
  completedAt: "2026-11-22T14:00:02.900000Z"
  millis: {queued: 12, podStart: 270, generate: 2600, judge: 0, operator: 18, paused: 0}
  used: {quality: 0, infrastructure: 0, model: 1, judge: 0, tokens: 1200}
  attempts:
  - {attempt: 1, try: 2, jobUID: u1, startedAt: "2026-11-22T14:00:00.000000Z", millis: 2888, verdict: Advance}
"#;

const FIRST_ATTEMPT: &str = r#"
  - {attempt: 1, try: 1, jobUID: u2, startedAt: "2026-11-22T14:00:02.900000Z", millis: 4000, score: 0.62, verdict: Retry,
     dimensions: {grounded: 0.44, clarity: 0.8}, feedback: "cites no event for\nthe Friday \e[31mspike"}
"#;

fn succeeded() -> String {
    format!(
        r#"
observedGeneration: 1
revision: admin-5d9c1a0b2e
phase: Succeeded
startedAt: "2026-11-22T14:00:00.000000Z"
completedAt: "2026-11-22T14:00:14.400000Z"
stages:
{}
- name: insights
  phase: Succeeded
  startedAt: "2026-11-22T14:00:02.900000Z"
  completedAt: "2026-11-22T14:00:10.500000Z"
  millis: {{queued: 20, podStart: 560, generate: 4800, judge: 2180, operator: 40, paused: 0}}
  used: {{quality: 2, infrastructure: 0, model: 0, judge: 0, tokens: 68004}}
  attempts:
{}
  - {{attempt: 2, try: 1, jobUID: u3, startedAt: "2026-11-22T14:00:06.900000Z", millis: 3600, score: 0.85, verdict: Advance,
     dimensions: {{grounded: 0.9, clarity: 0.8}}}}
- name: solutions
  phase: Succeeded
  startedAt: "2026-11-22T14:00:10.500000Z"
  completedAt: "2026-11-22T14:00:14.400000Z"
  millis: {{queued: 10, podStart: 290, generate: 2500, judge: 1080, operator: 20, paused: 0}}
  used: {{quality: 1, infrastructure: 0, model: 0, judge: 0, tokens: 2000}}
  attempts:
  - {{attempt: 1, try: 1, jobUID: u4, startedAt: "2026-11-22T14:00:10.500000Z", millis: 3900, score: 0.79, verdict: Advance,
     dimensions: {{grounded: 0.79}}}}
"#,
        CONTEXT.trim(),
        FIRST_ATTEMPT.trim_matches('\n')
    )
}

fn in_work(phase: &str, attempt: &str) -> String {
    format!(
        r#"
observedGeneration: 1
revision: admin-5d9c1a0b2e
phase: {phase}
startedAt: "2026-11-22T14:00:00.000000Z"
stages:
{}
- name: insights
  phase: Running
  startedAt: "2026-11-22T14:00:02.900000Z"
  millis: {{queued: 20, podStart: 260, generate: 2300, judge: 1380, operator: 40, paused: 0}}
  used: {{quality: 1, infrastructure: 0, model: 0, judge: 0, tokens: 9000}}
{attempt}
"#,
        CONTEXT.trim()
    )
}

fn running() -> String {
    let attempts = format!(
        "  attempts:\n{}\n  - {{attempt: 2, try: 1, jobUID: u3, startedAt: \"2026-11-22T14:00:18.900000Z\"}}",
        FIRST_ATTEMPT.trim_matches('\n')
    );
    in_work("Running", &attempts)
}

fn failed() -> String {
    format!(
        r#"
observedGeneration: 1
revision: admin-5d9c1a0b2e
phase: Failed
startedAt: "2026-11-22T14:00:00.000000Z"
completedAt: "2026-11-22T14:00:16.400000Z"
stages:
{}
- name: insights
  phase: Failed
  startedAt: "2026-11-22T14:00:02.900000Z"
  completedAt: "2026-11-22T14:00:16.400000Z"
  millis: {{queued: 9, podStart: 801, generate: 8900, judge: 3749, operator: 41, paused: 0}}
  used: {{quality: 4, infrastructure: 0, model: 0, judge: 0, tokens: 12267}}
  attempts:
{}
  - {{attempt: 3, try: 1, startedAt: "2026-11-22T14:00:09.000000Z", millis: 3600, score: 0.61, verdict: Retry,
     dimensions: {{grounded: 0.5, clarity: 0.83}}, feedback: "Still general: who should do this?"}}
  - {{attempt: 4, try: 2, startedAt: "2026-11-22T14:00:12.800000Z", millis: 3600, score: 0.66, verdict: Retry,
     dimensions: {{grounded: 0.6, clarity: 0.78}}, feedback: "Names no reader.",
     error: {{class: model, reason: ServerError, message: "the model's server answered 503"}}}}
failure: {{stage: insights, class: quality, reason: QualityExhausted, at: "2026-11-22T14:00:16.400000Z",
  message: "insights: best of 4 attempts scored 0.66, needs 0.70; last: 0.66 (lowest: grounded 0.60)"}}
"#,
        CONTEXT.trim(),
        FIRST_ATTEMPT.trim_matches('\n')
    )
}

#[test]
fn a_run_that_succeeded_after_a_retry() {
    insta::assert_snapshot!(picture(&succeeded(), PLAIN));
    insta::assert_snapshot!("on_a_terminal", picture(&succeeded(), TERMINAL));
    insta::assert_snapshot!("every_attempt_in_words", picture(&succeeded(), TreeStyle { all: true, wide: true, ..PLAIN }));
}

#[test]
fn an_attempt_after_questions_says_so_and_is_none_of_those_a_low_score_may_cost() {
    let once =
        r#"  - {attempt: 1, try: 2, jobUID: u1, startedAt: "2026-11-22T14:00:00.000000Z", millis: 2888, verdict: Advance}"#;
    let asked = r#"  questionnaire: {name: q-abcdefgh, asked: 1, round: 1, expiresAt: "2026-11-25T14:00:00.000000Z", answeredAt: "2026-11-22T14:00:02.000000Z"}
  attempts:
  - {attempt: 1, try: 1, jobUID: u0, startedAt: "2026-11-22T14:00:00.000000Z", millis: 900, score: 0.95, verdict: Ask, feedback: "clear"}
  - {attempt: 2, try: 1, jobUID: u1, startedAt: "2026-11-22T14:00:02.000000Z", millis: 888, score: 0.88, verdict: Advance}"#;
    let status = succeeded();
    assert!(status.contains(once));
    let shown = picture(&status.replace(&format!("  attempts:\n{once}"), asked), PLAIN);
    assert!(shown.contains("attempt 2 of 5, because its questions were answered"), "{shown}");
    assert!(!shown.contains("\"clear\""), "{shown}");
}

#[test]
fn a_run_in_work_shows_the_stages_to_come() {
    insta::assert_snapshot!(picture(&running(), TERMINAL));
}

#[test]
fn a_run_that_waits_for_the_model_says_until_when() {
    let attempts = r#"  notBefore: "2026-11-22T14:00:23.500000Z"
  attempts:
  - {attempt: 1, try: 3, startedAt: "2026-11-22T14:00:10.000000Z", error: {class: model, reason: RateLimited, message: busy}}"#;
    insta::assert_snapshot!(picture(&in_work("Running", attempts), PLAIN));
}

#[test]
fn a_run_that_failed() {
    insta::assert_snapshot!(picture(&failed(), PLAIN));
}

#[test]
fn a_suspended_run() {
    let attempts = format!("  attempts:\n{}", FIRST_ATTEMPT.trim_matches('\n'));
    insta::assert_snapshot!(picture(&in_work("Suspended", &attempts), TERMINAL));
}

#[test]
fn a_pending_run_says_what_it_waits_for() {
    let status = r#"
observedGeneration: 1
phase: Pending
conditions:
- {type: Reconciling, status: "True", reason: PromptInvalid, lastTransitionTime: "2026-11-22T14:00:00Z",
   message: "Track admin is not ready: insights.md:4: undefined name batch.owner"}
"#;
    let run = run(status);
    insta::assert_snapshot!(render_tree(&TreeInput { run: &run, revision: None, waiting: None, found: None, now: now() }, PLAIN));
}

#[test]
fn why_a_run_failed() {
    insta::assert_snapshot!(why(&failed(), None));
}

#[test]
fn why_a_stage_was_tried_again() {
    insta::assert_snapshot!(why(&succeeded(), None));
}

#[test]
fn the_same_data_for_scripts() {
    let (run, revision) = (run(&running()), revision());
    let picture = Picture::of(&TreeInput { run: &run, revision: Some(&revision), waiting: None, found: None, now: now() });
    let picture = serde_json::to_value(&picture).unwrap();
    assert_eq!(picture["stages"][1]["score"], 0.62);
    assert_eq!(picture["stages"][1]["timing"]["judge"], 1380);
    assert_eq!(picture["stages"][2]["phase"], "Pending");
    assert_eq!(picture["tokens"], 10_200);
}
