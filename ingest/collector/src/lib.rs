//! The collector: from a sealed batch to one BatchRun per matching Track, once, for ever (invariant 10).
//!
//! ```text
//! BATCH_READY ──▶ parse ──▶ match set: recorded already? else route and record ──▶ create runs ──▶ mark created ──▶ ack
//!                   │                    (KV "matches", first writer wins)              │
//!                   ▼                                                                  ▼
//!                  DLQ ◀──────────────────────────── a run of that name belongs to another batch
//! ```
//!
//! * **Which runs there are** is decided once, when the match set is recorded: a Track that is made, edited or deleted
//!   between two deliveries changes nothing, and an empty set is recorded too.
//! * **A run that was created is never created again**, though it finished and was deleted since: the record says so before the
//!   batch is acknowledged.
//! * **Nothing is routed on an unsynced cache**: an empty one would match nothing and lose the batch.
//! * The payload store is not touched: whoever sealed the batch has put its document there.

pub mod collect;
pub mod config;
mod ledger;
mod message;
mod metrics;
mod route;
mod run;
mod runs;
pub mod service;
mod tracks;
