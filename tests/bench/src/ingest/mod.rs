//! The parts of ingest under load, and NATS beside them: processes of this machine on loopback, a fixed number of events.

mod accept;
mod disk;
mod drain;
mod nats_bench;
mod process;
mod scan;
mod sender;
mod world;

use crate::{
    machine::Machine,
    memory::Memory,
    table::{self, Figure, Goal},
};
use std::{
    io::{Write as _, stderr, stdout},
    path::PathBuf,
    time::Instant,
};
use world::World;

/// Most milliseconds a search through 100,000 vectors should take.
const SCAN_GOAL: f64 = 25.0;

/// What is measured, and with what.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Folder with the programs trackway-ingest and scripted-llm.
    #[arg(long, value_name = "DIR")]
    binaries: PathBuf,
    /// Events that the readers find.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(20_000..=1_000_000), value_name = "N")]
    events: u32,
}

/// Measures and prints.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let (machine, begun, backlog) = (Machine::look()?, Instant::now(), args.events);
    let said = |what: &str| writeln!(stderr(), "ingest: {what} after {:.0} s", begun.elapsed().as_secs_f64());
    let mut figures = Vec::new();
    let mut world = World::start(args).await?;
    let mut gateway = world.start_part("gateway", &[]).await?;
    let accepting = accept::measure(&mut world, &mut gateway, usize::try_from(backlog)?).await?;
    let mut memories = vec![("gateway", gateway.process.memory()?)];
    gateway.process.stop().await?;
    said("events are stored")?;
    let (draining, of_readers) = drain::measure(&world, backlog).await?;
    memories.extend(of_readers);
    memories.push(("nats-server", world.nats.memory()?));
    said("events are read")?;
    drop(world);
    figures.extend(accepting);
    figures.extend(draining);
    let goal = Goal { p50: Some(SCAN_GOAL), ..Goal::default() };
    let samples = scan::exact()?;
    figures.push(Figure {
        what: "exact search, nearest 20".into(),
        load: "100,000 × 384, one core".into(),
        unit: "ms",
        samples,
        goal,
    });
    figures.extend(memories.into_iter().map(|(name, memory)| of_memory(name, memory)));
    writeln!(stdout(), "{}\n\n{}", machine.look_again()?, table::table(&figures))?;
    Ok(())
}

fn of_memory(name: &str, memory: Memory) -> Figure {
    let (what, samples) = (format!("memory of {name}, at most"), vec![memory.peak]);
    Figure { what, load: "all of the above".into(), unit: "MiB", samples, goal: Goal::default() }
}
