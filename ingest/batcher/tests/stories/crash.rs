//! Killed anywhere, and another takes over.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::timeout;
use trackway_crds::track::Priority;

use crate::mortal::Mortal;
use crate::world::{World, event};

const TENANTS: [&str; 2] = ["octo-org", "acme"];
const RULES: &str = "
namespaces: [{name: team-a, tenants: ['octo-*']}, {name: team-b}]
batching:
  tenant: {thresholds: {high: 3, medium: 8, low: 20}, maxAge: 1s, maxEvents: 25}
  user: {thresholds: {high: 2, medium: 5, low: 10}, maxAge: 1s, maxEvents: 7, minGap: 100ms}
tenants: [{match: acme, batching: {tenant: {thresholds: {high: 1}}}}]
sources: []
";
const KILLS: u64 = 30;

fn seed() -> u64 {
    std::env::var("TRACKWAY_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..1_000_000))
}

/// Events of two tenants and three users; one in eight is High.
fn events(rng: &mut fastrand::Rng, from: usize, count: usize) -> Vec<trackway_crds::contracts::StoredEvent> {
    let event = |number| {
        let priority = [Priority::High, Priority::Medium, Priority::Low, Priority::Low][rng.usize(..4)];
        let user = [None, Some("dana"), Some("hubot"), Some("robin")][rng.usize(..4)];
        event(TENANTS[rng.usize(..2)], user, priority, number)
    };
    (from..from + count).map(event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn inv09_a_batcher_killed_between_any_two_calls_loses_and_repeats_nothing() {
    let seed = seed();
    println!("TRACKWAY_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut world = World::start(RULES).await;
    let mut killed: BTreeMap<&str, u64> = BTreeMap::new();
    for kill in 0..KILLS {
        let from = world.sent.len();
        let more = events(&mut rng, from, 20);
        world.send(more).await;
        // Beginning takes a partition three calls, taking and announcing a batch about ten.
        let mortal = Mortal::new(world.real(), 1 + rng.u64(..70), rng.bool());
        let batcher = world.batcher(mortal.clone(), &TENANTS);
        let more = events(&mut rng, from + 20, 20);
        world.send(more).await;
        if let Ok(call) = timeout(Duration::from_millis(1_500), mortal.died()).await {
            *killed.entry(call).or_default() += 1;
        }
        batcher.abort();
        assert!(batcher.await.is_err_and(|error| error.is_cancelled()), "kill {kill}: it ended by itself");
    }
    let survivor = world.batcher(Mortal::immortal(world.real()), &TENANTS);
    world.until_all_is_announced().await;
    let batches = world.check_exactly_once().await;
    println!("{} events in {batches} batches, of {KILLS} batchers killed at: {killed:?}", world.sent.len());
    assert!(killed.values().sum::<u64>() >= KILLS / 2, "too few were killed to prove anything");
    survivor.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn inv09_two_batchers_of_the_same_partitions_are_wasteful_and_not_wrong() {
    let seed = seed();
    println!("TRACKWAY_SEED={seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut world = World::start(RULES).await;
    let batchers = [world.batcher(world.real(), &TENANTS), world.batcher(world.real(), &TENANTS)];
    for _ in 0..10 {
        let more = events(&mut rng, world.sent.len(), 50);
        world.send(more).await;
    }
    world.until_all_is_announced().await;
    println!("{} events in {} batches", world.sent.len(), world.check_exactly_once().await);
    assert!(batchers.iter().all(|batcher| !batcher.is_finished()));
    batchers.iter().for_each(tokio::task::JoinHandle::abort);
}
