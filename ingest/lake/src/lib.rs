//! Writes every event to the lake once: Parquet files by tenant and day, as `docs/lake.md` describes them.
//!
//! ```text
//! EVENTS ─▶ partitions: ranges with a checkpoint (bucket `lake`) ─▶ RangeWriter ─┬─ LakeWriter ─▶ parquet ─▶ Files
//!                                                                              └─ the vectorizer's, with its own bucket
//! ```

pub mod parquet;
pub mod partitions;
mod service;
mod writer;

pub use service::{Arguments, Settings, run};
pub use writer::LakeWriter;
