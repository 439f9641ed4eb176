//! A Track on a batch without a cluster: the planner and the worker are the real ones, the model is scripted.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may")]

use std::{path::Path, process::Stdio};
use tokio::process::Command;
use trackway_scripted_llm::{Rules, ScriptedLlm};

const STRICT_FIRST: &str = r#"
- name: the first insights of admin are too general
  when: {kind: judge, attempt: 1, headers: {x-trackway-run-name: "admin-*", x-trackway-stage: insights}}
  then: {scores: {relevance: 0.44, "*": 0.8}, feedback: "Cites no event for the rise in failed builds."}
"#;

const NEVER_GOOD: &str = r#"
- name: nothing is ever good enough
  when: {kind: judge, headers: {x-trackway-stage: recommendations}}
  then: {scores: {"*": 0.5}, feedback: "Names no reader."}
"#;

struct Said {
    out: String,
    notes: String,
    code: Option<i32>,
}

async fn simulate(rules: &str, arguments: &[&str]) -> Said {
    // A process that has set a provider already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let llm = ScriptedLlm::start("127.0.0.1:0", Rules::from_yaml(rules).unwrap()).await.unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let output = Command::new(env!("CARGO_BIN_EXE_trackway"))
        .args(["simulate", "-f", "tracks", "--batch", "events", "--tenant", "octo-org", "--batch-id", "b7k2f9q1", "--llm-url"])
        .arg(llm.base_url())
        .args(arguments)
        .current_dir(examples)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Said { out: text(output.stdout), notes: text(output.stderr), code: output.status.code() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_run_and_one_stage_passes_at_its_second_attempt() {
    let said = simulate(STRICT_FIRST, &[]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.notes);
    for head in ["admin-b7k2f9q1  Succeeded", "team-b7k2f9q1  Succeeded", "individual-b7k2f9q1  Succeeded"] {
        assert!(said.out.contains(head), "{head}\n{}", said.out);
    }
    assert!(
        said.out.contains("attempt 2 of 3, because \"Cites no event for the rise in failed builds.\" (relevance 0.44)"),
        "{}",
        said.out
    );
    assert!(!said.out.contains("kubectl"), "a simulated run is in no cluster\n{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_makes_the_command_fail() {
    let said = simulate(NEVER_GOOD, &["--track", "individual"]).await;
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.notes);
    assert!(said.out.contains("failed at recommendations: QualityExhausted"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_there_and_scripts_get_json() {
    let folder = tempfile::tempdir().unwrap();
    let said = simulate("[]", &["--track", "individual", "--keep", folder.path().to_str().unwrap(), "-o", "json"]).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.notes);
    let picture: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(picture["phase"], "Succeeded");
    let run = std::fs::read_dir(folder.path().join("simulated")).unwrap().map(|entry| entry.unwrap().path());
    let run = run.into_iter().find(|path| path.file_name().unwrap().to_string_lossy().starts_with("individual-")).unwrap();
    assert!(run.join("recommendations/1/0/output").exists(), "{}", run.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_track_that_would_not_take_the_batch_is_not_run() {
    let said = simulate("[]", &["--level", "User", "--subject", "dana"]).await;
    assert!(said.out.contains("individual-b7k2f9q1  Succeeded") && !said.out.contains("admin-"), "{}{}", said.out, said.notes);
}
