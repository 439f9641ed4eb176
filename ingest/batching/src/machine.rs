//! The rules.

use crate::{BatchingPolicy, Counts, KeyState, OUTBOX_MAX, OpenBatch, SealedBatch, state::timestamp};
use jiff::Timestamp;
use trackway_crds::track::Priority;

/// An event, as far as batching looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its sequence in the stream; grows from event to event of a key.
    pub sequence: u64,
    /// When the stream stored it.
    pub at: Timestamp,
    /// How urgent it is.
    pub priority: Priority,
    /// Its size in the stream.
    pub bytes: u64,
}

/// Outcome of [`apply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was taken before; nothing has changed.
    Skipped,
    /// It belongs to a batch now, and so many batches were sealed: 0, 1 or 2.
    Taken(usize),
    /// Taking it would seal more than the outbox has room for. Nothing has changed: announce what waits, then try again.
    Full,
}

/// Outcome of [`tick`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ticked {
    /// Nothing is due.
    Nothing,
    /// The open batch was sealed.
    Sealed,
    /// The open batch is due and the outbox has no room.
    Full,
}

/// Why and when a batch is sealed.
struct Seal {
    batch: OpenBatch,
    reason: Reason,
    at: i64,
}

#[derive(Clone, Copy)]
enum Reason {
    Threshold(Priority, u32),
    Age,
    Events,
    Bytes,
}

/// Takes the event into the open batch, after sealing what was due before it came, and seals again if the event makes it so.
/// Changes nothing unless the outcome is [`Applied::Taken`].
pub fn apply(state: &mut KeyState, policy: &BatchingPolicy, event: &Arrival) -> Applied {
    if event.sequence <= state.applied {
        return Applied::Skipped;
    }
    let at = event.at.as_millisecond().max(state.clock());
    let before = state.open.and_then(|open| reached(open, policy, state.sealed_at, at, event.bytes));
    let sealed_at = before.as_ref().map_or(state.sealed_at, |seal| Some(seal.at));
    let open = match state.open.filter(|_| before.is_none()) {
        Some(open) => open.with(event, at),
        None => OpenBatch::of(event, at),
    };
    let after = reached(open, policy, sealed_at, at, 0);
    let still_open = after.is_none().then_some(open);
    let seals: Vec<Seal> = before.into_iter().chain(after).collect();
    if state.outbox.len() + seals.len() > OUTBOX_MAX {
        return Applied::Full;
    }
    let count = seals.len();
    seals.into_iter().for_each(|seal| put_out(state, policy, seal));
    state.open = still_open;
    state.applied = event.sequence;
    Applied::Taken(count)
}

/// Seals the open batch if it was due by `now`. Sealed late, it is still sealed *at* the moment it was due.
pub fn tick(state: &mut KeyState, policy: &BatchingPolicy, now: Timestamp) -> Ticked {
    let due = state.open.map(|open| due(open, policy, state.sealed_at)).filter(|seal| seal.at <= now.as_millisecond());
    match due {
        None => Ticked::Nothing,
        Some(_) if state.outbox.len() >= OUTBOX_MAX => Ticked::Full,
        Some(seal) => {
            put_out(state, policy, seal);
            state.open = None;
            Ticked::Sealed
        }
    }
}

/// When [`tick`] will seal if no event comes before; `None` while nothing is open.
#[must_use]
pub fn next_tick(state: &KeyState, policy: &BatchingPolicy) -> Option<Timestamp> {
    state.open.map(|open| timestamp(due(open, policy, state.sealed_at).at))
}

/// Takes the batch `id` out of the outbox: it was announced. `false`: it was not there, which is no mistake when it is done twice.
pub fn published(state: &mut KeyState, id: &str) -> bool {
    let found = state.outbox.iter().position(|batch| state.batch_id(batch.first) == id);
    found.map(|index| state.outbox.remove(index)).is_some()
}

/// Why `open` is sealed at the moment `at`, if `bytes` more are about to come.
fn reached(open: OpenBatch, policy: &BatchingPolicy, sealed_at: Option<i64>, at: i64, bytes: u64) -> Option<Seal> {
    let due = due(open, policy, sealed_at);
    if due.at <= at {
        return Some(due);
    }
    // Within the gap too: what a batch may hold does not depend on when the last one was sealed.
    let full = |reason| Some(Seal { batch: open, reason, at });
    if open.counts.all() >= policy.max_events {
        return full(Reason::Events);
    }
    let too_large = open.bytes >= policy.max_bytes || open.bytes.saturating_add(bytes) > policy.max_bytes;
    if too_large { full(Reason::Bytes) } else { None }
}

/// When and why `open` is sealed if no event comes any more.
fn due(open: OpenBatch, policy: &BatchingPolicy, sealed_at: Option<i64>) -> Seal {
    let (reason, reached_at) = match policy.tripped(open.counts) {
        Some((priority, threshold)) => (Reason::Threshold(priority, threshold), open.last_at),
        None => (Reason::Age, plus(open.opened_at, policy.max_age_millis)),
    };
    let gap_ends = sealed_at.map_or(i64::MIN, |sealed_at| plus(sealed_at, policy.min_gap_millis));
    // Not before its last event either: a shorter age may have been configured since.
    Seal { batch: open, reason, at: reached_at.max(gap_ends).max(open.last_at) }
}

fn put_out(state: &mut KeyState, policy: &BatchingPolicy, seal: Seal) {
    let Seal { batch, reason, at } = seal;
    let priority = policy.tripped(batch.counts).map_or(batch.counts.highest(), |(priority, _)| priority);
    let reason = match reason {
        Reason::Threshold(priority, threshold) => format!("threshold {} {threshold}", priority.as_str()),
        Reason::Age => format!("age {}", policy.max_age_text()),
        Reason::Events => format!("size {}", policy.max_events),
        Reason::Bytes => format!("size {} bytes", policy.max_bytes),
    };
    let events = batch.counts.all();
    state.outbox.push(SealedBatch { first: batch.first, last: batch.last, events, sealed_at: at, priority, reason });
    state.sealed_at = Some(at);
}

impl OpenBatch {
    fn of(event: &Arrival, at: i64) -> Self {
        let counts = Counts::default().with(event.priority);
        Self { first: event.sequence, last: event.sequence, opened_at: at, last_at: at, counts, bytes: event.bytes }
    }

    fn with(self, event: &Arrival, at: i64) -> Self {
        let counts = self.counts.with(event.priority);
        Self { last: event.sequence, last_at: at, counts, bytes: self.bytes.saturating_add(event.bytes), ..self }
    }
}

fn plus(moment: i64, millis: u64) -> i64 {
    moment.saturating_add(i64::try_from(millis).unwrap_or(i64::MAX))
}
