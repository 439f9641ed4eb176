//! When a batch is sealed: a pure function of the open batch, an event and a moment. No IO, no clock.
//!
//! ```text
//! event ──apply──▶ KeyState {applied, open, outbox} ◀──tick── now
//!                     │ sealing moves `open` into `outbox`
//!                     └──▶ outbox ── document, BATCH_READY (the batcher) ──published──▶ out
//! ```
//!
//! One [`KeyState`] gathers the events of one tenant, or of one user of a tenant. A batch is the range `first..=last` of the
//! sequences of its key, never a list.
//!
//! **Exactly once.** `applied` is the last sequence that was taken, and it moves in the same value as the batches: what comes
//! again is skipped, so whoever stores the value with a compare-and-set assigns every event to exactly one batch per level.
//!
//! **Same history, same batches.** The time of an event is the stream's. A batch that was due before an event is sealed before
//! the event is taken, *at the moment it was due*, whether or not anybody ticked in between. A tick with a time that the stream
//! has not reached may seal without an event that is on its way; that event is then the first of the next batch.

mod machine;
mod policy;
mod state;

pub use machine::{Applied, Arrival, Ticked, apply, next_tick, published, tick};
pub use policy::{BatchingPolicy, Missing, explain};
pub use state::{Counts, KeyState, OUTBOX_MAX, OpenBatch, SealedBatch};
