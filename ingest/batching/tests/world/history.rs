//! What happens to one key, drawn from a seed.

use fastrand::Rng;
use jiff::Timestamp;
use trackway_batching::{Arrival, BatchingPolicy};
use trackway_crds::track::Priority;

/// Events in stream order, and what the configuration says when each of them comes.
pub struct History {
    pub seed: u64,
    pub events: Vec<Arrival>,
    /// From the event of this index on.
    pub policies: Vec<(usize, BatchingPolicy)>,
    /// Ticks come with times that the stream has not reached, or has long passed.
    pub wild_ticks: bool,
}

const START: i64 = 1_795_000_000_000;

impl History {
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let length = if rng.u8(..16) == 0 { rng.usize(60..120) } else { rng.usize(1..24) };
        let mut policies = vec![(0, policy(&mut rng))];
        if rng.u8(..4) == 0 {
            let mut changes: Vec<usize> = (0..rng.usize(1..4)).map(|_| rng.usize(..length)).collect();
            changes.sort_unstable();
            policies.extend(changes.into_iter().map(|index| (index, policy(&mut rng))));
        }
        let events = events(&mut rng, length);
        Self { seed, events, policies, wild_ticks: rng.u8(..4) == 0 }
    }

    /// What holds when the event of `index` comes.
    pub fn policy(&self, index: usize) -> &BatchingPolicy {
        let found = self.policies.iter().rev().find(|(from, _)| *from <= index);
        &found.unwrap_or(&self.policies[0]).1
    }

    /// The same events give the same batches only under the same rules, and if nobody claims a time the stream has not reached.
    pub fn is_calm(&self) -> bool {
        self.policies.len() == 1 && !self.wild_ticks
    }

    /// The greatest of what any of the policies says.
    pub fn most(&self, what: impl Fn(&BatchingPolicy) -> u64) -> u64 {
        self.policies.iter().map(|(_, policy)| what(policy)).max().unwrap_or(0)
    }
}

fn policy(rng: &mut Rng) -> BatchingPolicy {
    let mut threshold = |up_to: u32| (rng.u8(..4) > 0).then(|| rng.u32(1..up_to));
    let (high, medium, low) = (threshold(4), threshold(8), threshold(16));
    BatchingPolicy {
        high,
        medium,
        low,
        max_age_millis: rng.u64(1..20_000),
        max_events: rng.u32(1..20),
        max_bytes: rng.u64(1..4_000),
        min_gap_millis: if rng.bool() { 0 } else { rng.u64(..30_000) },
    }
}

/// Other keys' events lie between, some come at the same moment, and now and then the clock is set.
fn events(rng: &mut Rng, length: usize) -> Vec<Arrival> {
    let (mut sequence, mut at) = (rng.u64(1..1_000), START);
    let clock_is_set = rng.u8(..4) == 0;
    let pace = [1, 1_000, 5_000, 40_000][rng.usize(..4)];
    let event = |_| {
        sequence += rng.u64(1..4);
        at += rng.i64(0..=pace);
        if clock_is_set && rng.u8(..8) == 0 {
            at += rng.i64(-60_000..60_000);
        }
        let priority = [Priority::High, Priority::Medium, Priority::Low, Priority::Low][rng.usize(..4)];
        let bytes = if rng.u8(..16) == 0 { rng.u64(..5_000) } else { rng.u64(1..400) };
        Arrival { sequence, at: Timestamp::from_millisecond(at).unwrap(), priority, bytes }
    };
    (0..length).map(event).collect()
}
