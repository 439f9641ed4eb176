//! Stories of one attempt against the scripted LLM and a store that forgets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]

mod adoption;
mod attempts;
mod bad_input;
mod broadcast;
mod composed;
mod container;
mod context;
mod debugger;
mod failures;
mod fan;
mod fan_out;
mod lists;
mod pod;
mod retrieve;
mod world;
