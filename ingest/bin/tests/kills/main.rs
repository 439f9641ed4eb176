//! Invariants 9 and 10 where they are hardest: senders go on while the gateway, NATS, the lake writer, the vectorizer, the batcher
//! and the collector are killed in random order. `TRACKWAY_SOAK=1` sends 100,000 events under 50 kills, `TRACKWAY_SEED=17` repeats an
//! order of kills.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a test says what it has looked at, and how long it took")]

mod batches;
mod lake;
mod runs;
mod senders;
mod world;

use senders::Sent;
use std::{collections::BTreeMap, time::Instant};
use trackway_crds::track::Level;
use world::World;

struct Size {
    events: usize,
    kills: usize,
}

fn size() -> Size {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let soak = std::env::var_os("TRACKWAY_SOAK").is_some();
    Size {
        events: number("TRACKWAY_EVENTS").unwrap_or(if soak { 100_000 } else { 10_000 }),
        kills: number("TRACKWAY_KILLS").unwrap_or(if soak { 50 } else { 10 }),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inv09_inv10_every_acknowledged_event_is_once_in_the_lake_and_in_a_batch_per_level_that_has_its_runs() {
    let seed = std::env::var("TRACKWAY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(|| fastrand::u64(..1 << 32));
    let Size { events, kills } = size();
    println!("TRACKWAY_SEED={seed}: {events} events, {kills} kills");
    let mut world = World::start().await;
    let since = Instant::now();
    let senders = senders::start(&world.gateway_url(), events);
    world.kill_at_random(seed, kills, &senders).await;
    let sent = senders.finish().await;
    println!("all acknowledged after {:.1} s", since.elapsed().as_secs_f64());

    let kept = lake::wait_for(&world.lake_folder().join("events"), sent.ids.len()).await;
    let vectors = lake::wait_for(&world.lake_folder().join("vectors"), sent.ids.len()).await;
    let batches = batches::wait_for(&world, sent.ids.len()).await;
    let runs = runs::exactly_those_of(&batches, &world.api).await;
    world.stop().await;

    every_event_once("in the lake", &sent, &kept);
    every_event_once("among the vectors", &sent, &vectors);
    for level in [Level::Tenant, Level::User] {
        let of_level: Vec<_> = batches.iter().filter(|batch| batch.info.level == level).collect();
        let ids: Vec<String> = of_level.iter().flat_map(|batch| batch.events.iter().cloned()).collect();
        every_event_once(&format!("in a batch of level {level:?}"), &sent, &ids);
        for batch in &of_level {
            assert_eq!(usize::try_from(batch.info.counts.events).unwrap(), batch.events.len(), "{}", batch.info.id);
        }
        println!("{level:?}: {} batches of {} events", of_level.len(), ids.len());
    }
    println!("{runs} runs, exactly those of the batches");
    let repeats = sent.repeats;
    println!(
        "{} events acknowledged, {repeats} of them after a try whose answer was lost, by {:?}",
        sent.ids.len(),
        world.killed
    );
}

/// `found` names every acknowledged event exactly once, and no other.
fn every_event_once(where_: &str, sent: &Sent, found: &[String]) {
    let mut times: BTreeMap<&str, u32> = sent.ids.iter().map(|id| (id.as_str(), 0)).collect();
    let mut strangers = Vec::new();
    for id in found {
        match times.get_mut(id.as_str()) {
            Some(times) => *times += 1,
            None => strangers.push(id),
        }
    }
    let wrong: Vec<_> = times.iter().filter(|(_, times)| **times != 1).take(5).collect();
    let lost = times.values().filter(|times| **times == 0).count();
    let twice = times.values().filter(|times| **times > 1).count();
    assert!(wrong.is_empty(), "{where_}: {lost} events lost, {twice} more than once: {wrong:?}");
    assert!(strangers.is_empty(), "{where_}: {} events nobody was told are there: {:?}", strangers.len(), strangers.first());
}
