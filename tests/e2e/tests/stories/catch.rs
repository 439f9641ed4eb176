//! What happens when a stage has failed for good: a model explains why, and nothing it does or leaves undone holds up the end.

use crate::{Context, Outcome, Result, ensure};
use k8s_openapi::{api::core::v1::Event, apimachinery::pkg::apis::meta::v1::Condition};
use kube::{ResourceExt, api::ListParams};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::OnceCell;
use trackway_crds::{BatchRun, contracts::StoredDiagnosis, status::Phase};
use trackway_e2e::{Place, place::phase, story, story::say};
use trackway_store::Scope;

const NAMESPACE: &str = "e2e-catch";
const RULES: &str = "
- name: the plan is never good enough
  when: {kind: judge, headers: {x-trackway-stage: plan}}
  then: {scores: {relevance: 0.41, '*': 0.8}, feedback: The plan names no reader.}
- name: the cause
  when: {kind: debug, headers: {x-trackway-run-name: explained-*}}
  then: {replace: {rootCause: plan.md asks for a reader the batch does not name., suggestedFix: Name the reader in plan.md.}}
- name: an endless thought
  when: {kind: debug, headers: {x-trackway-run-name: hanging-*}}
  then: {delayMillis: 600000}
- name: the debugger chats
  when: {kind: debug, headers: {x-trackway-run-name: chatting-*}}
  then: {prose: It is hard to say.}
";
/// What the debugger may take where it hangs; more than a pod's start.
const TIMEOUT_SECONDS: i64 = 12;

async fn place() -> Result<Arc<Place>> {
    static RULED: OnceCell<()> = OnceCell::const_new();
    let place = Place::bound(NAMESPACE).await?;
    RULED.get_or_try_init(|| async { place.rules(RULES) }).await?;
    Ok(place)
}

/// A run that fails at its second stage, ended.
async fn failed(place: &Place, track: &str, timeout: &str) -> Result<BatchRun> {
    let catch = json!({"debugger": {"model": "critic", "timeout": timeout}});
    let spec = json!({"spec": {"catch": catch, "retry": {"quality": {"maxAttempts": 2}, "model": {"maxTries": 2, "backoff": {"initial": "100ms"}}}}});
    place.track(track, &spec).await?;
    let name = place.start_fresh(track).await?.name_any();
    let run = place.until_finished(&name).await?;
    ensure!(phase(&run) == Some(Phase::Failed), "it ended as {:?}", phase(&run));
    let failure = run.status.as_ref().and_then(|status| status.failure.as_ref()).context("no failure")?;
    ensure!(failure.reason == "QualityExhausted" && failure.stage.as_deref() == Some("plan"), "{failure:?}");
    Ok(run)
}

fn condition<'a>(run: &'a BatchRun, type_: &str) -> Result<&'a Condition> {
    let mut all = run.status.iter().flat_map(|status| &status.conditions);
    all.find(|condition| condition.type_ == type_).with_context(|| format!("no condition {type_}"))
}

#[test]
fn inv11_a_failed_run_tells_why_in_status_describe_and_events() -> Outcome {
    story(NAMESPACE, async {
        let place = place().await?;
        let run = failed(&place, "explained", "60s").await?;
        let diagnosed = condition(&run, "Diagnosed")?;
        ensure!(diagnosed.status == "True", "{diagnosed:?}");
        let failed = condition(&run, "Failed")?;
        ensure!(failed.status == "True" && failed.reason == "QualityExhausted", "{failed:?}");
        let status = run.status.as_ref().context("no status")?;
        let diagnosis = status.diagnosis.as_ref().context("no diagnosis")?;
        ensure!(diagnosis.root_cause.starts_with("plan.md asks for a reader"), "{diagnosis:?}");
        ensure!(!diagnosis.evidence.is_empty() && diagnosis.dropped_evidence == 0, "{diagnosis:?}");
        let stored = evidence_is_there(&place, &run).await?;
        the_story_is_told_in_order(&place, &run).await?;

        let name = run.name_any();
        let why = place.cluster.of_failed_run(&["why", "-n", NAMESPACE, &name]).await?;
        ensure!(why.contains("plan.md asks for a reader") && why.contains("Name the reader in plan.md."), "why prints {why}");
        let prompt = place.cluster.trackway("kubectl-trackway", &["diagnosis", "-n", NAMESPACE, &name, "--prompt"]).await?;
        ensure!(prompt.trim_end() == stored.continuation_prompt.trim_end(), "diagnosis --prompt prints {prompt}");
        say(&format!("the continuation prompt has {} characters, {} pieces were shown", prompt.len(), stored.pieces.len()));
        Ok(())
    })
}

/// Every reference of the diagnosis resolves, and every quote is in the piece it is said to be from.
async fn evidence_is_there(place: &Place, run: &BatchRun) -> Result<StoredDiagnosis> {
    let scope = Scope::run(&place.namespace, run.metadata.uid.as_deref().context("no uid")?)?;
    let diagnosis = run.status.as_ref().and_then(|status| status.diagnosis.as_ref()).context("no diagnosis")?;
    let stored: StoredDiagnosis = serde_json::from_slice(&place.store.get_blob(&scope, &diagnosis.full).await?)?;
    for quote in &stored.evidence {
        let piece =
            stored.pieces.iter().find(|piece| piece.name == quote.piece).with_context(|| format!("no piece {}", quote.piece))?;
        let text = place.store.get_blob(&scope, &piece.reference).await?;
        let text = String::from_utf8_lossy(&text).into_owned();
        ensure!(text.contains(&quote.quote), "{:?} is not in {}", quote.quote, quote.piece);
        ensure!(diagnosis.evidence.iter().any(|one| one.sha256 == piece.reference.sha256), "the status lacks {}", piece.name);
    }
    ensure!(!stored.evidence.is_empty() && !stored.continuation_prompt.is_empty(), "{stored:?}");
    Ok(stored)
}

/// Events by their times, and `kubectl describe`, tell what happened from start to end.
async fn the_story_is_told_in_order(place: &Place, run: &BatchRun) -> Result<()> {
    let name = run.name_any();
    let of_run = ListParams::default().fields(&format!("involvedObject.name={name}"));
    let told = || async {
        let mut events: Vec<Event> = place.api::<Event>().list(&of_run).await.ok()?.items;
        events.sort_by_key(|event| event.event_time.as_ref().map(|at| at.0));
        let reasons: Vec<String> = events.into_iter().filter_map(|event| event.reason).collect();
        reasons.iter().any(|reason| reason == "Failed").then_some(reasons)
    };
    // They are written beside the status.
    let reasons = trackway_test_support::until("the Events are there", Duration::from_secs(10), told).await?;
    let wanted = ["Started", "StageSucceeded", "StageRetried", "StageFailed", "Diagnosed", "Failed"];
    let mut rest = reasons.iter();
    let in_order = wanted.iter().all(|reason| rest.any(|told| told == reason));
    ensure!(in_order, "Events {reasons:?} do not hold {wanted:?} in this order");
    let described = place.cluster.kubectl(&["-n", NAMESPACE, "describe", "batchrun", &name]).await?;
    for part in ["Root Cause:", "plan.md asks for a reader", "Suggested Fix:", "QualityExhausted", "Continuation Prompt:"] {
        ensure!(described.contains(part), "kubectl describe lacks {part:?}:\n{described}");
    }
    Ok(())
}

#[test]
fn inv11_a_debugger_that_hangs_ends_with_its_timeout() -> Outcome {
    story(NAMESPACE, async {
        let place = place().await?;
        let run = failed(&place, "hanging", &format!("{TIMEOUT_SECONDS}s")).await?;
        let status = run.status.as_ref().context("no status")?;
        let caught = status.catch.as_ref().context("nothing on record of the debugger")?;
        let ended = status.completed_at.as_ref().context("no end")?;
        let took = ended.0.as_millisecond() - caught.started_at.0.as_millisecond();
        say(&format!("Failed {took} ms after its stage, the debugger's timeout is {TIMEOUT_SECONDS} s"));
        ensure!((0..=TIMEOUT_SECONDS * 1000 + 3000).contains(&took), "it took {took} ms");
        undiagnosed(&run)
    })
}

#[test]
fn inv11_a_debugger_that_answers_prose_is_given_up() -> Outcome {
    story(NAMESPACE, async {
        let place = place().await?;
        let run = failed(&place, "chatting", "60s").await?;
        undiagnosed(&run)
    })
}

/// Failed with its own reason; that there is no diagnosis is said.
fn undiagnosed(run: &BatchRun) -> Result<()> {
    let diagnosed = condition(run, "Diagnosed")?;
    ensure!(diagnosed.status == "False" && !diagnosed.message.is_empty(), "{diagnosed:?}");
    say(&format!("Diagnosed False, {}: {}", diagnosed.reason, diagnosed.message));
    ensure!(condition(run, "Failed")?.reason == "QualityExhausted", "{:?}", condition(run, "Failed")?);
    let status: Value = serde_json::to_value(&run.status)?;
    ensure!(status["diagnosis"].is_null(), "a diagnosis: {}", status["diagnosis"]);
    Ok(())
}
