//! Every reference a run holds, and what it names.

use crate::Place;
use anyhow::Context;
use serde_json::Value;
use std::collections::BTreeSet;
use trackway_crds::{BatchRun, contracts::Reference, names::sha256_hex};
use trackway_store::Scope;

/// Fetches everything `run` refers to, directly and through its records; returns how many references there are and the texts.
///
/// # Errors
/// A payload that is not there, or whose size or sha256 is another than its reference says.
pub async fn fetch_all(place: &Place, run: &BatchRun) -> anyhow::Result<Vec<Vec<u8>>> {
    let uid = run.metadata.uid.as_deref().context("a run without uid")?;
    let scope = Scope::run(&place.namespace, uid)?;
    let input = &run.spec.batch.input;
    let batch = place.store.get_batch(&place.namespace, input).await?.to_vec();
    same(input, &batch)?;
    let mut texts = vec![batch];
    let mut seen = BTreeSet::from([input.clone()]);
    let mut open = found_in(&serde_json::to_value(&run.status)?);
    while let Some(reference) = open.pop() {
        if !seen.insert(reference.clone()) {
            continue;
        }
        let text =
            place.store.get_blob(&scope, &reference).await.with_context(|| format!("{} names {reference:?}", place.name(run)))?;
        same(&reference, &text)?;
        // A record names input, output and verdict; a stage's input names the outputs before it.
        open.extend(serde_json::from_slice::<Value>(&text).iter().flat_map(found_in));
        texts.push(text.to_vec());
    }
    Ok(texts)
}

fn same(reference: &Reference, text: &[u8]) -> anyhow::Result<()> {
    anyhow::ensure!(sha256_hex(text) == reference.sha256, "{reference:?} names a payload of sha256 {}", sha256_hex(text));
    anyhow::ensure!(text.len() as u64 == reference.bytes, "{reference:?} names a payload of {} bytes", text.len());
    Ok(())
}

fn found_in(value: &Value) -> Vec<Reference> {
    let inner: Vec<Reference> = match value {
        Value::Object(fields) => fields.values().flat_map(found_in).collect(),
        Value::Array(items) => items.iter().flat_map(found_in).collect(),
        _ => Vec::new(),
    };
    let this = value.get("sha256").and_then(|_| serde_json::from_value(value.clone()).ok());
    this.into_iter().chain(inner).collect()
}
