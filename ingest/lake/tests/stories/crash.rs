//! Whatever ends or disturbs a writer at whichever step, every event is in the lake once.

use prometheus_client::registry::Registry;
use trackway_crds::contracts::StoredEvent;
use trackway_lake::partitions::Metrics;
use trackway_store::Files;

use crate::events::events;
use crate::reading::{contents, ids};
use crate::world::{MISHAPS, Mishap, PARTITION, Process, World};

const EVENTS: usize = 20;

fn memory() -> Files {
    Files::open("memory://", None, []).unwrap()
}

fn metrics() -> Metrics {
    Metrics::register(&mut Registry::default())
}

fn expected(events: &[StoredEvent]) -> Vec<String> {
    let mut ids: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
    ids.sort();
    ids
}

/// A world with events and, among them, two messages that are none.
fn world(events: &[StoredEvent]) -> World {
    let world = World::default();
    world.publish(&events[..8]);
    world.publish_text("no event");
    world.publish_text("{}");
    world.publish(&events[8..]);
    world
}

#[tokio::test(start_paused = true)]
async fn inv09_whatever_happens_at_whichever_step_every_event_is_in_the_lake_once() {
    let all = events(PARTITION, EVENTS);
    let steps = {
        let (world, files) = (world(&all), memory());
        let process = Process::new(&world, []);
        process.run(&files, &metrics()).await;
        assert_eq!((ids(&files).await, world.set_aside()), (expected(&all), 2));
        process.steps()
    };
    // Load, follow; begin, write, end of four ranges; two messages set aside.
    assert_eq!(steps, 2 + 4 * 3 + 2);
    for at in 0..steps {
        for mishap in MISHAPS {
            let (world, files) = (world(&all), memory());
            let first = Process::new(&world, [(at, mishap)]);
            first.run(&files, &metrics()).await;
            let died = matches!(mishap, Mishap::DiesBefore | Mishap::DiesWithin | Mishap::DiesAfter);
            assert_eq!(first.died.is_cancelled(), died, "step {at}, {mishap:?}");
            let before = contents(&files).await;
            Process::new(&world, []).run(&files, &metrics()).await;
            assert_eq!(ids(&files).await, expected(&all), "step {at}, {mishap:?}");
            assert_eq!(world.set_aside(), 2, "step {at}, {mishap:?}");
            let after = contents(&files).await;
            assert!(before.iter().all(|file| after.contains(file)), "step {at}, {mishap:?}: a file changed");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn inv09_two_writers_of_one_partition_with_mishaps_write_every_event_once() {
    let seeds = std::env::var("TRACKWAY_LAKE_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(40);
    for seed in 0..seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let all = events(PARTITION, 60);
        let (world, files, metrics) = (world(&all), memory(), metrics());
        let writer = |mut random: fastrand::Rng| {
            let (world, files, metrics) = (world.clone(), files.clone(), metrics.clone());
            async move {
                while !world.all_written() {
                    let mishaps: Vec<_> =
                        (0..2).map(|_| (random.usize(0..40), MISHAPS[random.usize(0..MISHAPS.len())])).collect();
                    Process::new(&world, mishaps).paced_by(random.fork()).run(&files, &metrics).await;
                }
            }
        };
        tokio::join!(writer(random.fork()), writer(random.fork()));
        assert_eq!(ids(&files).await, expected(&all), "seed {seed}");
        assert_eq!(world.set_aside(), 2, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_meets_another_counts_it() {
    let all = events(PARTITION, 60);
    let (world, files, metrics) = (world(&all), memory(), metrics());
    let process = |seed| Process::new(&world, []).paced_by(fastrand::Rng::with_seed(seed));
    let (one, other) = (process(1), process(2));
    tokio::join!(one.run(&files, &metrics), other.run(&files, &metrics));
    assert!(metrics.conflicts.get() > 0);
}

#[tokio::test(start_paused = true)]
async fn little_is_written_when_it_is_old_enough() {
    let all = events(PARTITION, 2);
    let (world, files) = (World::default(), memory());
    world.publish(&all);
    let started = tokio::time::Instant::now();
    Process::new(&world, []).run(&files, &metrics()).await;
    let seconds = started.elapsed().as_secs();
    assert!((60..70).contains(&seconds), "{seconds}");
    assert_eq!(ids(&files).await, expected(&all));
}

#[tokio::test(start_paused = true)]
async fn what_expired_before_an_interrupted_write_was_repeated_is_counted_and_the_rest_goes_on() {
    let all = events(PARTITION, EVENTS);
    let (world, files, metrics) = (World::default(), memory(), metrics());
    world.publish(&all);
    // Step 3 is the write of the first range.
    Process::new(&world, [(3, Mishap::DiesBefore)]).run(&files, &metrics).await;
    assert_eq!(world.checkpoint().pending.map(|pending| pending.messages), Some(6));
    world.expire(4);
    Process::new(&world, []).run(&files, &metrics).await;
    assert_eq!(metrics.lost.get(), 4);
    assert_eq!(ids(&files).await, expected(&all[4..]));
}
