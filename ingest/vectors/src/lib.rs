//! Makes a vector of every event, and answers which past ones are nearest to a text.
//!
//! ```text
//! EVENTS ─▶ ranges (trackway-lake's loop, bucket `vectors`) ─▶ VectorWriter ─▶ model ─▶ segments in the lake
//! RETRIEVE.<namespace> ─▶ Answers ─▶ bound to the tenant? ─▶ model ─▶ Cache of segments ─▶ exact scan ─▶ events
//! ```
//!
//! * A segment holds one tenant's events of one range: `vectors/tenant=<…>/<pp>-<first>.parquet`. Models do not say the same twice,
//!   so the first segment of a range stays, whatever a repeat would hold.
//! * Who may ask is the NATS server's to say (the namespace is part of the subject); whose events it may see, the bindings'.
//! * Vectors of different models cannot be compared: segments of another model than the configured one are left out.

mod answers;
mod cache;
mod embedder;
mod matrix;
mod metrics;
mod segment;
mod service;
mod writer;

pub use matrix::{Hit, Matrix, unit};
pub use segment::{Row, Segment, SegmentError, decode, encode, segment_path, tenant_prefix};
pub use service::{Arguments, Settings, run};
