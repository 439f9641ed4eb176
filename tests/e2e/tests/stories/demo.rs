//! What the demo shows, held against what it promises: one batch, three tracks, every column, every reference.

use crate::{Context, Outcome, Result, ensure};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use trackway_crds::{
    BatchRun, Score,
    batch_run::BatchSpec,
    contracts::NameKind,
    duration::for_people,
    labels,
    names::{label_hash, run_name},
    status::{BatchRunStatus, StagePhase, StageStatus, Verdict},
};
use trackway_e2e::{Place, batch, cluster::repository, place::phase, references::fetch_all, story, story::say};
use trackway_scripted_llm::Rules;
use trackway_store::{Name, Scope};
use trackway_test_support::until;

const NAMESPACE: &str = "e2e-demo";
const TRACKS: [&str; 3] = ["admin", "individual", "team"];

#[test]
fn a_ready_batch_runs_through_every_track_that_wants_it() -> Outcome {
    story(NAMESPACE, async {
        let place = Place::bound(NAMESPACE).await?;
        let rules = std::fs::read_to_string(repository().join("tests/demo/rules.yaml"))?;
        // A rule for the run that is to fail stands beside the demo's own.
        let doomed = "\n- {name: the key is wrong, when: {headers: {x-trackway-run-name: doomed-*}}, then: {status: 401}}\n";
        place.llm.set_rules(&Rules::from_yaml(&format!("{rules}{doomed}")).map_err(|error| anyhow::anyhow!("{error}"))?);
        let cluster = place.cluster;
        let tracks = repository().join("examples/tracks");
        cluster.kubectl(&["-n", NAMESPACE, "apply", "-k", &tracks.to_string_lossy()]).await?;
        let all = ["-n", NAMESPACE, "wait", "--for=condition=Ready", "tracks", "--all", "--timeout=30s"];
        cluster.kubectl(&all).await?;

        let id = submitted(&place).await?;
        let names: Vec<String> = TRACKS.iter().map(|track| run_name(track, &id)).collect();
        until_made(&place, &id, &names).await?;
        let mut wait = vec!["-n", NAMESPACE, "wait", "--for=condition=Complete", "--timeout=120s"];
        let resources: Vec<String> = names.iter().map(|name| format!("batchruns/{name}")).collect();
        wait.extend(resources.iter().map(String::as_str));
        cluster.kubectl(&wait).await?;

        let mut runs = Vec::new();
        for name in &names {
            runs.push(place.until_succeeded(name).await?);
        }
        let stages: BTreeSet<Vec<String>> = runs.iter().map(stage_names).collect();
        ensure!(stages.len() == TRACKS.len(), "the tracks do not differ in their stages: {stages:?}");
        retried_on_its_score(&place, &runs[0]).await?;
        for run in &runs {
            columns_follow_from_the_stages(&place, run).await?;
        }
        every_reference_holds(&place, &runs).await?;
        a_failed_run_can_be_waited_for(&place).await
    })
}

/// Publishes a batch the way users do; its id.
async fn submitted(place: &Place) -> Result<String> {
    let document = batch::document(&batch::fresh_id(), 6);
    let lines: Vec<String> = document.events.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    let events = tempfile::Builder::new().suffix(".jsonl").tempfile()?;
    std::fs::write(events.path(), lines.join("\n"))?;
    let file = events.path().to_string_lossy().into_owned();
    let arguments = [
        "submit",
        "-n",
        NAMESPACE,
        "--events",
        &file,
        "--tenant",
        "octo-org",
        "--priority",
        "High",
        "--label",
        "plan=pro",
        "-o",
        "json",
    ];
    let printed = place.cluster.trackway("kubectl-trackway", &arguments).await?;
    let submitted: Value = serde_json::from_str(&printed).with_context(|| printed.clone())?;
    Ok(submitted["batch"].as_str().context("no batch id")?.to_owned())
}

/// Waits until the runs of the batch are those of the tracks that want it, and no other.
async fn until_made(place: &Place, id: &str, names: &[String]) -> Result<()> {
    let of_batch = ListParams::default().labels(&format!("{}={}", labels::BATCH, label_hash(id)));
    let api: Api<BatchRun> = place.api();
    let expected: BTreeSet<String> = names.iter().cloned().collect();
    let made = || async {
        let found: BTreeSet<String> = api.list(&of_batch).await.ok()?.iter().map(ResourceExt::name_any).collect();
        (found == expected).then_some(())
    };
    until(&format!("the batch has the runs {names:?}"), std::time::Duration::from_secs(30), made).await
}

fn status(run: &BatchRun) -> Result<&BatchRunStatus> {
    run.status.as_ref().context("a run without status")
}

fn stage_names(run: &BatchRun) -> Vec<String> {
    run.status.iter().flat_map(|status| &status.stages).map(|stage| stage.name.clone()).collect()
}

/// Attempt 1 was judged too low, attempt 2 saw the judge's words and passed.
async fn retried_on_its_score(place: &Place, admin: &BatchRun) -> Result<()> {
    let insights = status(admin)?.stages.iter().find(|stage| stage.name == "insights").context("admin has no insights")?;
    let verdicts: Vec<_> = insights.attempts.iter().map(|attempt| attempt.verdict).collect();
    ensure!(verdicts == [Some(Verdict::Retry), Some(Verdict::Advance)], "verdicts of insights: {verdicts:?}");
    let words = insights.attempts[0].feedback.clone().context("attempt 1 has no feedback")?;
    ensure!(words.starts_with("Cites no event for the spike"), "feedback: {words}");

    let scope = Scope::run(&place.namespace, admin.metadata.uid.as_deref().context("no uid")?)?;
    let name = Name { stage: "insights".into(), attempt: 2, index: 0, kind: NameKind::Input };
    let stored = place.store.get_name(&scope, &name).await?.context("the input of attempt 2 is not stored")?;
    ensure!(insights.input.as_ref() == Some(&stored.reference), "the status names another input");
    let input = place.store.get_blob(&scope, &stored.reference).await?;
    let input: Value = serde_json::from_slice(&input)?;
    ensure!(input["user"].as_str().is_some_and(|user| user.contains(&words)), "the prompt of attempt 2 lacks {words:?}");
    Ok(())
}

/// `status.summary` and what kubectl prints, recomputed from `status.stages`.
async fn columns_follow_from_the_stages(place: &Place, run: &BatchRun) -> Result<()> {
    let status = status(run)?;
    let summary = status.summary.clone().context("no summary")?;
    let stages = &status.stages;
    let done = stages.iter().filter(|stage| stage.phase == StagePhase::Succeeded).count();
    let accepted = |stage: &StageStatus| stage.attempts.iter().find(|attempt| attempt.verdict == Some(Verdict::Advance))?.score;
    let score: Option<Score> = stages.iter().filter_map(accepted).min();
    let retries: u32 = stages.iter().map(|stage| stage.used.quality.saturating_sub(1)).sum();
    let (from, to) = (status.started_at.clone().context("no start")?, status.completed_at.clone().context("no end")?);
    let took = to.0.as_millisecond() - from.0.as_millisecond();
    let duration = for_people(u64::try_from(took)?);
    let last = stages.last().context("no stage")?.name.clone();
    let expected = (last.clone(), format!("{done}/{}", stages.len()), score, retries, Some(duration.clone()));
    let found = (summary.stage, summary.progress, summary.score, summary.retries, summary.duration);
    ensure!(found == expected, "summary {found:?}, from the stages {expected:?}");

    let printed = place.cluster.kubectl(&["-n", &place.namespace, "get", "batchruns", &run.name_any(), "--no-headers"]).await?;
    let cells: Vec<&str> = printed.split_whitespace().collect();
    let BatchSpec { tenant, priority, .. } = &run.spec.batch;
    let name = run.name_any();
    // A number, as Kubernetes prints numbers.
    let score = serde_json::to_string(&score.context("no score")?)?;
    let (progress, retries) = (format!("{done}/{}", stages.len()), retries.to_string());
    let columns =
        [&name, &run.spec.track_ref.name, tenant, priority.as_str(), "Succeeded", &last, &progress, &score, &retries, &duration];
    ensure!(cells.len() == 11 && cells[..10] == columns, "printed {cells:?}, expected {columns:?} and an age");
    Ok(())
}

async fn every_reference_holds(place: &Place, runs: &[BatchRun]) -> Result<()> {
    let mut payloads = 0;
    for run in runs {
        payloads += fetch_all(place, run).await?.len();
    }
    say(&format!("{payloads} references of {} runs fetched, every size and sha256 as told", runs.len()));
    ensure!(payloads > 30, "only {payloads} references: something is not kept");
    Ok(())
}

async fn a_failed_run_can_be_waited_for(place: &Place) -> Result<()> {
    place.track("doomed", &json!({})).await?;
    let run = place.start_fresh("doomed").await?;
    let resource = format!("batchruns/{}", run.name_any());
    let wait = ["-n", &place.namespace, "wait", "--for=condition=Failed", "--timeout=60s", &resource];
    place.cluster.kubectl(&wait).await?;
    let run = place.api::<BatchRun>().get(&run.name_any()).await?;
    ensure!(phase(&run).is_some_and(|phase| phase.as_str() == "Failed"), "{:?}", phase(&run));
    Ok(())
}

/// `kubectl explain` has words for every field a user can meet.
#[test]
fn every_field_is_explained() -> Outcome {
    story(NAMESPACE, async {
        let place = Place::bound(NAMESPACE).await?;
        for kind in ["batchruns", "tracks", "modelendpoints"] {
            let printed = place.cluster.kubectl(&["explain", kind, "--recursive"]).await?;
            ensure!(printed.contains("FIELDS:") && printed.contains("spec"), "explain {kind} prints {printed}");
            let name = format!("{kind}.trackway.dev");
            let crd = place.cluster.kubectl(&["get", "crd", &name, "-o", "json"]).await?;
            let crd: Value = serde_json::from_str(&crd)?;
            let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema").context("no schema")?;
            let mut silent = BTreeMap::new();
            unexplained(kind, schema, &mut silent);
            // Kubernetes explains these itself.
            silent.retain(|path, _| !["apiVersion", "kind", "metadata"].iter().any(|own| *path == format!("{kind}.{own}")));
            ensure!(silent.is_empty(), "fields without a description: {silent:#?}");
        }
        Ok(())
    })
}

fn unexplained(path: &str, schema: &Value, silent: &mut BTreeMap<String, Value>) {
    for (name, field) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let path = format!("{path}.{name}");
        if field.get("description").and_then(Value::as_str).is_none_or(|words| words.trim().is_empty()) {
            silent.insert(path.clone(), field.get("type").cloned().unwrap_or_default());
        }
        unexplained(&path, field, silent);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get(inner) {
            unexplained(path, inner, silent);
        }
    }
}
