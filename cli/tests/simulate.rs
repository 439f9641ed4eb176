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

/// The examples, for tenant octo-org.
async fn simulate(rules: &str, arguments: &[&str]) -> Said {
    let examples = ["-f", "tracks", "--batch", "events", "--tenant", "octo-org", "--batch-id", "b7k2f9q1"];
    trackway("../examples", rules, &[&examples, arguments].concat()).await
}

/// `trackway simulate` in `folder`, against a model that follows `rules`.
async fn trackway(folder: &str, rules: &str, arguments: &[&str]) -> Said {
    // A process that has set a provider already is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let llm = ScriptedLlm::start("127.0.0.1:0", Rules::from_yaml(rules).unwrap()).await.unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_trackway"))
        .args(["simulate", "--llm-url", &llm.base_url()])
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
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

/// `tests/simulate/notices`: eight notices of which one is never good enough, a program, a review and a broadcast.
async fn notices(change: impl Fn(&str) -> String, arguments: &[&str]) -> Said {
    let rules = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/simulate/notices/rules.yaml")).unwrap();
    let batch = ["-f", "track.yaml", "--batch", "../../../../examples/events", "--batch-id", "b7k2f9q1"];
    trackway("tests/simulate/notices", &change(&rules), &[&batch, arguments].concat()).await
}

const SCANNED: [&str; 2] = ["--container", "pii-scan=pii-scan.json"];

/// The picture without what differs from run to run: times, tokens, hashes, and how the targets fell into waves.
fn told(out: &str) -> String {
    let time = |word: &str| word.strip_suffix('s').is_some_and(|number| number.trim_end_matches('m').parse::<f64>().is_ok());
    let kept = out.lines().filter(|line| !line.contains(" = ") && !line.contains("revision ") && !line.trim().is_empty());
    let words = |line: &str| line.split(' ').filter(|word| !word.is_empty() && !time(word)).collect::<Vec<_>>().join(" ");
    let without_waves = |line: String| match line.rsplit_once(", ") {
        Some((before, waves)) if waves.ends_with(" waves") => before.to_owned(),
        _ => line,
    };
    kept.map(words).map(|line| without_waves(line) + "\n").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_fails_reaches_the_review_and_is_not_sent() {
    let said = notices(str::to_owned, &SCANNED).await;
    assert_eq!(said.code, Some(0), "{}{}", said.out, said.notes);
    assert_eq!(told(&said.out), include_str!("simulate/notices/expected.txt"), "{}{}", said.out, said.notes);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_failed_targets_fail_the_run_and_the_debugger_says_why() {
    let most = |rules: &str| rules.replace(", x-trackway-index: \"3\"", "");
    let said = notices(most, &SCANNED).await;
    assert_eq!(said.code, Some(1), "{}{}", said.out, said.notes);
    for expected in [
        "x notices",
        " failed (2 tolerated), ",
        "3 of 3 attempts, scored 0.65 0.65 0.65, clarity never above 0.41",
        " of 8 targets failed, 2 tolerated",
        "+ debugger ",
        "\ncause  ",
        "\nfix    ",
    ] {
        assert!(said.out.contains(expected), "{expected}\n{}{}", said.out, said.notes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_get_every_target() {
    let said = notices(str::to_owned, &[SCANNED.as_slice(), &["-o", "json"]].concat()).await;
    let picture: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    let targets = &picture["stages"][1]["targets"];
    assert_eq!(targets["targets"].as_array().unwrap().len(), 8, "{targets:#}");
    assert_eq!(targets["targets"][3]["phase"], "Failed");
    assert_eq!(targets["targets"][3]["key"], "linguist");
    assert_eq!(targets["targets"][3]["attempts"][2]["feedback"], "Says what happened, not what to do.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_cannot_be_run_here_and_the_command_says_what_to_give_instead() {
    for (arguments, expected) in [
        (
            &[][..],
            "stage pii-scan runs image registry.example/pii-scan:1.4, which cannot be done without a cluster: give the output it would write, --container pii-scan=FILE.json",
        ),
        (
            &["--container", "review=pii-scan.json"],
            "--container review: no stage of that name runs a program; those that do: pii-scan",
        ),
        (&["--container", "pii-scan=rules.yaml"], "--container pii-scan: rules.yaml is not JSON"),
    ] {
        let said = notices(str::to_owned, arguments).await;
        assert_eq!(said.code, Some(2), "{}{}", said.out, said.notes);
        assert!(said.notes.contains(expected), "{}", said.notes);
    }
}
