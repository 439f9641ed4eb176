//! The batcher with a real NATS server, killed between any two of its calls.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]

mod crash;
mod mortal;
mod sealing;
mod world;
