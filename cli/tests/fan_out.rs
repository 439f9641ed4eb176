//! Pictures of a run with everything in it: a fan-out with targets that fail, a program, a review, a broadcast, a debugger.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may")]

use jiff::Timestamp;
use std::collections::BTreeMap;
use trackway_cli::{
    diagnosis::{self, DiagnosisView, EvidenceView},
    screen::Style,
    tree::{Approvals, Found, Picture, TargetAttempt, TreeInput, TreeStyle, render_tree},
    why::{Why, explain, explain_target},
};
use trackway_crds::{
    BatchRun, Score,
    contracts::{BroadcastCounts, Revision},
    ledger::{Ledger, Target, TargetState},
};

/// solutions, notices (for each of its targets), pii-scan (a program), review, broadcast.
fn revision() -> Revision {
    let text = r#"
contract: 1
track: admin
audience: Owners
limits: {startTimeoutMillis: 300000, activeDeadlineMillis: 7200000, deadlineMillis: 604800000}
stages:
- {name: solutions, work: {kind: Generate, model: &model {role: writer, endpoint: main, baseURL: "http://llm/v1", model: m, timeoutMillis: 90000}, prompt: p.md},
   judge: &judge {model: *model, threshold: 0.7, dimensions: [{name: clarity, weight: 1, minimum: 0.0, criterion: "Clear."}]},
   retry: &retry {qualityMaxAttempts: 5, infrastructureMaxTries: 5, modelMaxTries: 6, judgeMaxTries: 5,
     modelBackoff: {initialMillis: 1000, factor: 2, maxMillis: 30000}}, timeoutMillis: 600000}
- {name: notices, work: {kind: Generate, model: *model, prompt: n.md}, judge: *judge, retry: *retry, timeoutMillis: 600000,
   forEach: {stage: solutions, field: targets, key: id, maxConcurrency: 40, targetsPerPod: 10, toleratedFailures: "25%"}}
- {name: pii-scan, work: {kind: Container, image: "registry.example/pii-scan:1.4"}, retry: *retry, timeoutMillis: 600000}
- {name: review, work: {kind: Generate, model: *model, prompt: r.md}, judge: *judge, retry: *retry, timeoutMillis: 600000}
- {name: broadcast, retry: *retry, timeoutMillis: 600000, work: {kind: Broadcast, items: notices, approvedBy: review, dryRun: false,
    channels: [{name: inbox, url: "https://hooks.example", signingSecretRef: {name: s, key: k}, timeoutMillis: 10000}]}}
"#;
    serde_saphyr::from_str(text).unwrap()
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
const TERMINAL: TreeStyle = TreeStyle { style: Style { colour: false, glyphs: true }, ..PLAIN };

fn input<'a>(run: &'a BatchRun, revision: &'a Revision, found: Option<&'a Found>) -> TreeInput<'a> {
    TreeInput { run, revision: Some(revision), waiting: None, found, now: now() }
}

fn picture(status: &str, found: Option<&Found>, style: TreeStyle) -> String {
    render_tree(&input(&run(status), &revision(), found), style)
}

fn score(thousandths: u16) -> Score {
    Score::from_thousandths(thousandths)
}

/// Eight targets: six accepted, of which number 2 at its third attempt, number 3 never good enough, number 6 without a model.
fn ledger() -> Ledger {
    let mut ledger = Ledger::new(8);
    for target in &mut ledger.0 {
        *target = Target { state: TargetState::Succeeded, ..Target::default() };
        target.scored(score(840));
    }
    let scored = |state: TargetState, attempt: u32, best: u8| Target { state, attempt, best: Some(best), ..Target::default() };
    ledger.0[2] = scored(TargetState::Succeeded, 3, 74);
    ledger.0[3] = scored(TargetState::FailedQuality, 5, 66);
    ledger.0[6] = Target { state: TargetState::FailedModel, model: 6, ..Target::default() };
    ledger
}

/// The status of a run whose fan-out has ended; `rest` is what came after.
fn after_fan_out(phase: &str, stage_phase: &str, rest: &str) -> String {
    let ledger = ledger().encode();
    let (head, rest) = rest.split_once("---").unwrap_or((rest, ""));
    format!(
        r#"
observedGeneration: 1
revision: admin-5d9c1a0b2e
phase: {phase}
startedAt: "2026-11-22T14:00:00.000000Z"
{}
stages:
- name: solutions
  phase: Succeeded
  startedAt: "2026-11-22T14:00:00.000000Z"
  completedAt: "2026-11-22T14:00:03.900000Z"
  millis: {{queued: 12, podStart: 288, generate: 2600, judge: 980, operator: 20, paused: 0}}
  used: {{quality: 1, infrastructure: 0, model: 0, judge: 0, tokens: 4000}}
  lists: {{targets: {{count: 8, keysSha256: aa}}}}
  attempts:
  - {{attempt: 1, try: 1, jobUID: u1, startedAt: "2026-11-22T14:00:00.000000Z", millis: 3888, score: 0.79, verdict: Advance}}
- name: notices
  phase: {stage_phase}
  startedAt: "2026-11-22T14:00:03.900000Z"
  completedAt: "2026-11-22T14:00:10.900000Z"
  millis: {{queued: 100, podStart: 900, generate: 4000, judge: 1900, operator: 100, paused: 0}}
  used: {{quality: 12, infrastructure: 0, model: 6, judge: 0, tokens: 60000}}
  attempts: []
  targets:
    {{total: 8, running: 0, succeeded: 6, failed: 2, retries: 6, lowest: 0.742, ledger: "{ledger}", cut: 5, waves: [],
     updatedAt: "2026-11-22T14:00:10.900000Z", accountedUntil: "2026-11-22T14:00:10.900000Z", worst: [
      {{index: 3, key: linguist-maint, attempt: 5, score: 0.664, error: {{class: quality, reason: QualityExhausted, message: "best of 5 attempts 0.66, needs 0.70"}}}},
      {{index: 6, key: spoon-knife, attempt: 1, error: {{class: model, reason: RateLimited, message: "the model's server answered 429"}}}},
      {{index: 2, key: hello-world, attempt: 3, score: 0.742}},
      {{index: 0, key: atom, attempt: 1, score: 0.84}}]}}
{}
"#,
        head.trim(),
        rest.trim_matches('\n')
    )
}

fn plain_stage(name: &str, begin: &str, end: &str, attempt: &str) -> String {
    format!(
        r#"
- name: {name}
  phase: Succeeded
  startedAt: "2026-11-22T14:00:{begin}00000Z"
  completedAt: "2026-11-22T14:00:{end}00000Z"
  millis: {{queued: 0, podStart: 200, generate: 400, judge: 0, operator: 0, paused: 0}}
  used: {{quality: 0, infrastructure: 0, model: 0, judge: 0, tokens: 1000}}
  attempts:
  - {{attempt: 1, try: 1, jobUID: u7, startedAt: "2026-11-22T14:00:{begin}00000Z", millis: 600, verdict: Advance{attempt}}}
"#
    )
}

fn succeeded() -> String {
    let rest = [
        plain_stage("pii-scan", "10.9", "11.5", ""),
        plain_stage("review", "11.5", "12.1", ", score: 0.88"),
        plain_stage("broadcast", "12.1", "12.7", ""),
    ];
    after_fan_out("Succeeded", "Succeeded", &format!("completedAt: \"2026-11-22T14:00:12.700000Z\"\n---{}", rest.concat()))
}

fn in_work() -> String {
    let mut ledger = ledger();
    for target in &mut ledger.0[4..] {
        *target = Target { state: TargetState::Running, ..Target::default() };
    }
    ledger.0[7].state = TargetState::Due;
    let ended =
        format!("succeeded: 6, failed: 2, retries: 6, lowest: 0.742, ledger: \"{}\", cut: 5, waves: []", self::ledger().encode());
    let waves = r#"waves: [{wave: 2, try: 1, jobUID: w2, targets: "4-5", targetsPerPod: 1, startedAt: "2026-11-22T14:00:09.000000Z"},
      {wave: 3, try: 1, jobUID: w3, targets: "6", targetsPerPod: 1, startedAt: "2026-11-22T14:00:10.000000Z"}]"#;
    let open = format!("succeeded: 3, failed: 1, retries: 6, lowest: 0.742, ledger: \"{}\", cut: 3, {waves}", ledger.encode());
    after_fan_out("Running", "Running", "")
        .replace(&ended, &open)
        .replace("running: 0,", "running: 3,")
        .replace("  completedAt: \"2026-11-22T14:00:10.900000Z\"\n", "")
        .replace("      {index: 6, key: spoon-knife, attempt: 1, error: {class: model, reason: RateLimited, message: \"the model's server answered 429\"}},\n", "")
        .replace("model: 6, judge: 0, tokens: 60000", "model: 0, judge: 0, tokens: 60000")
}

const FAILURE: &str = r#"
failure: {stage: notices, class: quality, reason: TooManyTargetsFailed, at: "2026-11-22T14:00:10.900000Z",
  message: "notices: 2 of 8 targets failed, 1 is tolerated; the worst: linguist-maint, best 0.66"}
catch: {startedAt: "2026-11-22T14:00:10.900000Z", deadlineAt: "2026-11-22T14:02:10.900000Z", try: 2, jobUID: d2, tokens: 900,
  tryStartedAt: "2026-11-22T14:00:13.900000Z", error: {class: model, reason: RateLimited, message: "busy"}}
"#;

const DIAGNOSIS: &str = r#"
completedAt: "2026-11-22T14:00:14.400000Z"
diagnosis:
  rootCause: "notice.md asks for the owner of {{ target.id }}, and none of the entries of solutions.targets names an owner."
  suggestedFix: "Add owner to solutions.schema.json, or write notice.md for whoever maintains the repository."
  continuationPrompt: "You are debugging one stage of"
  evidence: [{piece: "verdict of attempt 5", sha256: aa, bytes: 900}, {piece: prompt, sha256: bb, bytes: 400}]
  droppedEvidence: 1
  confidence: 0.82
  model: debug-m
  full: {sha256: ff, bytes: 9000}
"#;

fn diagnosed() -> String {
    after_fan_out("Failed", "Failed", &format!("{FAILURE}{DIAGNOSIS}---"))
}

fn undiagnosed() -> String {
    let conditions = r#"
completedAt: "2026-11-22T14:02:10.900000Z"
conditions:
- {type: Diagnosed, status: "False", reason: DebuggerTimedOut, lastTransitionTime: "2026-11-22T14:02:10Z", message: "no answer within 2m"}
"#;
    after_fan_out("Failed", "Failed", &format!("{FAILURE}{conditions}---"))
}

/// What the payload store tells of the run.
fn found() -> Found {
    let attempts = |scores: &[(u16, u16)]| {
        let attempts = (1..).zip(scores).map(|(attempt, (mean, clarity))| TargetAttempt {
            attempt,
            score: score(*mean),
            dimensions: BTreeMap::from([("clarity".to_owned(), score(*clarity)), ("relevance".to_owned(), score(900))]),
            feedback: format!("Say what to do, not what happened ({attempt})."),
        });
        attempts.collect::<Vec<_>>()
    };
    let keys = ["atom", "docs", "hello-world", "linguist-maint", "octokit", "rails", "spoon-knife", "vscode"];
    Found {
        keys: BTreeMap::from([("notices".to_owned(), keys.map(str::to_owned).to_vec())]),
        attempts: BTreeMap::from([
            (("notices".to_owned(), 3), attempts(&[(580, 300), (610, 410), (600, 400), (640, 400), (664, 410)])),
            (("notices".to_owned(), 2), attempts(&[(610, 400), (680, 600), (742, 700)])),
        ]),
        broadcasts: BTreeMap::from([(
            "broadcast".to_owned(),
            BroadcastCounts { delivered: 5, refused: 0, withheld: 1, dry_run: 0 },
        )]),
        approvals: BTreeMap::from([(
            "review".to_owned(),
            Approvals { approved: 5, withheld: 1, reason: Some("says what atom says".to_owned()) },
        )]),
    }
}

#[test]
fn a_run_that_succeeded_in_part() {
    insta::assert_snapshot!(picture(&succeeded(), Some(&found()), TERMINAL));
    insta::assert_snapshot!("without_the_payload_store", picture(&succeeded(), None, PLAIN));
    insta::assert_snapshot!(
        "every_target_in_words",
        picture(&succeeded(), Some(&found()), TreeStyle { all: true, wide: true, ..PLAIN })
    );
    insta::assert_snapshot!(
        "every_target_without_the_payload_store",
        picture(&succeeded(), None, TreeStyle { all: true, ..PLAIN })
    );
}

#[test]
fn a_fan_out_in_work() {
    insta::assert_snapshot!(picture(&in_work(), None, TERMINAL));
}

#[test]
fn a_list_tells_how_many_targets_will_come() {
    let status = after_fan_out("Running", "Running", "");
    let before = status.split_once("- name: notices").unwrap().0.to_owned();
    let picture = picture(&before, None, PLAIN);
    assert!(picture.contains("for each of solutions.targets: 8"), "{picture}");
}

#[test]
fn a_run_that_is_being_diagnosed() {
    insta::assert_snapshot!(picture(&after_fan_out("Diagnosing", "Failed", &format!("{FAILURE}---")), None, PLAIN));
}

#[test]
fn a_run_that_failed_and_was_diagnosed() {
    insta::assert_snapshot!(picture(&diagnosed(), None, PLAIN));
}

#[test]
fn a_run_whose_debugger_gave_no_answer() {
    insta::assert_snapshot!(picture(&undiagnosed(), None, PLAIN));
}

fn why(status: &str, diagnosis: Option<&DiagnosisView>, stage: Option<&str>) -> String {
    let (run, revision) = (run(status), revision());
    let picture = Picture::of(&input(&run, &revision, None));
    let why = Why { picture: &picture, revision: Some(&revision), diagnosis };
    explain(&why, stage, PLAIN.style)
}

#[test]
fn why_a_diagnosed_run_failed() {
    let status = diagnosed();
    let mut view = DiagnosisView::from(run(&status).status.unwrap().diagnosis.as_ref().unwrap());
    insta::assert_snapshot!("why_with_what_the_status_holds", why(&status, Some(&view), None));
    view.whole = true;
    view.evidence = vec![
        EvidenceView { piece: "verdict of attempt 5".into(), quote: Some("names no owner".into()) },
        EvidenceView { piece: "prompt".into(), quote: Some("Write to the owner\nof {{ target.id }}".into()) },
    ];
    insta::assert_snapshot!(why(&status, Some(&view), None));
}

#[test]
fn why_a_run_failed_that_nobody_diagnosed() {
    insta::assert_snapshot!(why(&undiagnosed(), None, None));
}

#[test]
fn why_a_run_that_succeeded_has_failed_targets() {
    insta::assert_snapshot!(why(&succeeded(), None, None));
}

#[test]
fn why_a_target_failed_or_took_three_attempts() {
    let (run, revision, found) = (run(&succeeded()), revision(), found());
    let picture = Picture::of(&input(&run, &revision, Some(&found)));
    let explained = |name: &str| {
        let stage = picture.stages.iter().find(|stage| stage.name == "notices").unwrap();
        explain_target(&picture.run, stage, stage.targets.as_ref().unwrap().named(name).unwrap(), PLAIN.style)
    };
    insta::assert_snapshot!("why_a_target_failed", explained("linguist-maint"));
    insta::assert_snapshot!("why_a_target_took_three_attempts", explained("2"));
    insta::assert_snapshot!("why_a_target_without_a_verdict_failed", explained("6"));
}

#[test]
fn a_missing_diagnosis_is_explained() {
    let none = |status: &str| diagnosis::none("admin-b7k2f9q1", run(status).status.as_ref().unwrap(), now());
    assert_eq!(none(&succeeded()), "run admin-b7k2f9q1 has no diagnosis, because it has not failed: it is Succeeded");
    assert_eq!(
        none(&after_fan_out("Diagnosing", "Failed", &format!("{FAILURE}---"))),
        "run admin-b7k2f9q1 has no diagnosis yet: the debugger is at work, for at most 1m50s more"
    );
    assert_eq!(
        none(&undiagnosed()),
        "run admin-b7k2f9q1 has no diagnosis: DebuggerTimedOut: no answer within 2m; kubectl trackway why admin-b7k2f9q1 shows what is known"
    );
}

#[test]
fn scripts_get_every_target_and_how_it_stands() {
    let (run, revision, found) = (run(&succeeded()), revision(), found());
    let picture = serde_json::to_value(Picture::of(&input(&run, &revision, Some(&found)))).unwrap();
    let notices = &picture["stages"][1]["targets"];
    assert_eq!((&notices["total"], &notices["tolerated"]), (&8.into(), &2.into()), "{notices:#}");
    assert_eq!(notices["targets"].as_array().unwrap().len(), 8);
    assert_eq!(notices["targets"][3]["error"]["reason"], "QualityExhausted");
    assert_eq!(notices["targets"][3]["score"], 0.664, "the status has it in full, the ledger in hundredths");
    assert_eq!(
        notices["targets"][7],
        serde_json::json!({"index": 7, "key": "vscode", "phase": "Succeeded", "attempt": 1, "try": 1,
        "score": 0.84, "class": null, "error": null, "attempts": []})
    );
    assert_eq!((&picture["stages"][2]["kind"], &picture["stages"][4]["kind"]), (&"container".into(), &"broadcast".into()));
}
