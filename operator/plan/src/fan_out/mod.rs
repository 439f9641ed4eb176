//! Fan-out: one stage, many targets, each with its own attempts and budgets. The ledger in the status is all that is known of them;
//! a wave is one Job over targets that are due (design.md §5).
//!
//! ```text
//! ledger ──▶ conclude the waves ──▶ settle each target ──▶ drop ended waves ──▶ end the stage, or cut the next wave
//! ```

mod conclude;
mod cut;
mod end;
mod open;
mod record;
mod settle;
mod timing;
mod waves;
mod worst;

pub(crate) use conclude::has_reported;
pub(crate) use open::open;
pub(crate) use timing::account;
pub use waves::{wave_targets, wave_text};

use crate::{attempts, decide, plan::Draft, timing::later};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use trackway_crds::{
    contracts::{ErrorClass, ResolvedForEach, ResolvedStage, ResultMillis, Revision},
    ledger::{Ledger, MAX_TARGETS, Target, TargetState},
    status::{BatchRunStatus, StagePhase, StageStatus, TargetsStatus, WorstTarget},
};

/// The list of a fan-out is missing or cannot be used.
pub(crate) const TARGETS_INVALID: &str = "TargetsInvalid";
/// Progress alone is written at most this often.
const PROGRESS_MILLIS: u64 = 1_000;

/// A running fan-out while a plan is made for it.
struct FanOut<'r> {
    /// Index of its stage in the status.
    stage: usize,
    resolved: &'r ResolvedStage,
    for_each: &'r ResolvedForEach,
    ledger: Ledger,
    /// Something happened that is written at once.
    urgent: bool,
    /// The last result that counted.
    last: Option<LastResult>,
    /// The failure with which more targets had failed than are tolerated, or else the last one.
    tipped: Option<Tipped>,
}

/// What is needed of a result to say where a wave's time went.
#[derive(Clone)]
pub(crate) struct LastResult {
    millis: ResultMillis,
    arrived_at: Timestamp,
}

/// A failed target that may decide the stage.
#[derive(Clone)]
struct Tipped {
    target: WorstTarget,
    certain: bool,
}

/// Whether a fan-out runs.
pub(crate) fn is_open(status: &BatchRunStatus) -> bool {
    attempts::running(&status.stages).is_some_and(|index| status.stages[index].targets.is_some())
}

/// Brings the running fan-out one step further, to its end if all its targets have ended.
pub(crate) fn advance(draft: &mut Draft<'_>, revision: &Revision) {
    let Some(index) = attempts::running(&draft.status.stages) else { return };
    let fan_out = match FanOut::read(&draft.status.stages[index], index, revision) {
        Ok(fan_out) => fan_out,
        Err(message) => return decide::fail_stage(draft, index, None, ErrorClass::Permanent, TARGETS_INVALID, &message),
    };
    let mut fan_out = fan_out;
    for (target, outcome) in conclude::outcomes(draft, revision, &mut fan_out) {
        settle::settle(draft, &mut fan_out, target, outcome);
    }
    fan_out.write(draft);
    end::waves(draft, &mut fan_out);
    if !end::stage(draft, &fan_out) {
        record::go_on(draft, revision, fan_out);
    }
}

impl<'r> FanOut<'r> {
    fn read(stage: &StageStatus, index: usize, revision: &'r Revision) -> Result<Self, String> {
        let unknown = || format!("the revision has no fan-out {}", stage.name);
        let resolved = revision.stage(&stage.name).ok_or_else(unknown)?;
        let for_each = resolved.for_each.as_ref().ok_or_else(unknown)?;
        let targets = stage.targets.as_ref().ok_or_else(unknown)?;
        let ledger = Ledger::decode(&targets.ledger).map_err(|error| error.to_string())?;
        Ok(Self { stage: index, resolved, for_each, ledger, urgent: false, last: None, tipped: None })
    }

    fn targets<'s>(&self, draft: &'s mut Draft<'_>) -> Option<&'s mut TargetsStatus> {
        draft.status.stages.get_mut(self.stage)?.targets.as_mut()
    }

    fn target(&mut self, index: u32) -> Option<&mut Target> {
        self.ledger.0.get_mut(usize::try_from(index).ok()?)
    }

    /// The counters and the text that follow from the ledger.
    fn write(&self, draft: &mut Draft<'_>) {
        let Some(targets) = self.targets(draft) else { return };
        targets.running = self.ledger.count(|state| state == TargetState::Running);
        targets.succeeded = self.ledger.count(|state| state == TargetState::Succeeded);
        targets.failed = self.ledger.count(TargetState::is_failed);
        targets.retries = self.ledger.0.iter().map(|target| target.attempt.saturating_sub(1)).sum();
        targets.ledger = self.ledger.encode();
        if !self.ledger.0.iter().any(|target| target.state == TargetState::Due) {
            targets.due_since = None;
        }
    }

    /// Takes back what is only progress, if progress was written less than a second ago.
    fn hold_progress(&self, draft: &mut Draft<'_>) {
        let stage = self.stage;
        let Some(before) = draft.before.stages.get(stage).filter(|before| before.targets.is_some()) else { return };
        if draft.status.stages.get(stage) == Some(before) {
            return;
        }
        let written = before.targets.as_ref().map_or(draft.now, |targets| targets.updated_at.0);
        let next = later(written, PROGRESS_MILLIS);
        if !self.urgent && draft.now < next {
            draft.status.stages[stage] = before.clone();
            draft.out.events.clear();
            draft.wake_at.push(next);
            return;
        }
        let now = MicroTime(draft.now);
        if let Some(targets) = self.targets(draft) {
            targets.updated_at = now;
        }
    }
}

/// The targets of a list of `count` entries, all of them due.
fn due(count: u32, now: Timestamp) -> TargetsStatus {
    let ledger = Ledger::new(usize::try_from(count).unwrap_or(MAX_TARGETS).min(MAX_TARGETS));
    TargetsStatus {
        total: count,
        running: 0,
        succeeded: 0,
        failed: 0,
        retries: 0,
        lowest: None,
        ledger: ledger.encode(),
        cut: 0,
        due_since: (count > 0).then_some(MicroTime(now)),
        updated_at: MicroTime(now),
        accounted_until: MicroTime(now),
        waves: Vec::new(),
        worst: Vec::new(),
    }
}

/// How many entries the list has that `for_each` goes over.
fn count(stages: &[StageStatus], for_each: &ResolvedForEach) -> Result<u32, String> {
    let (stage, field) = (&for_each.stage, &for_each.field);
    let source = stages.iter().find(|source| source.name == *stage && source.phase == StagePhase::Succeeded);
    let list = source.and_then(|source| source.lists.get(field));
    list.map(|list| list.count)
        .ok_or_else(|| format!("forEach: stage {stage} has reported no list {field}; let its prompt or outputSchema ask for it"))
}
