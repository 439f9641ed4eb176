//! The whole output of a fan-out.

use crate::{
    cluster::identity,
    payloads::{Document, Payloads},
};
use anyhow::{Context, anyhow, bail};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;
use trackway_crds::{
    BatchRun,
    contracts::{NameKind, ResolvedStage, Revision, RunRef},
    ledger::Ledger,
    status::{StagePhase, StageStatus, TargetsStatus},
};
use trackway_worker::composed;

/// How long a person waits for a thousand targets to be put together.
const LIMIT: Duration = Duration::from_secs(60);

/// Every target of an ended fan-out, failures included: as somebody put it together already, else put together now.
pub(super) async fn output(
    payloads: &Payloads,
    run: &BatchRun,
    revision: Option<&Revision>,
    stage: &StageStatus,
    targets: &TargetsStatus,
) -> anyhow::Result<Value> {
    let name = &stage.name;
    if let Some(composed) = payloads.named(Document { stage: name, attempt: 0, index: 0, kind: NameKind::Output }).await? {
        return Ok(composed);
    }
    if stage.phase == StagePhase::Running {
        let done = targets.succeeded + targets.failed;
        bail!("stage {name} is at work: {done} of {} targets have ended; {name}/KEY prints one of them", targets.total);
    }
    let resolved = revision.and_then(|revision| revision.stage(name));
    let resolved = resolved.ok_or_else(|| anyhow!("the run's revision is gone, which says what stage {name} is"))?;
    let ledger = Ledger::decode(&targets.ledger)?;
    let source = source(payloads, run, resolved).await?;
    let (run_name, uid) = identity(run)?;
    let namespace = run.metadata.namespace.clone().unwrap_or_default();
    let run = RunRef { namespace, name: run_name.to_owned(), uid: uid.to_owned() };
    let composed = composed(&payloads.store, &run, resolved, &ledger, &source, Instant::now() + LIMIT).await;
    let output = composed.map_err(|failure| anyhow!("the targets of {name} cannot be put together: {failure}"))?;
    serde_json::to_value(output).context("cannot write JSON")
}

/// The output that holds the list.
async fn source(payloads: &Payloads, run: &BatchRun, stage: &ResolvedStage) -> anyhow::Result<Value> {
    let for_each = stage.for_each.as_ref().ok_or_else(|| anyhow!("stage {} is no fan-out in the run's revision", stage.name))?;
    let stages = run.status.as_ref().map(|status| status.stages.as_slice()).unwrap_or_default();
    let source = stages.iter().find(|stage| stage.name == for_each.stage).and_then(|stage| stage.output.as_ref());
    let source = source
        .ok_or_else(|| anyhow!("stage {}, which the targets of {} come from, has no output", for_each.stage, stage.name))?;
    payloads.blob_as(source).await
}
