//! The examples of `docs/batching.md`: what comes, and what seals.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]

use jiff::{SignedDuration, Timestamp};
use trackway_batching::{
    Applied, Arrival, BatchingPolicy, Counts, KeyState, OUTBOX_MAX, Ticked, apply, explain, next_tick, published, tick,
};
use trackway_crds::track::Priority;

const POLICY: BatchingPolicy = BatchingPolicy {
    high: Some(2),
    medium: Some(3),
    low: Some(5),
    max_age_millis: 3_600_000,
    max_events: 500,
    max_bytes: 8 << 20,
    min_gap_millis: 0,
};

fn minute(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
}

/// Events named by priority (`H`, `M`, `L`), one a minute from minute 1 on; `.` is a minute without one.
fn sealed(policy: &BatchingPolicy, events: &str) -> Vec<String> {
    let mut state = KeyState::new("octo-org", None);
    for (sequence, (letter, at)) in (1..).zip(events.chars().zip(1..)) {
        let priority = match letter {
            'H' => Priority::High,
            'M' => Priority::Medium,
            'L' => Priority::Low,
            _ => {
                tick(&mut state, policy, minute(at));
                continue;
            }
        };
        apply(&mut state, policy, &Arrival { sequence, at: minute(at), priority, bytes: 1_000 });
    }
    let text = |batch: &trackway_batching::SealedBatch| {
        let minutes = batch.sealed_at().as_second() / 60;
        format!("{}-{} {} at {minutes}: {}", batch.first, batch.last, batch.priority.as_str(), batch.reason)
    };
    state.outbox.iter().map(text).collect()
}

#[test]
fn the_examples_of_the_handbook() {
    let gap = BatchingPolicy { min_gap_millis: 10 * 60_000, ..POLICY };
    let old = BatchingPolicy { max_age_millis: 5 * 60_000, ..POLICY };
    let small = BatchingPolicy { max_events: 3, ..gap };
    let light = BatchingPolicy { max_bytes: 2_500, ..POLICY };
    let rows: [(&BatchingPolicy, &str, &[&str]); 12] = [
        (&POLICY, "HH", &["1-2 High at 2: threshold High 2"]),
        (&POLICY, "LLLL", &[]),
        (&POLICY, "LLLLL", &["1-5 Low at 5: threshold Low 5"]),
        (&POLICY, "HMM", &["1-3 Medium at 3: threshold Medium 3"]),
        (&POLICY, "HLLLL", &["1-5 Low at 5: threshold Low 5"]),
        (&POLICY, "MLHH", &["1-4 High at 4: threshold High 2"]),
        (&old, "HL....", &["1-2 High at 6: age 5m"]),
        (&old, "L....L", &["1-1 Low at 6: age 5m"]),
        (&gap, "HHHH.......L", &["1-2 High at 2: threshold High 2", "3-4 High at 12: threshold High 2"]),
        (&gap, "HHHH.........L", &["1-2 High at 2: threshold High 2", "3-4 High at 12: threshold High 2"]),
        (&small, "HHLLL", &["1-2 High at 2: threshold High 2", "3-5 Low at 5: size 3"]),
        (&light, "LLL", &["1-2 Low at 3: size 2500 bytes"]),
    ];
    for (policy, events, expected) in rows {
        assert_eq!(sealed(policy, events), expected, "{events}");
    }
}

#[test]
fn inv09_a_full_outbox_stops_the_key_and_an_announcement_frees_it() {
    let policy = BatchingPolicy { high: Some(1), ..POLICY };
    let high =
        |sequence: i64| Arrival { sequence: sequence.unsigned_abs(), at: minute(sequence), priority: Priority::High, bytes: 1 };
    let mut state = KeyState::new("octo-org", None);
    (1..5).for_each(|number| assert_eq!(apply(&mut state, &policy, &high(number)), Applied::Taken(1)));
    assert_eq!(state.outbox.len(), OUTBOX_MAX);
    let before = state.clone();
    assert_eq!(apply(&mut state, &policy, &high(5)), Applied::Full);
    assert_eq!(state, before);
    let id = state.batch_id(1);
    assert!(published(&mut state, &id) && !published(&mut state, &id));
    assert_eq!(apply(&mut state, &policy, &high(5)), Applied::Taken(1));
    assert_eq!(apply(&mut state, &policy, &high(5)), Applied::Skipped);
}

#[test]
fn an_open_batch_says_when_it_is_due_and_is_sealed_then_however_late_the_tick() {
    let mut state = KeyState::new("octo-org", Some("dana"));
    assert_eq!(next_tick(&state, &POLICY), None);
    apply(&mut state, &POLICY, &Arrival { sequence: 7, at: minute(1), priority: Priority::Low, bytes: 1 });
    assert_eq!(next_tick(&state, &POLICY), Some(minute(61)));
    assert_eq!(tick(&mut state, &POLICY, minute(60)), Ticked::Nothing);
    assert_eq!(tick(&mut state, &POLICY, minute(90)), Ticked::Sealed);
    assert_eq!(state.outbox[0].sealed_at(), minute(61));
}

#[test]
fn a_shorter_age_configured_later_never_seals_before_the_last_event() {
    let mut state = KeyState::new("octo-org", None);
    for (sequence, at) in [(1, 1), (2, 40)] {
        apply(&mut state, &POLICY, &Arrival { sequence, at: minute(at), priority: Priority::Low, bytes: 1 });
    }
    let shorter = BatchingPolicy { max_age_millis: 60_000, ..POLICY };
    assert_eq!(tick(&mut state, &shorter, minute(50)), Ticked::Sealed);
    assert_eq!(state.outbox[0].sealed_at(), minute(40));
}

#[test]
fn what_is_missing_is_told_for_each_way() {
    let missing = |high, medium, low| explain(&POLICY, Counts { high, medium, low }).to_string();
    assert_eq!(
        missing(1, 1, 1),
        "1 more High, or 1 more High or Medium, or 2 more of any priority, or 497 more until it is full"
    );
    assert!(missing(2, 0, 0).starts_with("nothing: "));
    let never = explain(&BatchingPolicy { high: None, ..POLICY }, Counts::default());
    assert_eq!((never.high, never.medium, never.low, never.events), (None, Some(3), Some(5), 500));
}
