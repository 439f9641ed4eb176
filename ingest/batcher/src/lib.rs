//! Gathers events into batches and announces those that are sealed, as `docs/batching.md` describes it.
//!
//! ```text
//! EVENTS.<partition> ──▶ partition: groups of events ──▶ keys: one compare-and-set each (bucket `batches`)
//!                             │                              │ outbox
//!                             ▼ checkpoint                   ▼
//!                        (bucket `batches`)      announce: document ▶ payload store, BATCH_READY, out of the outbox
//! ```
//!
//! When a batch is sealed is decided by [`trackway_batching`]; here is everything around it. Every write can be repeated, and two
//! processes that work on one partition are wasteful, never wrong (invariant 9).

mod announce;
mod document;
mod event;
mod keys;
mod metrics;
mod outside;
mod owned;
mod partition;
mod service;

pub use document::document;
pub use event::state_key;
pub use metrics::Metrics;
pub use outside::{Outside, Reading, Real};
pub use owned::{Batcher, work};
pub use service::{Arguments, Settings, run};
