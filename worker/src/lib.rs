//! One attempt of one stage: read, generate, store, judge, report.
//!
//! ```text
//! Assignment + Revision ─▶ load batch, earlier outputs, feedback ─▶ render prompt ─▶ create name `input`
//!    ─▶ name `output` there? adopt : generate, validate, one repair turn, store, create name `output`
//!    ─▶ judged? name `verdict` there? adopt : judge, validate, one repair turn, store, create name `verdict`
//!    ─▶ create name `record` ─▶ StageResult
//! ```
//!
//! * An output is stored **before** it is judged, and every name is created once: whoever comes second adopts what is there and
//!   calls no model. So a stored generation is never repeated (invariant 3).
//! * [`run_attempt`] never fails: what goes wrong becomes a `StageResult` with a class and a reason. It decides nothing about
//!   further attempts or tries; the operator does.
//! * No environment, no globals: the binary `trackway-worker` and `trackway simulate` call the same function.

mod answer;
mod attempt;
mod calls;
mod failure;
mod generate;
mod instructions;
mod job;
mod judge;
mod load;
mod models;
mod report;
mod rubric;
mod stored;

pub use attempt::run_attempt;
pub use instructions::JUDGE_INSTRUCTION;
pub use job::{AttemptJob, MAX_OUTPUT_BYTES, MAX_PROMPT_BYTES, attempt_deadline};
pub use models::{Access, Models, Use};
pub use report::failed_result;
