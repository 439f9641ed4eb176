//! What the demo shows, held against what it promises: two batches, three tracks, every column, every reference.

use crate::{Context, Outcome, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use trackway_crds::{
    BatchRun, Score,
    batch_run::BatchSpec,
    contracts::{BroadcastOutput, DeliveryPhase, NameKind},
    duration::for_people,
    labels,
    ledger::TargetState,
    names::{label_hash, run_name},
    status::{BatchRunStatus, StagePhase, StageStatus, Verdict},
};
use trackway_e2e::{
    Place, batch,
    cluster::{RELEASE_NAMESPACE, repository},
    fan,
    references::fetch_all,
    story,
    story::say,
};
use trackway_store::{Name, Scope};
use trackway_test_support::until;
use trackway_webhook_sink::Received;

const NAMESPACE: &str = "e2e-demo";
/// The Secret that the example tracks' channels name.
const SIGNING_SECRET: &str = "inbox-webhook";
const TRACKS: [&str; 3] = ["admin", "individual", "team"];

#[test]
fn ready_batches_run_through_every_track_that_wants_them() -> Outcome {
    story(NAMESPACE, async {
        let place = Place::bound(NAMESPACE).await?;
        place.rules(&std::fs::read_to_string(repository().join("tests/demo/rules.yaml"))?)?;
        same_signing_secret(&place).await?;
        let cluster = place.cluster;
        let tracks = repository().join("examples/tracks");
        cluster.kubectl(&["-n", NAMESPACE, "apply", "-k", &tracks.to_string_lossy()]).await?;
        let all = ["-n", NAMESPACE, "wait", "--for=condition=Ready", "tracks", "--all", "--timeout=30s"];
        cluster.kubectl(&all).await?;

        // As the demo's rules tell batches apart: one that goes well, one of which the track individual fails.
        let (good, bad) = (submitted(&place, 'b').await?, submitted(&place, 'd').await?);
        let names = |id: &str| -> Vec<String> { TRACKS.iter().map(|track| run_name(track, id)).collect() };
        until_made(&place, &good, &names(&good)).await?;
        until_made(&place, &bad, &names(&bad)).await?;
        complete(&place, &names(&good)).await?;

        let mut runs = Vec::new();
        for name in &names(&good) {
            runs.push(place.until_succeeded(name).await?);
        }
        let stages: BTreeSet<Vec<String>> = runs.iter().map(stage_names).collect();
        ensure!(stages.len() == TRACKS.len(), "the tracks do not differ in their stages: {stages:?}");
        retried_on_its_score(&place, &runs[0]).await?;
        one_notice_failed_and_one_is_withheld(&place, &runs[0]).await?;
        one_run_fails_beside_the_others(&place, &names(&bad)).await?;
        runs.push(place.until_succeeded(&names(&bad)[0]).await?);
        runs.push(place.until_succeeded(&names(&bad)[2]).await?);
        for run in &runs {
            columns_follow_from_the_stages(&place, run).await?;
        }
        every_notice_arrived_signed(&place, &runs).await?;
        every_reference_holds(&place, &runs).await
    })
}

/// The receiver of the release's namespace verifies with its Secret; the channels of this one sign with theirs.
async fn same_signing_secret(place: &Place) -> Result<()> {
    let of_release: Api<Secret> = Api::namespaced(place.cluster.client.clone(), RELEASE_NAMESPACE);
    let data = of_release.get(SIGNING_SECRET).await?.data;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SIGNING_SECRET}, "data": data});
    place.apply::<Secret>(&secret).await.map(drop)
}

async fn complete(place: &Place, names: &[String]) -> Result<()> {
    let mut wait = vec!["-n", NAMESPACE, "wait", "--for=condition=Complete", "--timeout=150s"];
    let resources: Vec<String> = names.iter().map(|name| format!("batchruns/{name}")).collect();
    wait.extend(resources.iter().map(String::as_str));
    place.cluster.kubectl(&wait).await.map(drop)
}

/// Publishes a batch the way users do, with an id that begins with `letter`; the id.
async fn submitted(place: &Place, letter: char) -> Result<String> {
    let id: String = std::iter::once(letter).chain(batch::fresh_id().chars().skip(1)).collect();
    let document = batch::document(&id, 6);
    let lines: Vec<String> = document.events.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
    let events = tempfile::Builder::new().suffix(".jsonl").tempfile()?;
    std::fs::write(events.path(), lines.join("\n"))?;
    let file = events.path().to_string_lossy().into_owned();
    let usual = ["submit", "-n", NAMESPACE, "--tenant", "octo-org", "--priority", "High", "--label", "plan=pro", "-o", "json"];
    let arguments = [&usual[..], &["--events", &file, "--batch-id", &id]].concat();
    let printed = place.cluster.trackway("kubectl-trackway", &arguments).await?;
    let submitted: Value = serde_json::from_str(&printed).with_context(|| printed.clone())?;
    ensure!(submitted["batch"] == json!(id), "submit prints {printed}");
    Ok(id)
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
    let lowest = |stage: &StageStatus| stage.targets.as_ref().map_or_else(|| accepted(stage), |targets| targets.lowest);
    let score: Option<Score> = stages.iter().filter_map(lowest).min();
    let own = |stage: &StageStatus| stage.attempts.last().map_or(0, |last| last.attempt - 1);
    let retries: u32 =
        stages.iter().map(|stage| stage.targets.as_ref().map_or_else(|| own(stage), |targets| targets.retries)).sum();
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

/// The notice of target 7 has used up its five attempts; the editor hears of it, and withholds another one.
async fn one_notice_failed_and_one_is_withheld(place: &Place, admin: &BatchRun) -> Result<()> {
    let targets = fan::targets(admin)?;
    ensure!(targets.total >= 20 && targets.failed == 1, "{targets:?}");
    let failed = fan::ledger(admin)?.0[7];
    ensure!(failed.state == TargetState::FailedQuality && failed.attempt == 5, "target 7: {failed:?}");
    ensure!(targets.retries > 4, "only the failed target was retried: {}", targets.retries);
    let scope = Scope::run(&place.namespace, admin.metadata.uid.as_deref().context("no uid")?)?;
    let read = async |stage: &str, kind: NameKind| {
        let name = Name { stage: stage.into(), attempt: 1, index: 0, kind };
        let stored = place.store.get_name(&scope, &name).await?.with_context(|| format!("{stage} has stored nothing"))?;
        anyhow::Ok(serde_json::from_slice::<Value>(&place.store.get_blob(&scope, &stored.reference).await?)?)
    };
    let seen = read("editorial-review", NameKind::Input).await?["user"].to_string();
    ensure!(seen.contains(&format!("1 of {} could not be written", targets.total)), "the editor was asked {seen}");
    let sent: BroadcastOutput = serde_json::from_value(read("broadcast", NameKind::Output).await?)?;
    let counts = sent.counts;
    ensure!((counts.delivered, counts.withheld, counts.refused) == (targets.total - 2, 1, 0), "{counts:?}");
    Ok(())
}

/// Of three runs of one batch one fails for good and is explained; the others do not notice.
async fn one_run_fails_beside_the_others(place: &Place, names: &[String]) -> Result<()> {
    let resource = format!("batchruns/{}", names[1]);
    place.cluster.kubectl(&["-n", NAMESPACE, "wait", "--for=condition=Failed", "--timeout=150s", &resource]).await?;
    let run = place.api::<BatchRun>().get(&names[1]).await?;
    let status = status(&run)?;
    let failure = status.failure.as_ref().context("no failure")?;
    ensure!((failure.stage.as_deref(), failure.reason.as_str()) == (Some("recommendations"), "QualityExhausted"), "{failure:?}");
    let diagnosis = status.diagnosis.as_ref().context("no diagnosis")?;
    ensure!(diagnosis.root_cause.contains("recommendations.md") && !diagnosis.evidence.is_empty(), "{diagnosis:?}");
    complete(place, &[names[0].clone(), names[2].clone()]).await
}

/// What the receiver has of these runs is what their broadcasts say to have sent, each under a valid signature.
async fn every_notice_arrived_signed(place: &Place, runs: &[BatchRun]) -> Result<()> {
    let path = format!("/api/v1/namespaces/{RELEASE_NAMESPACE}/services/webhook-sink:8080/proxy/received");
    let received: Value = serde_json::from_str(&place.cluster.kubectl(&["get", "--raw", &path]).await?)?;
    let received: Vec<Received> = serde_json::from_value(received["received"].clone())?;
    let (mut delivered, mut verified) = (0, 0);
    for run in runs {
        let scope = Scope::run(&place.namespace, run.metadata.uid.as_deref().context("no uid")?)?;
        let output = status(run)?.stages.last().and_then(|stage| stage.output.clone()).context("the broadcast has no output")?;
        let sent: BroadcastOutput = serde_json::from_slice(&place.store.get_blob(&scope, &output).await?)?;
        let ids: BTreeSet<_> =
            sent.deliveries.iter().filter(|one| one.phase == DeliveryPhase::Delivered).map(|one| &one.id).collect();
        let came = received.iter().filter(|one| ids.contains(&one.id) && one.accepted == 1);
        verified += came.filter(|one| one.verified && one.times == 1).count();
        delivered += ids.len();
    }
    say(&format!("{delivered} notices sent, {verified} received once with a valid signature"));
    ensure!(delivered > 40 && verified == delivered, "{verified} of {delivered} notices arrived as they should");
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
