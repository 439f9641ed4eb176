//! The only user of the NATS client: everything Trackway asks of NATS, in Trackway's words.
//!
//! ```text
//! gateway ──publish_event────────▶ EVENTS ──EventReader, read_range──▶ lake, vectorizer, batcher
//!                                            each keeps its place: Kv::lake, Kv::vectors, Kv::batches
//!                                            and its partitions: Membership over KV_members
//! gateway ──Kv::context, Kv::questionnaires (answers)──▶ operator (Kv::watch), worker (Kv::get_nearby)
//! batcher ──publish_batch_ready──▶ BATCH_READY ──BatchReadyConsumer──▶ collector ──dead_letter──▶ DLQ
//! worker  ──publish_result───────▶ RESULTS ──watch_results (wakes), read_results──▶ operator
//! worker  ──Kv::payloads─────────▶ KV_payloads        collector ──Kv::matches──▶ KV_matches
//! worker  ──ask (RETRIEVE.<namespace>)──▶ Questions ──▶ vectorizer
//! ```
//!
//! * **Write-once** is kept by the server, not by care: a second message on a subject of `EVENTS`, `BATCH_READY`, `RESULTS`
//!   or the `payloads` bucket is refused whoever sends it and whatever its headers say.
//! * **Errors** are [`NatsError::Transient`] (NATS away, slow, without a leader: try again, see [`with_retry`]) or
//!   [`NatsError::Permanent`] (wrong credentials, a subject the user may not use, a message too large: a person must act).
//!   The client would report a forbidden subject as a timeout; [`Nats`] hears the server's complaint and names user and subject.
//! * Nothing here decides what a message means; payloads go in and out as bytes.

mod batch_ready;
mod config;
mod connection;
mod delivery;
mod dlq;
mod error;
mod event_reader;
mod events;
mod follow;
mod kv;
mod kv_many;
mod link;
mod many;
mod members;
mod range;
mod results;
mod retrieve;
mod retry;
mod streams;
mod subjects;
mod wake;
mod write_once;

pub use batch_ready::{BatchReadyConsumer, publish_batch_ready};
pub use config::{Credentials, NatsConfig};
pub use connection::Nats;
pub use delivery::Delivery;
pub use dlq::{DeadLetter, Replay, dead_letter, dead_letters, get_dead_letter, replay};
pub use error::NatsError;
pub use event_reader::EventReader;
pub use events::{
    EventPublication, StreamEvent, event_subject, last_sequence, partition_filter, publish_event, tenant_filter, user_filter,
};
pub use kv::{KeyCreation, KeyUpdate, Kv, KvEntry};
pub use kv_many::{KvWatch, KvWrite};
pub use members::Membership;
pub use range::read_range;
pub use results::{publish_result, read_results, result_stored_at};
pub use retrieve::{MAX_ANSWER_BYTES, Question, Questions, ask};
pub use retry::{Retryable, with_retry};
pub use streams::{StreamSettings, ensure_streams};
pub use subjects::{result_subject, results_of_namespace};
pub use wake::{Wake, watch_results};
pub use write_once::Publication;
