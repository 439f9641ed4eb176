//! Batches sent through the installed Trackway of the current kubeconfig, and what they cost.
//!
//! Everything is measured from outside: the time JetStream stored a result, the API server's audit log, the first line of a
//! worker's log, `/proc`. It has to run on the machine of the built-in cluster, whose clocks are one.

mod audit;
mod causes;
mod crowd;
mod figures;
mod load;
mod place;
mod starts;
mod steps;

use crate::{machine::Machine, table};
use anyhow::Context as _;
use figures::Measured;
use jiff::Timestamp;
use load::{ALONE, FAN, LOADS, REFAN, TEN};
use place::Place;
use std::{
    io::{Write as _, stderr, stdout},
    path::PathBuf,
    time::Instant,
};

/// Runs that have the cluster to themselves.
const ALONE_RUNS: u32 = 3;
/// Finished runs the operator's memory is measured with.
const CROWD: u32 = 1000;

/// What is measured, and with what.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Namespace of Trackway and of the Tracks.
    #[arg(long, default_value = "trackway", value_name = "NAME")]
    namespace: String,
    /// The API server's audit log.
    #[arg(long, value_name = "FILE")]
    audit_log: PathBuf,
    /// The program that submits batches.
    #[arg(long, value_name = "PROGRAM")]
    cli: PathBuf,
    /// Events of every batch, as `trackway submit` takes them.
    #[arg(long, value_name = "FILE_OR_DIR")]
    events: PathBuf,
    /// Batches of each load.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=400), value_name = "N")]
    batches: u32,
    /// Something else to print with the table.
    #[arg(long = "beside", value_name = "TEXT")]
    beside: Vec<String>,
}

/// Measures and prints.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let place = Place::open(args.clone()).await?;
    let machine = Machine::look()?;
    let mark = format!("{:04x}", Timestamp::now().as_second() & 0xffff);

    // The first pods of a node are not what later ones are.
    LOADS[1].run(&place, 1, &format!("{}w", &mark[..3])).await?;
    let idle = place.operator_memory().await?;
    let mut measured: Vec<Measured> = Vec::new();
    for load in &LOADS {
        let begun = Instant::now();
        let runs = load.run(&place, args.batches, &mark).await?;
        writeln!(stderr(), "{}: {} runs in {:.0} s", load.name, runs.len(), begun.elapsed().as_secs_f64())?;
        measured.push((load.name, runs));
    }
    let after = place.operator_memory().await?;
    let fans = args.batches.div_ceil(4);
    let (fan, refan) = (FAN.run(&place, fans, &mark).await?, REFAN.run(&place, fans, &mark).await?);
    let (alone, ten) = (ALONE.run(&place, ALONE_RUNS, &mark).await?, TEN.run(&place, 10, &mark).await?);
    let (ten_at_once, bound) = causes::of_ten_at_once(&alone, &ten);
    let finished = measured.iter().flat_map(|(_, runs)| runs).next().context("no run was measured")?;
    crowd::of_finished(&place, finished, CROWD, &mark).await?;
    let crowded = place.operator_memory().await?;

    let mut all = figures::of_runs(&place, &args.namespace, &args.audit_log, &measured).await?;
    all.extend(figures::of_lease(&args.namespace, &args.audit_log)?);
    all.extend(figures::of_status(&measured)?);
    all.extend([causes::of_fan_out(FAN.name, &fan, 4000.0), causes::of_fan_out(REFAN.name, &refan, 8000.0)]);
    all.extend(ten_at_once);
    all.extend(figures::of_memory(idle, after, crowded));
    let version = place.client.apiserver_version().await?.git_version;
    let machine = format!("{}; Kubernetes {version} on one node", machine.look_again()?);
    let beside: String = args.beside.iter().map(|text| format!("{text}\n")).collect();
    writeln!(stdout(), "{machine}\n{beside}\n{}\n\n{bound}", table::table(&all))?;
    Ok(())
}
