//! Stories of one attempt against the scripted LLM and a store that forgets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]

mod adoption;
mod attempts;
mod bad_input;
mod broadcast;
mod container;
mod debugger;
mod pod;
mod world;
