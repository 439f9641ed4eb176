//! The whole output of a fan-out.

use crate::payloads::{Document, Payloads};
use anyhow::bail;
use serde_json::Value;
use trackway_crds::{
    contracts::NameKind,
    status::{StagePhase, StageStatus, TargetsStatus},
};

/// Every target of an ended fan-out, failures included: as it was put together.
pub(super) async fn output(payloads: &Payloads, stage: &StageStatus, targets: &TargetsStatus) -> anyhow::Result<Value> {
    let name = &stage.name;
    if let Some(composed) = payloads.named(Document { stage: name, attempt: 0, index: 0, kind: NameKind::Output }).await? {
        return Ok(composed);
    }
    if stage.phase == StagePhase::Running {
        let done = targets.succeeded + targets.failed;
        bail!("stage {name} is at work: {done} of {} targets have ended; {name}/KEY prints one of them", targets.total);
    }
    bail!("the targets of {name} have not been put together yet: the next stage does that; {name}/KEY prints one of them")
}
