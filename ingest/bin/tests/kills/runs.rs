//! Every BatchRun there is.

use crate::{batches::Announced, world::NAMESPACE};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use trackway_crds::{
    names,
    track::{Level, Priority},
};
use trackway_test_support::{ApiServer, until};

const LIMIT: Duration = Duration::from_secs(120);

/// The names of the runs that `batch` must have, by the selectors of `tracks.yaml`.
fn expected(batch: &Announced) -> Vec<String> {
    let admin = (batch.info.level == Level::Tenant).then_some("admin");
    let individual = (batch.info.priority != Priority::Low).then_some("individual");
    admin.into_iter().chain(individual).map(|track| names::run_name(track, &batch.info.id)).collect()
}

/// Waits until there are as many runs as the batches must have, and holds each to its batch. Returns how many there are.
pub async fn exactly_those_of(batches: &[Announced], api: &ApiServer) -> usize {
    let wanted: BTreeMap<String, &Announced> =
        batches.iter().flat_map(|batch| expected(batch).into_iter().map(move |run| (run, batch))).collect();
    let enough = || async { Some(list(api).await).filter(|runs| runs.len() >= wanted.len()) };
    let runs = match until("every batch has its runs", LIMIT, enough).await {
        Ok(runs) => runs,
        Err(_) => list(api).await,
    };
    let found: BTreeSet<&str> = runs.iter().filter_map(|run| run["metadata"]["name"].as_str()).collect();
    let missing: Vec<&String> = wanted.keys().filter(|run| !found.contains(run.as_str())).collect();
    let strangers: Vec<&&str> = found.iter().filter(|run| !wanted.contains_key(**run)).collect();
    assert!(missing.is_empty() && strangers.is_empty(), "missing runs {missing:?}, runs of no batch {strangers:?}");
    assert_eq!(runs.len(), wanted.len());
    for run in &runs {
        let of = &run["spec"]["batch"];
        let batch = wanted[run["metadata"]["name"].as_str().unwrap()];
        let input = serde_json::to_value(&batch.input).unwrap();
        assert_eq!((&of["id"], &of["input"]), (&Value::from(batch.info.id.as_str()), &input), "{run}");
        assert_eq!(of["events"], batch.events.len(), "{run}");
    }
    runs.len()
}

async fn list(api: &ApiServer) -> Vec<Value> {
    let text = api.kubectl(&["get", "batchruns", "--namespace", NAMESPACE, "--output", "json"]).await.unwrap();
    let Value::Array(runs) = serde_json::from_str::<Value>(&text).unwrap()["items"].take() else { panic!("no list: {text}") };
    runs
}
