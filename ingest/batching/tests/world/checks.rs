//! What must be true of every history. Knows the promises and not how batches come about.

use super::{History, Told};
use trackway_batching::{Arrival, BatchingPolicy, SealedBatch};
use trackway_crds::track::Priority;

/// Everything that is wrong with what came of `history`.
pub fn check(history: &History, told: &Told) -> Vec<String> {
    let mut broken = told.broken.clone();
    let mut batches: Vec<&SealedBatch> = told.announced.values().collect();
    batches.sort_by_key(|batch| batch.first);
    if told.left.open.is_some() || !told.left.outbox.is_empty() {
        broken.push(format!("left behind: {:?}", told.left));
    }
    let mut rest = history.events.as_slice();
    let (mut clock, mut before) = (i64::MIN, None);
    for batch in batches {
        let Some((events, after)) = split(rest, batch) else {
            broken.push(format!("{batch:?} does not begin where the one before ended, or ends within one"));
            return broken;
        };
        let times = clamped(events, &mut clock);
        each(history, batch, events, &times, before, &mut broken);
        if history.is_calm() {
            exact(history.policy(0), batch, events, &times, before, &mut broken);
        }
        clock = clock.max(batch.sealed_at);
        (rest, before) = (after, Some(batch.sealed_at));
    }
    if !rest.is_empty() {
        broken.push(format!("{} events are in no batch", rest.len()));
    }
    broken
}

/// The events of `batch`, which must be the next ones, and those after it.
fn split<'a>(rest: &'a [Arrival], batch: &SealedBatch) -> Option<(&'a [Arrival], &'a [Arrival])> {
    let count = usize::try_from(batch.events).ok()?;
    let (events, after) = rest.split_at_checked(count)?;
    let fits = events.first()?.sequence == batch.first && events.last()?.sequence == batch.last;
    fits.then_some((events, after))
}

/// Times as the key sees them: never backwards, and never before a seal.
fn clamped(events: &[Arrival], clock: &mut i64) -> Vec<i64> {
    let step = |event: &Arrival| {
        *clock = event.at.as_millisecond().max(*clock);
        *clock
    };
    events.iter().map(step).collect()
}

/// Limits and ages.
fn each(
    history: &History,
    batch: &SealedBatch,
    events: &[Arrival],
    times: &[i64],
    before: Option<i64>,
    broken: &mut Vec<String>,
) {
    let mut wrong = |what: String| broken.push(format!("{what}: {batch:?}"));
    if u64::from(batch.events) > history.most(|policy| policy.max_events.into()) {
        wrong("too many events".to_owned());
    }
    let bytes: u64 = events.iter().map(|event| event.bytes).sum();
    if bytes > history.most(|policy| policy.max_bytes) && events.len() > 1 {
        wrong(format!("{bytes} bytes are too many"));
    }
    let longest = history.most(|policy| policy.max_age_millis) + history.most(|policy| policy.min_gap_millis);
    let age = batch.sealed_at - times[0];
    if u64::try_from(age).map_or(true, |age| age > longest) {
        wrong(format!("sealed {age} ms after its first event"));
    }
    if times.last().is_some_and(|last| *last > batch.sealed_at) || before.is_some_and(|before| before > batch.sealed_at) {
        wrong("sealed before its last event or before the batch before".to_owned());
    }
}

/// Under one policy: sealed as soon as it had to be, neither sooner nor later, and for the right reason.
fn exact(
    policy: &BatchingPolicy,
    batch: &SealedBatch,
    events: &[Arrival],
    times: &[i64],
    before: Option<i64>,
    broken: &mut Vec<String>,
) {
    let mut wrong = |what: &str| broken.push(format!("{what}: {batch:?}"));
    let gap_ends = before.map_or(i64::MIN, |before| before + i64::try_from(policy.min_gap_millis).unwrap());
    let age_ends = times[0] + i64::try_from(policy.max_age_millis).unwrap();
    let waits = batch.reason.starts_with("threshold") || batch.reason.starts_with("age");
    if waits && batch.sealed_at < gap_ends {
        wrong("sealed within the gap");
    }
    if batch.reason.starts_with("age") && batch.sealed_at < age_ends {
        wrong("sealed before its age");
    }
    for length in 1..events.len() {
        let tripped_at = tripped(policy, &events[..length]).map_or(age_ends, |_| times[length - 1]);
        let bytes: u64 = events[..=length].iter().map(|event| event.bytes).sum();
        let full = length >= policy.max_events as usize || bytes > policy.max_bytes;
        if full || tripped_at.max(gap_ends).max(times[length - 1]) <= times[length] {
            wrong(&format!("should have been sealed after {length} events"));
        }
    }
    let highest = events.iter().map(|event| event.priority).min_by_key(|priority| rank(*priority));
    if Some(batch.priority) != tripped(policy, events).or(highest) {
        wrong("has another priority");
    }
    if batch.reason.starts_with("threshold") != (tripped(policy, events).is_some() && batch.sealed_at >= gap_ends) {
        wrong("has another reason");
    }
}

/// The highest priority whose threshold these events reach: each counts toward its own and the lower ones.
fn tripped(policy: &BatchingPolicy, events: &[Arrival]) -> Option<Priority> {
    let reached = |priority: Priority, threshold: Option<u32>| {
        let count = events.iter().filter(|event| rank(event.priority) <= rank(priority)).count();
        threshold.is_some_and(|threshold| count >= threshold as usize).then_some(priority)
    };
    reached(Priority::High, policy.high)
        .or_else(|| reached(Priority::Medium, policy.medium))
        .or_else(|| reached(Priority::Low, policy.low))
}

fn rank(priority: Priority) -> u8 {
    match priority {
        Priority::High => 0,
        Priority::Medium => 1,
        Priority::Low => 2,
    }
}
