//! Events into the gateway, beside messages into the same NATS server without it.

use super::{
    disk,
    nats_bench::{NatsBench, Publish},
    sender::{self, Sent},
    world::{Part, Sync, World},
};
use crate::table::{Figure, Goal};

/// Each kind of load is measured so often, in turn, so that what the disk does meanwhile meets them all.
const ROUNDS: usize = 3;
/// Before anything counts: connections, tokens, first blocks of the streams.
const WARM_UP: usize = 500;
/// The share of what NATS alone acknowledges that the gateway should accept.
const SHARE: f64 = 0.5;

/// So many senders.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    connections: usize,
    /// Events of each round.
    events: usize,
}

const MODERATE: Load = Load { name: "8 connections", connections: 8, events: 1_500 };
const FULL: Load = Load { name: "128 connections", connections: 128, events: 4_000 };

/// What a load came to, round by round.
#[derive(Default)]
struct Rounds {
    gateway: Vec<Sent>,
    /// `nats bench`, with as many connections, each with one message on its way.
    sync: Vec<f64>,
    /// `nats bench`, with as many messages on their way over one connection.
    async_: Vec<f64>,
}

/// Figures of the gateway; afterwards `backlog` events are stored.
pub(crate) async fn measure(world: &mut World, gateway: &mut Part, backlog: usize) -> anyhow::Result<Vec<Figure>> {
    let mut stored = 0;
    send(gateway, MODERATE.connections, WARM_UP, &mut stored).await?;
    let size = world.stored_size().await?;
    let mut figures = vec![millis(
        format!("the disk: append {size} bytes and sync"),
        "one after the other",
        disk::syncs(world.folder(), size)?,
    )];
    let mut bench = NatsBench::prepare(world, size).await?;
    let (mut moderate, mut full) = (Rounds::default(), Rounds::default());
    for _ in 0..ROUNDS {
        for (load, rounds) in [(MODERATE, &mut moderate), (FULL, &mut full)] {
            rounds.gateway.push(send(gateway, load.connections, load.events, &mut stored).await?);
            rounds.sync.push(bench.publish(Publish::Sync(load.connections), load.events).await?);
            rounds.async_.push(bench.publish(Publish::Async(load.connections), load.events).await?);
        }
    }
    figures.extend(of_rounds(MODERATE, moderate));
    figures.extend(of_rounds(FULL, full));
    world.restart_nats(Sync::EveryTwoMinutes).await?;
    gateway.ready().await?;
    let rest = backlog.saturating_sub(stored);
    let unsynced = send(gateway, FULL.connections, rest, &mut stored).await?;
    world.restart_nats(Sync::Always).await?;
    let load = format!("{}, NATS does not sync", FULL.name);
    figures.push(rate("events accepted by the gateway", &load, vec![unsynced.rate()]));
    figures.push(millis("request → 202".into(), &load, unsynced.latencies));
    Ok(figures)
}

async fn send(gateway: &Part, connections: usize, count: usize, stored: &mut usize) -> anyhow::Result<Sent> {
    let sent = sender::send(gateway.port, connections, *stored, count).await?;
    *stored += count;
    Ok(sent)
}

fn of_rounds(load: Load, rounds: Rounds) -> Vec<Figure> {
    let Load { name, connections, .. } = load;
    let rates: Vec<f64> = rounds.gateway.iter().map(Sent::rate).collect();
    let latencies = rounds.gateway.into_iter().flat_map(|sent| sent.latencies).collect();
    let share = |of: &[f64], what: &str| Figure {
        what: format!("… gateway / nats bench {what}, round by round"),
        load: name.into(),
        unit: "",
        samples: rates.iter().zip(of).map(|(gateway, bench)| gateway / bench).collect(),
        goal: Goal { least: Some(SHARE), ..Goal::default() },
    };
    let shares = [share(&rounds.sync, "sync"), share(&rounds.async_, "async")];
    let mut figures = vec![
        rate("events accepted by the gateway", name, rates.clone()),
        rate("messages of nats bench js pub sync", &format!("{connections} clients"), rounds.sync),
        rate("messages of nats bench js pub async", &format!("1 client, --batch {connections}"), rounds.async_),
    ];
    figures.extend(shares);
    figures.push(millis("request → 202".into(), name, latencies));
    figures
}

fn rate(what: &str, load: &str, samples: Vec<f64>) -> Figure {
    Figure { what: what.into(), load: load.into(), unit: "/s", samples, goal: Goal::default() }
}

fn millis(what: String, load: &str, samples: Vec<f64>) -> Figure {
    Figure { what, load: load.into(), unit: "ms", samples, goal: Goal::default() }
}
