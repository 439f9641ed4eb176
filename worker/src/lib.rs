//! What a pod does: read, generate, store, judge, report.
//!
//! ```text
//! Assignment + Revision ─▶ load batch and earlier outputs, put ended fan-outs together          once a pod
//!    ─▶ feedback, past events ─▶ render prompt ─▶ create name `input`                           each target, all at once
//!    ─▶ name `output` there? adopt : generate, validate, one repair turn, store, create name `output`
//!    ─▶ judged? name `verdict` there? adopt : judge, validate, one repair turn, store, create name `verdict`
//!    ─▶ create name `record` ─▶ StageResult
//! ```
//!
//! * An output is stored **before** it is judged, and every name is created once: whoever comes second adopts what is there and
//!   calls no model. So a stored generation is never repeated (invariant 3).
//! * [`run_pod`] never fails: what goes wrong becomes a `StageResult` with a class and a reason, and a record of how it came
//!   about. It decides nothing about further attempts or tries; the operator does.
//! * No environment, no globals: the binary `trackway-worker` and `trackway simulate` call the same function.

mod answer;
mod attempt;
mod broadcast;
mod calls;
mod conclude;
pub mod container;
mod context;
mod debugger;
mod failure;
mod fan_out;
#[cfg(test)]
mod fuzz_tests;
mod generate;
mod instructions;
mod job;
mod judge;
mod last_words;
mod load;
mod models;
mod pod;
mod questions;
mod report;
mod retrieve;
mod rubric;
mod stored;

pub use broadcast::Webhooks;
pub use context::Answers;
pub use debugger::DEBUGGER_INSTRUCTION;
pub use failure::Failure;
pub use fan_out::{Target, compose, composed};
pub use instructions::JUDGE_INSTRUCTION;
pub use job::{AttemptJob, MAX_OUTPUT_BYTES, MAX_PROMPT_BYTES, Outside, attempt_deadline};
pub use last_words::last_words;
pub use models::{Access, Models, Use};
pub use pod::run_pod;
pub use report::failed_results;
pub use retrieve::Retriever;
