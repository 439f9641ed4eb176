//! The stories; see the library for how to run them.

mod bad_input;
mod broadcast;
mod catch;
mod container;
mod crash;
mod demo;
mod fan_out;
mod fan_out_large;
mod life;
mod limits;
mod lost_pod;
mod outage;
mod secrets;

use anyhow::{Context, Result, ensure};
use std::{path::Path, time::Duration};
use trackway_e2e::Outcome;

/// The operator that can be ended at its k-th write.
fn operator() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_trackway-operator-faults"))
}

/// Limit of a single step.
const STEP: Duration = Duration::from_secs(60);
