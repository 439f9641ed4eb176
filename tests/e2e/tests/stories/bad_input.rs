//! The table `bad_input.yaml`, row by row.

use crate::{Context, Outcome, Result, STEP, ensure};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};
use tokio::sync::OnceCell;
use trackway_crds::{BatchRun, Questionnaire, Track, contracts::BatchDocument, status::Phase};
use trackway_e2e::{
    Place, batch,
    cluster::{file, repository},
    json::{merge, yaml},
    place::{RUN_LIMIT, phase},
    soak, story,
    story::say,
};
use trackway_scripted_llm::Rule;

const NAMESPACE: &str = "e2e-bad";
/// Runs beside each other.
const BESIDE: usize = 6;

/// A row of the table.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Row {
    name: String,
    refused: RefusedBy,
    #[serde(default)]
    object: String,
    #[serde(default = "nothing")]
    given: Value,
    status: Option<Value>,
    change: Option<Value>,
    #[serde(default = "nothing")]
    prompts: Value,
    endpoint: Option<Value>,
    #[serde(default)]
    rules: Vec<Rule>,
    event_bytes: Option<usize>,
    answer_bytes: Option<usize>,
    #[serde(default)]
    class: String,
    #[serde(default)]
    reason: String,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RefusedBy {
    Apiserver,
    Track,
    Run,
}

fn nothing() -> Value {
    json!({})
}

fn rows(refused: RefusedBy) -> Result<Vec<(String, Row)>> {
    let all: Vec<Row> = file("bad_input.yaml")?;
    // Short, and the same at each run: it names Track, runs and prompts.
    let numbered = all.into_iter().enumerate().map(|(number, row)| (format!("bad-{number:02}"), row));
    Ok(numbered.filter(|(_, row)| row.refused == refused).collect())
}

/// The place, with the rules of every row set once: stories of this file run beside each other.
async fn place() -> Result<std::sync::Arc<Place>> {
    static RULES: OnceCell<()> = OnceCell::const_new();
    let place = Place::bound(NAMESPACE).await?;
    RULES.get_or_try_init(|| async { place.rules(&rules()?) }).await?;
    Ok(place)
}

/// The rules of every row, each for the runs of its own Track.
fn rules() -> Result<String> {
    let mut all = vec![busy()?];
    for (track, row) in rows(RefusedBy::Run)? {
        let large = row
            .answer_bytes
            .map(|bytes| json!({"name": "large", "when": {"kind": "generate"}, "then": {"text": "x".repeat(bytes)}}));
        let large: Option<Rule> = large.map(serde_json::from_value).transpose()?;
        for mut rule in row.rules.into_iter().chain(large) {
            rule.when.headers.insert("x-trackway-run-name".into(), format!("{track}-*"));
            all.push(rule);
        }
    }
    Ok(serde_json::to_string(&all)?)
}

fn busy() -> Result<Rule> {
    let (times, wait) = if soak() { (5, 15) } else { (2, 1) };
    let rule = json!({"name": "busy", "when": {"headers": {"x-trackway-run-name": "busy-*", "x-trackway-stage": "insights"}, "kind": "generate"},
        "then": {"status": 429, "retryAfter": wait}, "times": times});
    Ok(serde_json::from_value(rule)?)
}

#[test]
fn the_api_server_refuses_what_breaks_a_rule() -> Outcome {
    story(NAMESPACE, async {
        let place = place().await?;
        let rows = rows(RefusedBy::Apiserver)?;
        for (name, row) in &rows {
            refused_by_the_api_server(&place, name, row).await.with_context(|| row.name.clone())?;
        }
        say(&format!("{} rows refused by the API server", rows.len()));
        every_rule_has_a_row(&rows)
    })
}

async fn refused_by_the_api_server(place: &Place, name: &str, row: &Row) -> Result<()> {
    let id = batch::fresh_id();
    let named = |kind: &str, spec: Value| json!({"apiVersion": "trackway.dev/v1alpha1", "kind": kind, "metadata": {"name": format!("{name}-{id}")}, "spec": spec});
    let mut object = match row.object.as_str() {
        "Track" => place.small_track(name, &json!({}), &json!({}))?.0,
        "BatchRun" => {
            let batch = place.batch(&batch::document(&id, 1)).await?;
            named("BatchRun", json!({"trackRef": {"name": "nowhere"}, "batch": batch}))
        }
        _ => named("Questionnaire", questionnaire()),
    };
    merge(&mut object, &row.given);
    let said = match row.object.as_str() {
        "Track" => refusal::<Track>(place.api(), &object, row).await?,
        "BatchRun" => refusal::<BatchRun>(place.api(), &object, row).await?,
        _ => refusal::<Questionnaire>(place.api(), &object, row).await?,
    };
    ensure!(said.contains(&row.message), "the API server says {said:?}, not {:?}", row.message);
    Ok(())
}

fn questionnaire() -> Value {
    let question =
        json!({"id": "tone", "question": "Which tone?", "why": "Notices are read by people.", "answer": {"type": "string"}});
    json!({"tenant": "octo-org", "subject": "octo-org", "questions": [question], "expiresAt": "2100-01-01T00:00:00.000000Z"})
}

/// What the API server says to the creation, or to the change.
async fn refusal<K>(api: Api<K>, object: &Value, row: &Row) -> Result<String>
where
    K: kube::Resource<DynamicType = ()> + Clone + DeserializeOwned + serde::Serialize + Debug,
{
    // Sent as it is written: our own types would refuse some of it themselves.
    let dynamic: Api<kube::api::DynamicObject> =
        Api::namespaced_with(api.clone().into_client(), NAMESPACE, &kube::api::ApiResource::erase::<K>(&()));
    let object: kube::api::DynamicObject = serde_json::from_value(object.clone())?;
    let Some(change) = &row.change else {
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let outcome = dynamic.create(&dry, &object).await;
        return outcome.map_or_else(|error| Ok(error.to_string()), |_| anyhow::bail!("it was taken"));
    };
    let name = object.name_any();
    dynamic.create(&PostParams::default(), &object).await?;
    if let Some(status) = &row.status {
        let status = Patch::Merge(json!({"status": status}));
        dynamic.patch_status(&name, &PatchParams::default(), &status).await?;
    }
    let outcome = dynamic.patch(&name, &PatchParams::default(), &Patch::Merge(change)).await;
    dynamic.delete(&name, &DeleteParams::background()).await?;
    outcome.map_or_else(|error| Ok(error.to_string()), |_| anyhow::bail!("it was taken"))
}

/// Walks the CRDs: a rule nobody ever broke is a rule nobody knows to work.
fn every_rule_has_a_row(rows: &[(String, Row)]) -> Result<()> {
    let mut rules = BTreeSet::new();
    for kind in ["batchruns", "modelendpoints", "questionnaires", "tracks"] {
        let path = repository().join(format!("crds/manifests/{kind}.yaml"));
        let crd: Value = yaml(kind, &std::fs::read_to_string(path)?)?;
        collect_rules(&crd, &mut rules);
    }
    let told: BTreeSet<String> = rows.iter().map(|(_, row)| row.message.clone()).collect();
    let untold: Vec<_> = rules.difference(&told).collect();
    ensure!(untold.is_empty(), "rules of the CRDs without a row in bad_input.yaml: {untold:#?}");
    ensure!(!rules.is_empty(), "the CRDs have no rules");
    say(&format!("{} rules of the CRDs, each broken", rules.len()));
    Ok(())
}

fn collect_rules(value: &Value, rules: &mut BTreeSet<String>) {
    let own = value.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten();
    rules.extend(own.filter_map(|rule| rule["message"].as_str()).map(str::to_owned));
    match value {
        Value::Object(fields) => fields.values().for_each(|field| collect_rules(field, rules)),
        Value::Array(items) => items.iter().for_each(|item| collect_rules(item, rules)),
        _ => {}
    }
}

#[test]
fn a_wrong_track_says_so_before_any_batch_meets_it() -> Outcome {
    story(NAMESPACE, async {
        let place = place().await?;
        let rows = rows(RefusedBy::Track)?;
        let told =
            rows.iter().map(|(name, row)| async { said_by_the_track(&place, name, row).await.with_context(|| row.name.clone()) });
        let told: Vec<Result<()>> = stream::iter(told).buffer_unordered(BESIDE).collect().await;
        all_held(told, "their Track")
    })
}

/// Counts rows, and names every one that failed.
fn all_held(told: Vec<Result<()>>, by: &str) -> Result<()> {
    let rows = told.len();
    let failed: Vec<String> = told.into_iter().filter_map(|row| row.err().map(|error| format!("{error:#}"))).collect();
    ensure!(failed.is_empty(), "{} of {rows} rows failed:\n{}", failed.len(), failed.join("\n"));
    say(&format!("{rows} rows refused by {by}"));
    Ok(())
}

async fn said_by_the_track(place: &Place, name: &str, row: &Row) -> Result<()> {
    let (track, prompts) = place.small_track(name, &row.given, &row.prompts)?;
    place.apply::<ConfigMap>(&prompts).await?;
    place.apply::<Track>(&track).await?;
    let judged = |track: &Track| track.status.as_ref().is_some_and(|status| !status.conditions.is_empty());
    let track = place.until_track(name, "says whether it is ready", judged).await?;
    let conditions = track.status.context("no status")?.conditions;
    let ready = conditions.iter().find(|condition| condition.type_ == "Ready").context("no condition Ready")?;
    ensure!(ready.status == "False" && ready.reason == row.reason, "{} {}: {}", ready.status, ready.reason, ready.message);
    ensure!(ready.message.contains(&row.message), "it says {:?}, not {:?}", ready.message, row.message);
    Ok(())
}

#[test]
fn a_run_ends_with_the_class_and_reason_of_what_went_wrong() -> Outcome {
    story(NAMESPACE, async {
        let place = place().await?;
        let rows = rows(RefusedBy::Run)?;
        let told =
            rows.iter().map(|(name, row)| async { said_by_the_run(&place, name, row).await.with_context(|| row.name.clone()) });
        let told: Vec<Result<()>> = stream::iter(told).buffer_unordered(BESIDE).collect().await;
        all_held(told, "their run")
    })
}

async fn said_by_the_run(place: &Place, name: &str, row: &Row) -> Result<()> {
    let mut given = row.given.clone();
    if let Some(endpoint) = &row.endpoint {
        place.endpoint(name, endpoint.clone()).await?;
        let model = |role: &str| json!({"role": role, "endpoint": name, "model": "scripted"});
        merge(&mut given, &json!({"spec": {"models": [model("writer"), model("critic")]}}));
    }
    place.track_with(name, &given, &row.prompts).await?;
    let id = batch::fresh_id();
    let batch = place.batch(&document(&id, row.event_bytes)).await?;
    let run = place.start(&trackway_crds::names::run_name(name, &id), name, batch).await?.name_any();
    let run = place.until(&run, "has ended", RUN_LIMIT, |run| phase(run).is_some_and(Phase::is_finished)).await?;
    ensure!(phase(&run) == Some(Phase::Failed), "it ended as {:?}", phase(&run));
    let status = run.status.context("no status")?;
    let failure = status.failure.context("no failure")?;
    let found = (failure.class.as_str(), failure.reason.as_str());
    ensure!(found == (row.class.as_str(), row.reason.as_str()), "{found:?}: {}", failure.message);
    ensure!(failure.message.contains(&row.message), "it says {:?}, not {:?}", failure.message, row.message);
    let failed = status.conditions.iter().find(|condition| condition.type_ == "Failed").context("no condition Failed")?;
    ensure!(failed.reason == failure.reason, "the condition's reason is {}", failed.reason);
    Ok(())
}

fn document(id: &str, event_bytes: Option<usize>) -> BatchDocument {
    let mut document = batch::document(id, 3);
    if let (Some(bytes), Some(event)) = (event_bytes, document.events.first_mut()) {
        event.data = json!({"text": "x".repeat(bytes)});
    }
    document
}

/// A server that is busy for a while costs time and nothing else.
#[test]
fn a_while_of_429_is_waited_out() -> Outcome {
    story(NAMESPACE, async {
        let place = place().await?;
        place.track("busy", &json!({})).await?;
        let name = place.start_fresh("busy").await?.name_any();
        let limit = STEP * if soak() { 3 } else { 1 };
        let run = place.until(&name, "has ended", limit, |run| phase(run).is_some_and(Phase::is_finished)).await?;
        ensure!(phase(&run) == Some(Phase::Succeeded), "it ended as {:?}", phase(&run));
        let insights = &run.status.as_ref().context("no status")?.stages[0];
        ensure!(
            insights.attempts.len() == 1 && insights.attempts[0].attempt == 1,
            "another attempt was made: {:?}",
            insights.attempts
        );
        let answered: BTreeMap<String, u64> = place.answered(&run);
        ensure!(answered["Generate insights/1"] == 1, "generations: {answered:?}");
        Ok(())
    })
}
