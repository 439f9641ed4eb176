//! The only place that decides how Trackway speaks to the API server: how a client is made, how long a request may take, what
//! a failed one means, and how the writes that must not go wrong are fenced.
//!
//! ```text
//! client ──▶ kube::Client (no retries of its own, optional fault layer)
//! write  ──▶ replace_status_fenced   PUT with resourceVersion
//!            create, create_job      POST, "exists" is an answer
//!            release_job             PATCH that carries the Job's uid
//!            delete_job              DELETE with the uid as precondition
//! ```
//!
//! * **No write repeats itself.** kube's default client tries for up to 15 rounds with pauses that grow to 1000 s; here every
//!   request ends within [`REQUEST_LIMIT`] and the caller, who has a fresher view by then, decides.
//! * **Errors** are sorted by who can mend them, see [`ApiError`].

mod client;
mod error;
pub mod events;
#[cfg(feature = "faults")]
mod faults;
#[cfg(test)]
mod mock;
mod write;

pub use client::{ClientError, client};
pub use error::{ApiError, REQUEST_LIMIT, within};
pub use write::{Creation, create, create_job, delete_job, release_job, replace_status_fenced};
