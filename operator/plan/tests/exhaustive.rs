//! Small runs, every one of their interleavings: what operators, pods, results and faults can do in every order in which they can.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a test says what it has looked at, and how long it took")]

mod common;

use common::{
    conduct::Conduct,
    explore::{case::Case, cases, search::explore},
};
use std::{sync::Arc, time::Instant};

/// More states than any of the runs has.
const LIMIT: usize = 150_000;

fn all_of(cases: Vec<Case>) {
    let (mut states, mut transitions, mut broken) = (0, 0, Vec::new());
    for case in cases {
        let since = Instant::now();
        let found = explore(&Arc::new(case), Conduct::REAL, LIMIT);
        println!(
            "{:>8} states {:>9} transitions {:>6} ms: {}",
            found.states,
            found.transitions,
            since.elapsed().as_millis(),
            found.name
        );
        for (end, count) in &found.ends {
            println!("{count:>17} ends: {end}");
        }
        if found.cut {
            broken.push(format!("{}: more than {LIMIT} states, or enough that is broken", found.name));
        }
        broken.extend(found.broken.iter().map(|what| format!("{}: {what}", found.name)));
        (states, transitions) = (states + found.states, transitions + found.transitions);
    }
    println!("{states:>8} states {transitions:>9} transitions in all");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_interleaving_of_stages_keeps_every_promise() {
    all_of(cases::exhaustive_stages());
}

#[test]
fn every_interleaving_of_fan_outs_and_debuggers_keeps_every_promise() {
    all_of(cases::exhaustive_wide());
}
