//! The readers of events: each starts when the backlog is there and reads all of it.

use super::world::{DIMENSIONS, World, sum};
use crate::{
    memory::Memory,
    table::{Figure, Goal},
};
use std::time::{Duration, Instant};

/// What a reader has done by then counts.
const LIMIT: Duration = Duration::from_secs(60);
/// The same where the scripted model is the slower part.
const MODEL_LIMIT: Duration = Duration::from_secs(15);

/// A reader and when it has read everything.
struct Reader {
    name: &'static str,
    what: &'static str,
    more: Vec<String>,
    /// How many events it is done with, by its metrics.
    done: fn(&str) -> f64,
    limit: Duration,
}

/// Rates of the lake writer, the batcher and the vectorizer over `backlog` events, and what they held at most.
pub(crate) async fn measure(world: &World, backlog: u32) -> anyhow::Result<(Vec<Figure>, Vec<(&'static str, Memory)>)> {
    let (mut model, url) = world.start_model().await?;
    let readers = readers(&url);
    let (mut figures, mut memories) = (Vec::new(), Vec::new());
    for reader in &readers {
        let Drained { events, seconds, memory } = drain(world, reader, backlog.into()).await?;
        let load =
            if events < f64::from(backlog) { format!("{events:.0} of the backlog") } else { format!("backlog of {backlog}") };
        let samples = vec![events / seconds];
        figures.push(Figure { what: reader.what.into(), load, unit: "/s", samples, goal: Goal::default() });
        memories.push((reader.name, memory));
    }
    model.stop().await?;
    Ok((figures, memories))
}

fn readers(model: &str) -> [Reader; 3] {
    let owned = |arguments: &[&str]| arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>();
    let vectors = ["--embeddings-url", model, "--embeddings-model", "scripted", "--embeddings-dimensions"];
    let mut vectors = owned(&vectors);
    vectors.extend([DIMENSIONS.to_string(), "--flush-age".to_owned(), "1s".to_owned()]);
    [
        Reader {
            name: "lake",
            what: "rows written by the lake writer",
            // What is left at the end waits for its age.
            more: owned(&["--flush-age", "1s"]),
            done: |metrics| sum(metrics, "trackway_lake_rows_total"),
            limit: LIMIT,
        },
        Reader {
            name: "batcher",
            what: "events gathered by the batcher, their batches announced",
            more: Vec::new(),
            done: announced,
            limit: LIMIT,
        },
        Reader {
            name: "vectorizer",
            what: "vectors made by the vectorizer, of a scripted model",
            more: vectors,
            done: |metrics| sum(metrics, "trackway_vectors_rows_total"),
            limit: MODEL_LIMIT,
        },
    ]
}

/// Events in batches of both levels; one less for as long as a sealed batch is not announced.
fn announced(metrics: &str) -> f64 {
    let waiting =
        sum(metrics, "trackway_batcher_batches_sealed_total") - sum(metrics, "trackway_batcher_batches_announced_total");
    let events = sum(metrics, "trackway_batcher_events_applied_total") / 2.0;
    if waiting > 0.0 { events - 1.0 } else { events }
}

/// Events done, the seconds that took from the process's start on, and what it held at most.
struct Drained {
    events: f64,
    seconds: f64,
    memory: Memory,
}

async fn drain(world: &World, reader: &Reader, backlog: f64) -> anyhow::Result<Drained> {
    let more: Vec<&str> = reader.more.iter().map(String::as_str).collect();
    let started = Instant::now();
    let mut part = world.start_part(reader.name, &more).await?;
    let metrics = part.metrics();
    let all = || async { ((reader.done)(&metrics.read().await.ok()?) >= backlog).then_some(()) };
    let finished = part.process.until("everything is read", reader.limit, all).await;
    let seconds = started.elapsed().as_secs_f64();
    // Who has ended has none; who is only slow has done a part.
    let memory = part.process.memory()?;
    let events = if finished.is_ok() { backlog } else { (reader.done)(&metrics.read().await?) };
    part.process.stop().await?;
    Ok(Drained { events, seconds, memory })
}
