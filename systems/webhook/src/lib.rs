//! Sends notices to webhooks, the only user of their HTTP API.
//!
//! ```text
//! id + body ──► WebhookClient::send ──► POST <url>, signed as Standard Webhooks says
//!                 │  2xx: delivered
//!                 │  408, 429, 5xx, timeout, lost connection: sent again with the same id and a fresh timestamp, honouring
//!                 │  Retry-After, while its waits total at most RepeatPolicy::max_total_wait and the deadline is not reached
//!                 └─ any other status: the receiver does not want it, and nobody asks again
//! ```
//!
//! A receiver may get the same notice more than once, always under the same `webhook-id`: that is what it tells repeats by.
//! Redirects are not followed, because a signed notice is for the address somebody wrote down.
//!
//! Secrets: the signing secret appears in no `Debug`, no log line and no error message; where a receiver echoes it, it is replaced
//! before anybody sees it.

mod client;
mod error;
mod key;
mod repeat;

pub use client::{Sent, WebhookClient};
pub use error::{BuildError, Refusal, TransientError, WebhookError};
pub use key::{KeyError, SigningKey};
pub use repeat::RepeatPolicy;
