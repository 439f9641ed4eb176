//! The invariants of design.md §6, in worlds in which everything goes wrong. `TRACKWAY_SEEDS=5000` looks at more worlds,
//! `TRACKWAY_SEED=17` at one of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]

mod common;

use common::sim::{Told, live};
use std::{collections::BTreeMap, ops::Range, sync::OnceLock};
use trackway_crds::status::Phase;

const SEEDS: u64 = 300;

fn worlds() -> &'static [Told] {
    static WORLDS: OnceLock<Vec<Told>> = OnceLock::new();
    WORLDS.get_or_init(|| seeds().map(live).collect())
}

fn seeds() -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    number("TRACKWAY_SEED").map_or_else(|| 0..number("TRACKWAY_SEEDS").unwrap_or(SEEDS), |seed| seed..seed + 1)
}

/// Nothing that begins with `promise` was broken in any world.
fn holds(promise: &str) {
    let of = |world: &'static Told| world.broken.iter().map(|what| (world.seed, what));
    let broken: Vec<_> = worlds().iter().flat_map(of).filter(|(_, what)| what.starts_with(promise)).collect();
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
fn the_summary_follows_from_the_stages() {
    holds("summary");
}

#[test]
fn the_timings_of_stages_add_up_to_the_time_of_the_run() {
    holds("timings");
}

#[test]
fn the_same_seed_gives_the_same_world() {
    for world in worlds().iter().take(20) {
        assert_eq!(live(world.seed).trace, world.trace, "TRACKWAY_SEED={}", world.seed);
    }
}

/// Invariants that hold in worlds where nothing happens prove nothing.
#[test]
fn the_worlds_are_wild_enough() {
    if worlds().len() < 100 {
        return;
    }
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for world in worlds() {
        world.counts.iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
        *counts.entry(world.status.phase.map_or("unfinished", Phase::as_str)).or_default() += 1;
        if let Some(failure) = &world.status.failure {
            *counts.entry(reason(&failure.reason)).or_default() += 1;
        }
    }
    println!("{counts:#?}");
    let wanted = [
        "chaos",
        "conflict",
        "crash",
        "create",
        "delete",
        "pod",
        "refused",
        "write",
        "Succeeded",
        "Failed",
        "Cancelled",
        "QualityExhausted",
        "ModelExhausted",
        "JudgeExhausted",
        "InfrastructureExhausted",
        "ActiveDeadlineExceeded",
        "RevisionMissing",
    ];
    let missing: Vec<_> = wanted.iter().filter(|what| !counts.contains_key(**what)).collect();
    assert!(missing.is_empty(), "never happened: {missing:?}");
}

fn reason(reason: &str) -> &'static str {
    Box::leak(reason.to_owned().into_boxed_str())
}
