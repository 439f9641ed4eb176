//! The begin of a fan-out.

use super::{FanOut, TARGETS_INVALID, count, due, end, record};
use crate::{
    decide,
    open::{idle_millis, push_stage, tell_story},
    plan::Draft,
};
use trackway_crds::{
    contracts::{ErrorClass, ResolvedForEach, ResolvedStage, Revision},
    ledger::Ledger,
    status::Phase,
};

/// Opens `resolved` over the list that `for_each` names, and its first wave with it. An empty list is done at once.
pub(crate) fn open(draft: &mut Draft<'_>, revision: &Revision, resolved: &ResolvedStage, for_each: &ResolvedForEach) {
    let idle = idle_millis(draft);
    let paused = draft.before.phase == Some(Phase::Suspended);
    let count = count(&draft.status.stages, for_each);
    tell_story(draft, &resolved.name);
    let now = draft.now;
    let stage = push_stage(draft, &resolved.name);
    *(if paused { &mut stage.millis.paused } else { &mut stage.millis.queued }) += idle;
    let total = *count.as_ref().unwrap_or(&0);
    stage.targets = Some(due(total, now));
    let index = draft.status.stages.len() - 1;
    if let Err(message) = count {
        return decide::fail_stage(draft, index, None, ErrorClass::Permanent, TARGETS_INVALID, &message);
    }
    let ledger = Ledger::new(usize::try_from(total).unwrap_or(0));
    let fan_out = FanOut { stage: index, resolved, for_each, ledger, urgent: true, last: None, tipped: None };
    if end::stage(draft, &fan_out) {
        return crate::open::next_try(draft, revision);
    }
    record::go_on(draft, revision, fan_out);
}
