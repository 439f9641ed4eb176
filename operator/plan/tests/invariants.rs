//! The invariants of design.md §6, in worlds in which everything goes wrong. `TRACKWAY_SEEDS=100000` looks at more worlds,
//! `TRACKWAY_SEED=17` at one of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a test says what it has looked at, and how long it took")]

mod common;

use common::sim::{Told, live};
use std::{collections::BTreeMap, ops::Range, sync::OnceLock, time::Instant};
use trackway_crds::status::Phase;

const SEEDS: u64 = 1_000;
/// Worlds whose trace is compared with that of a second life.
const TWICE: usize = 50;

/// What all worlds came to.
#[derive(Default)]
struct Worlds {
    count: usize,
    broken: Vec<(u64, String)>,
    /// Seeds and traces of the first few.
    traces: Vec<(u64, u64)>,
    counts: BTreeMap<String, u32>,
    took_millis: u128,
}

fn worlds() -> &'static Worlds {
    static WORLDS: OnceLock<Worlds> = OnceLock::new();
    WORLDS.get_or_init(|| {
        let since = Instant::now();
        let mut worlds = Worlds::default();
        seeds().map(live).for_each(|told| worlds.add(told));
        worlds.took_millis = since.elapsed().as_millis();
        worlds
    })
}

impl Worlds {
    fn add(&mut self, told: Told) {
        self.count += 1;
        self.broken.extend(told.broken.into_iter().map(|what| (told.seed, what)));
        if self.traces.len() < TWICE {
            self.traces.push((told.seed, told.trace));
        }
        let mut count = |what: &str, times: u32| match self.counts.get_mut(what) {
            Some(count) => *count += times,
            None => {
                self.counts.insert(what.to_owned(), times);
            }
        };
        told.counts.iter().for_each(|(what, times)| count(what, *times));
        count(told.status.phase.map_or("unfinished", Phase::as_str), 1);
        if let Some(failure) = &told.status.failure {
            count(&failure.reason, 1);
        }
    }
}

fn seeds() -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    number("TRACKWAY_SEED").map_or_else(|| 0..number("TRACKWAY_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1)
}

/// Nothing that begins with `promise` was broken in any world.
fn holds(promise: &str) {
    let broken: Vec<_> = worlds().broken.iter().filter(|(_, what)| what.starts_with(promise)).collect();
    let first: Vec<_> = broken.iter().take(5).map(|(seed, what)| format!("TRACKWAY_SEED={seed}: {what}")).collect();
    assert!(broken.is_empty(), "{} times:\n{}", broken.len(), first.join("\n"));
}

#[test]
fn inv01_at_most_one_job_per_try_and_only_recorded_jobs_run() {
    holds("inv01");
}

#[test]
fn inv02_a_judged_stage_advances_only_on_a_verdict_at_or_above_threshold_and_minimums() {
    holds("inv02");
}

#[test]
fn inv03_numbers_grow_and_each_error_class_uses_up_its_own_budget() {
    holds("inv03");
}

#[test]
fn inv04_status_stays_bounded() {
    holds("inv04");
}

#[test]
fn inv05_a_finished_run_never_changes() {
    holds("inv05");
}

#[test]
fn inv06_a_run_executes_the_revision_it_started_with() {
    holds("inv06");
}

#[test]
fn inv07_every_run_ends_once_faults_stop_and_nothing_of_it_runs_on() {
    holds("inv07");
}

#[test]
fn inv11_a_failed_stage_ends_as_failed_in_time_whatever_the_debugger_does() {
    holds("inv11");
}

#[test]
fn tolerated_failures_and_concurrency_are_kept() {
    holds("targets");
}

#[test]
fn nothing_begins_without_tokens() {
    holds("tokens");
}

#[test]
fn the_summary_follows_from_the_stages() {
    holds("summary");
}

#[test]
fn the_timings_of_stages_add_up_to_the_time_of_the_run() {
    holds("timings");
}

#[test]
fn the_same_seed_gives_the_same_world() {
    for (seed, trace) in &worlds().traces {
        assert_eq!(live(*seed).trace, *trace, "TRACKWAY_SEED={seed}");
    }
}

/// Nothing that was broken is overlooked because no test asks for it by name.
#[test]
fn every_promise_is_asked_for() {
    holds("");
}

/// Invariants that hold in worlds where nothing happens prove nothing.
#[test]
fn the_worlds_are_wild_enough() {
    let worlds = worlds();
    let counts: Vec<_> = worlds.counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
    println!("{} worlds, {} broken promises, {} ms", worlds.count, worlds.broken.len(), worlds.took_millis);
    println!("{} worlds met: {}", worlds.count, counts.join(", "));
    if worlds.count < 500 {
        return;
    }
    let missing: Vec<_> = WANTED.iter().filter(|what| !worlds.counts.contains_key(**what)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
}

const WANTED: [&str; 40] = [
    "answered",
    "asked",
    "chaos",
    "conflict",
    "crash",
    "create",
    "debugger hung",
    "debugger tried again",
    "delete",
    "diagnosed",
    "fan-out succeeded",
    "forged",
    "many waves",
    "pod",
    "pod lost",
    "poison",
    "refused",
    "result lost",
    "suspended in a fan-out",
    "suspended while it waited",
    "waited",
    "wave",
    "went on with answers",
    "went on without answers",
    "write",
    "Succeeded",
    "Failed",
    "Cancelled",
    "ActiveDeadlineExceeded",
    "ContextIncomplete",
    "ContextTimeout",
    "CreateContainerConfigError",
    "InfrastructureExhausted",
    "JudgeExhausted",
    "ModelExhausted",
    "NoTargetSucceeded",
    "QualityExhausted",
    "RevisionMissing",
    "TargetsFailed",
    "TokenBudgetExhausted",
];
