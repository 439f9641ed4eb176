//! The lake under crashes, second writers and time, first in a world where every step can go wrong, then with real servers.

#![allow(clippy::print_stdout, reason = "a test says its seed")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]

mod crash;
mod events;
mod files;
mod reading;
mod servers;

mod world;
