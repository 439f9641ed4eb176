//! The vectorizer with a real NATS server, a scripted model and a folder for the lake.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]

mod finding;
mod world;
mod writing;
