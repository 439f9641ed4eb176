//! `lint`: everything that is wrong with Tracks, each with its file and line, before anything is applied.

mod check;
mod report;

pub use report::{Finding, Report, Severity};

pub(crate) use check::{check, endpoints, spec};

use crate::{
    args::LintArgs,
    exit::Outcome,
    screen::{Format, Screen},
    sources::Sources,
};
use anyhow::bail;

/// Runs the command.
///
/// # Errors
/// A path that cannot be read, or paths without anything to check.
pub fn run(args: &LintArgs, screen: &mut Screen) -> anyhow::Result<Outcome> {
    let sources = Sources::read(&args.files)?;
    let report = check(&sources, args.strict_endpoints);
    if report.is_empty_handed() && report.findings.is_empty() {
        bail!("nothing to check: no Track, ModelEndpoint or ConfigMap in what -f names");
    }
    match screen.format {
        Format::People => screen.say(&report.for_people(screen.style))?,
        other => screen.data(other, &report)?,
    }
    Ok(Outcome::good_if(report.faults() == 0))
}
