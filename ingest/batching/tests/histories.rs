//! Invariant 9 in histories in which everything goes wrong. `TRACKWAY_HISTORIES=1000000` looks at more of them, `TRACKWAY_SEED=17`
//! at one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a test says what it has looked at, and how long it took")]

mod world;

use std::{ops::Range, thread, time::Instant};
use trackway_batching::{Applied, Arrival, BatchingPolicy, KeyState, Ticked, apply, tick};
use world::{Rules, judge};

const HISTORIES: u64 = 100_000;
const HISTORIES_OF_SOAK: u64 = 1_000_000;
/// Histories in which each mistake is looked for.
const HISTORIES_OF_MUTANTS: u64 = 2_000;

#[derive(Default)]
struct Sum {
    histories: u64,
    calm: u64,
    events: u64,
    batches: u64,
    mishaps: u64,
    broken: Vec<String>,
}

fn seeds() -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let usual = if std::env::var_os("TRACKWAY_SOAK").is_some() { HISTORIES_OF_SOAK } else { HISTORIES };
    number("TRACKWAY_SEED").map_or_else(|| 0..number("TRACKWAY_HISTORIES").unwrap_or(usual), |seed| seed..seed + 1)
}

fn look_at(seeds: impl Iterator<Item = u64>) -> Sum {
    let mut sum = Sum::default();
    for seed in seeds {
        let (history, told, broken) = judge(seed, Rules::REAL);
        sum.histories += 1;
        sum.calm += u64::from(history.is_calm());
        sum.events += u64::try_from(history.events.len()).unwrap();
        sum.batches += u64::try_from(told.announced.len()).unwrap();
        sum.mishaps += told.mishaps;
        sum.broken.extend(broken.into_iter().map(|what| format!("TRACKWAY_SEED={seed}: {what}")));
    }
    sum
}

#[test]
fn inv09_every_event_is_in_exactly_one_batch_whatever_happens() {
    let since = Instant::now();
    let seeds = seeds();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let sum = thread::scope(|scope| {
        let parts: Vec<_> = (0..workers)
            .map(|worker| {
                let seeds = seeds.clone();
                scope.spawn(move || look_at(seeds.skip(worker).step_by(workers)))
            })
            .collect();
        parts.into_iter().map(|part| part.join().unwrap()).fold(Sum::default(), |all, part| Sum {
            histories: all.histories + part.histories,
            calm: all.calm + part.calm,
            events: all.events + part.events,
            batches: all.batches + part.batches,
            mishaps: all.mishaps + part.mishaps,
            broken: [all.broken, part.broken].concat(),
        })
    });
    let Sum { histories, calm, events, batches, mishaps, ref broken } = sum;
    println!(
        "seeds {seeds:?}: {histories} histories ({calm} lived twice), {events} events in {batches} batches, {mishaps} mishaps, {} ms",
        since.elapsed().as_millis()
    );
    assert!(broken.is_empty(), "{} times:\n{}", broken.len(), broken[..broken.len().min(5)].join("\n"));
    let tame = histories >= 1_000 && (mishaps < events / 4 || batches < histories || calm * 4 < histories);
    assert!(!tame, "the histories are too tame to prove anything");
}

#[test]
fn inv09_machines_with_one_mistake_are_found_out() {
    let real = Rules::REAL;
    let mutants: [(&str, Rules); 9] = [
        ("forgets what it has taken", Rules { apply: forgets_applied, ..real }),
        ("seals without moving", Rules { apply: seals_without_moving, ..real }),
        ("loses the event that came when a batch was due", Rules { apply: loses_the_event, ..real }),
        ("takes the event first and seals then", Rules { apply: ignores_what_was_due, ..real }),
        ("makes room by throwing away", Rules { apply: throws_away, ..real }),
        (
            "has no limit of bytes",
            Rules {
                apply: |state, policy, event| apply(state, &BatchingPolicy { max_bytes: u64::MAX, ..*policy }, event),
                ..real
            },
        ),
        (
            "has no gap",
            Rules { apply: |state, policy, event| apply(state, &BatchingPolicy { min_gap_millis: 0, ..*policy }, event), ..real },
        ),
        ("seals when somebody looks", Rules { tick: seals_at_the_tick, ..real }),
        (
            "takes the oldest out of the outbox, whatever was announced",
            Rules { published: |state, _| !state.outbox.is_empty() && !state.outbox.remove(0).reason.is_empty(), ..real },
        ),
    ];
    for (name, rules) in mutants {
        let found = (0..HISTORIES_OF_MUTANTS).find_map(|seed| judge(seed, rules).2.into_iter().next().map(|what| (seed, what)));
        let Some((seed, what)) = found else { panic!("nobody notices a machine that {name}") };
        println!("{name}: found in history {seed}: {what}");
    }
}

fn forgets_applied(state: &mut KeyState, policy: &BatchingPolicy, event: &Arrival) -> Applied {
    let outcome = apply(state, policy, event);
    // What it has sealed it has forgotten; within an open batch it still knows.
    state.applied = state.open.map_or(0, |open| open.last);
    outcome
}

fn seals_without_moving(state: &mut KeyState, policy: &BatchingPolicy, event: &Arrival) -> Applied {
    let before = state.open;
    let outcome = apply(state, policy, event);
    if outcome == Applied::Taken(1) && state.open.is_none() {
        state.open = before;
    }
    outcome
}

fn loses_the_event(state: &mut KeyState, policy: &BatchingPolicy, event: &Arrival) -> Applied {
    let outcome = apply(state, policy, event);
    if outcome == Applied::Taken(1) {
        state.open = None;
    }
    outcome
}

fn ignores_what_was_due(state: &mut KeyState, policy: &BatchingPolicy, event: &Arrival) -> Applied {
    let early = Arrival { at: jiff::Timestamp::UNIX_EPOCH, ..*event };
    apply(state, policy, &early)
}

fn throws_away(state: &mut KeyState, policy: &BatchingPolicy, event: &Arrival) -> Applied {
    let mut outcome = apply(state, policy, event);
    while outcome == Applied::Full {
        state.outbox.remove(0);
        outcome = apply(state, policy, event);
    }
    outcome
}

fn seals_at_the_tick(state: &mut KeyState, policy: &BatchingPolicy, now: jiff::Timestamp) -> Ticked {
    let outcome = tick(state, policy, now);
    if let (Ticked::Sealed, Some(batch)) = (outcome, state.outbox.last_mut()) {
        batch.sealed_at = now.as_millisecond();
    }
    outcome
}
