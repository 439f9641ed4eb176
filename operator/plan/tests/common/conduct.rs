//! How an operator of a model behaves: as the real one does, or, as a mutant, with one mistake.

use jiff::Timestamp;
use trackway_crds::BatchRunStatus;
use trackway_plan::{Observed, Plan, Run, plan};

/// Decides like [`plan`].
pub type Planner = fn(&Run<'_>, &BatchRunStatus, &Observed, Timestamp) -> Plan;

#[derive(Clone, Copy)]
pub struct Conduct {
    pub plan: Planner,
    /// Does what comes after the write before it.
    pub acts_before_writing: bool,
    /// Creates Jobs that run at once.
    pub releases_at_once: bool,
    /// Writes whatever somebody else has written meanwhile.
    pub unfenced: bool,
    /// Looks again only when told to, never when it said it would.
    pub forgets_to_look: bool,
    /// Patches Jobs by name, whatever uid they have.
    pub by_name: bool,
    /// Waits for questionnaires that it does not make.
    pub waits_before_asking: bool,
    /// Never looks whether a questionnaire is answered.
    pub never_asks_again: bool,
}

impl Conduct {
    pub const REAL: Self = Self {
        plan,
        acts_before_writing: false,
        releases_at_once: false,
        unfenced: false,
        forgets_to_look: false,
        by_name: false,
        waits_before_asking: false,
        never_asks_again: false,
    };
}
