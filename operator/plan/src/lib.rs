//! The run's state machine: [`plan()`] is a pure function of what a run is, what its status says, what is seen and what time it is.
//! No IO, no clock, no tokio; the same function drives the operator, `trackway simulate` and the simulation tests.
//!
//! ```text
//! status ──▶ conclude the open try ──▶ decide ──▶ open the next try ──▶ finish ──▶ Plan
//!              (result, lost, late)     (budgets)   (Job by name)        (summary, conditions, size)
//!            fan_out: the same for many targets, a wave of them at a time
//!            catch: the same for the debugger, once a stage has failed for good
//!            questions: what is missing is asked for, and waited for without a pod
//! ```
//!
//! A [`Plan`] leaves no choice to whoever applies it. Its parts are applied in this order:
//! 1. `create`: a Job, suspended. Nothing else is in such a plan; with the Job seen, plan again.
//! 2. `ask`: a Questionnaire and its record, created or joined. What a status waits for is there before it waits.
//! 3. `status`: one fenced write. It records the Job's uid, so from here on the Job may run.
//! 4. `after`: releases and deletions, each by uid.
//! 5. `events`.

mod assignment;
mod attempts;
mod catch;
mod check;
mod conclude;
mod conditions;
mod decide;
mod events;
mod fan_out;
mod finish;
mod observed;
mod open;
mod plan;
mod questions;
mod shed;
mod summary;
mod timing;
mod tokens;

pub use check::{
    Fault, check, inv01_only_recorded_jobs_run, inv02_advanced_on_a_verdict, inv03_numbers_only_grow,
    inv03_targets_keep_their_account, inv07_never_running_with_nothing, inv11_diagnosing_ends,
};
pub use events::{EventNote, EventReason};
pub use fan_out::{wave_targets, wave_text};
pub use observed::{ArrivedResult, Finished, JobView, Observed, PodView, QuestionnaireView, Refusal, RevisionView, Run, Waiting};
pub use plan::{After, Asking, Ignored, IgnoredResult, JobIntent, Plan, plan};
pub use shed::stored_bytes;
pub use summary::summarize;
