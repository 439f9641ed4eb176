//! Stories of the gateway with a real NATS server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail by panicking, like the tests")]

mod accepted;
mod client;
mod drained;
mod hostile;
mod questionnaires;
mod refused;
mod signed;
mod world;
