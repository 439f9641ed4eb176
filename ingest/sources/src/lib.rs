//! Which sources may send events, whose they are, and how a request becomes an event; when batches are sealed. Pure: no IO, no clock.
//!
//! ```text
//! ingest.yaml ──IngestConfig::parse──▶ sources, policies, labels, bindings        (gateway, batcher, collector, CLI)
//! request ──Source::read / read_cloud_event──▶ StoredEvent                        (gateway, CLI)
//! ```
//!
//! * [`ConfigError`] tells all mistakes of a file at once; [`MapError`] is the sender's or the configuration's fault and never passes
//!   by trying again.
//! * The tenant is an argument: who checks the credential says whose event it is, nothing in a body or header does.

mod batching;
mod binding;
mod cloud_event;
mod config;
mod error;
mod json;
mod map;
mod node;
mod pattern;
mod presets;
mod read;
mod source;

pub use binding::Binding;
pub use cloud_event::CloudEvent;
pub use config::IngestConfig;
pub use error::{ConfigError, Problem};
pub use json::{MAX_DEPTH, json};
pub use pattern::fits;
pub use read::MapError;
pub use source::{AuthKind, Credential, Limits, MAX_EVENT_BYTES, Preset, Source, TENANT_CHARS};
pub use trackway_batching::BatchingPolicy;
