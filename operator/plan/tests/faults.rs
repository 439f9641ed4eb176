//! Every call of an operator goes wrong once, in every way, in every scenario; the outcome is that of the run in which nothing did.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a test says what it has looked at, and how long it took")]

mod common;

use common::{
    conduct::Conduct,
    explore::{
        cases,
        straight::{MISHAPS, run},
    },
};
use std::{sync::Arc, time::Instant};

#[test]
fn no_crash_conflict_or_lost_message_changes_an_outcome() {
    let since = Instant::now();
    let (mut plans, mut runs, mut wrong) = (0, 0, Vec::new());
    for case in cases::scenarios().into_iter().map(Arc::new) {
        let calm = run(&case, Conduct::REAL, None);
        assert!(calm.broken.is_empty(), "{}: {}", case.name, calm.broken.join("\n"));
        runs += 1;
        println!("{:>4} calls, ends at {:>8} ms: {}: {}", calm.calls, calm.at, case.name, calm.outcome.lines().next().unwrap());
        for at in 1..=calm.calls {
            for mishap in MISHAPS {
                plans += 1;
                let hurt = run(&case, Conduct::REAL, Some((at, mishap)));
                let told = format!("{}: {mishap:?} at call {at}", case.name);
                wrong.extend(hurt.broken.first().map(|what| format!("{told}: {what}")));
                if hurt.outcome != calm.outcome {
                    wrong.push(format!("{told}:\n  {}\n  instead of\n  {}", hurt.outcome, calm.outcome));
                }
            }
        }
    }
    println!("{plans} fault plans on {runs} runs, {} divergences, {} ms", wrong.len(), since.elapsed().as_millis());
    let first: Vec<_> = wrong.iter().take(5).cloned().collect();
    assert!(wrong.is_empty(), "{} times:\n{}", wrong.len(), first.join("\n"));
}
