//! What a Job's pods are told, whatever they are for.

use crate::{plan::Draft, tokens};
use std::collections::BTreeMap;
use trackway_crds::{
    contracts::{Assignment, CONTRACT, FanOutState, Revision, RunRef},
    status::{StagePhase, StageStatus},
};

/// The assignment of one try, with the outputs of every stage that was accepted. `in_flight` is how many share what is left of
/// the run's tokens.
pub(crate) fn assignment(
    draft: &Draft<'_>,
    revision: &Revision,
    (stage, attempt, try_): (&str, u32, u32),
    in_flight: u32,
) -> Assignment {
    let accepted = || draft.status.stages.iter().filter(|stage| stage.phase == StagePhase::Succeeded);
    let fan_out = |stage: &StageStatus| {
        let ledger = stage.targets.as_ref()?.ledger.clone();
        Some((stage.name.clone(), FanOutState { ledger }))
    };
    let output = |stage: &StageStatus| Some((stage.name.clone(), stage.output.clone()?));
    Assignment {
        contract: CONTRACT,
        run: RunRef { namespace: draft.run.namespace.into(), name: draft.run.name.into(), uid: draft.run.uid.into() },
        revision: draft.status.revision.clone().unwrap_or_default(),
        batch: draft.run.spec.batch.clone(),
        stage: stage.to_owned(),
        attempt,
        try_,
        stages: accepted().filter_map(output).collect(),
        fan_outs: accepted().filter_map(fan_out).collect::<BTreeMap<_, _>>(),
        wave: None,
        failure: None,
        tokens_left: tokens::left(&draft.status, revision).map(|left| left / u64::from(in_flight.max(1))),
    }
}
