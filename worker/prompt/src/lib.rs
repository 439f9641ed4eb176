//! Prompts: templates that are strict about names, checked before any batch meets them and rendered for one attempt.
//!
//! ```text
//! file ──Prompt::parse──▶ Prompt ──check(&Known)──▶ faults with file and line (before a run)
//!                           └─────render(&PromptContext)──▶ Rendered {system, user} (in the worker)
//! ```
//!
//! A prompt is text with [minijinja](https://docs.rs/minijinja) in it. A line that is exactly `<!-- user -->` ends its system
//! part; without one all of it is the user part. The *source* is split, so nothing an event says can move the split. What a
//! prompt may name is closed: `track`, `batch`, `events`, `context`, `stages`, `feedback`, in a fan-out `target` and, where
//! the stage retrieves, `retrieved`; anything else is a fault, at check and at rendering. No IO, no clock.

mod check;
mod context;
mod fault;
mod filters;
mod known;
mod names;
mod parts;
mod prompt;
mod shape;

pub use context::{PromptContext, TrackContext};
pub use fault::{FaultKind, PromptFault};
pub use known::{Known, Output, Target, context_answer_schema, text_output_schema};
pub use parts::USER_MARKER;
pub use prompt::{Prompt, Rendered};
