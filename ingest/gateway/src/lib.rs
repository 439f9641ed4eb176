//! Where events enter: HTTP in, a durable stream out.
//!
//! ```text
//! connection ── patience, size ──▶ guard ──▶ routes ─┬─ events ─── keys (whose?) ─ sources (what?) ─ limits ─▶ EVENTS ─▶ 202
//!                                                    ├─ questionnaires ─ keys ─ answers ─▶ buckets questionnaires, context
//!                                                    └─ openapi
//! ```
//!
//! * **Whose** an event is, its sender's credential says, nothing else. A signature covers the body as it came.
//! * **202** means that no crash loses it. What was not told so may be sent again: the same event is taken once.
//! * Every refusal is a [`problem::Problem`]. Nothing that a stranger sends takes more memory or time than is set aside for it.

pub mod answers;
mod app;
pub mod body;
mod cloud_event;
mod convert;
mod events;
mod finish;
#[cfg(test)]
mod fuzz_tests;
mod guard;
mod keys;
mod limits;
mod media;
mod metrics;
mod openapi;
mod patience;
pub mod problem;
mod questionnaires;
mod routes;
mod run;
mod serve;
mod signature;
mod store;

pub use patience::Patience;
pub use run::{Arguments, Settings, run};
