//! Writing what becomes of each partition's events, range by range, each exactly once however often it is tried.
//!
//! ```text
//! load ──pending?──▶ read that range again ─▶ write ─▶ applied ─┐
//!   └──none──▶ follow from `applied` ◀───────────────────────────┘
//!                 └─ rows, bytes or age ─▶ record pending ─▶ write ─▶ applied ─▶ follow on
//! ```
//!
//! Each step on the checkpoint is a compare-and-set: a writer that loses one loads again, and finds either a range to write
//! again or that all is written.

mod buffer;
mod checkpoint;
mod history;
mod metrics;
mod partition;
mod range;
mod read;
mod shares;

pub use buffer::{Budget, FlushPolicy, Reason};
pub use checkpoint::{Checkpoint, Checkpoints, Pending};
pub use history::{History, Reader};
pub use metrics::Metrics;
pub use partition::Partition;
pub use range::{EventRange, RangeWriter, Sequenced, WriteError, Written};
pub use shares::{Component, write_owned};
