//! A receiver of notices for tests and demos: verifies signatures with the reference implementation of Standard Webhooks, counts
//! what came per id, and misbehaves on request. It is a stand-in, never a part of an installation.
//!
//! Any `POST` but to the two below is a notice. `GET /received` tells what came, `POST /behave` adds a behaviour, `POST /reset`
//! forgets all, `GET /healthz` says `ok`.

mod server;
mod state;

pub use server::{WebhookSink, log_line};
pub use state::{Behaviour, Received, SecretError};
