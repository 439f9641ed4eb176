//! A Track read once: every name followed, every default filled in, every fault found.
//!
//! Pure: what is needed comes in as arguments, and everything that is wrong comes out at once, so that one look at a Track's
//! condition (or one `trackway lint`) is enough to mend it. The operator publishes the result as an immutable ConfigMap; the
//! command line uses the same code without a cluster.

mod ask;
mod broadcast;
mod container;
mod durations;
mod fault;
mod for_each;
mod json_lines;
mod judge;
mod lists;
mod manifest;
mod pods;
mod prompts;
mod quantity;
mod retry;
mod revision;
mod rules;
mod schema;
mod stage;

pub use fault::{Fault, Reason};
pub use manifest::check_manifest;
pub use revision::{Resolved, config_map_data, revision_name};
pub use rules::check_spec;

use fault::Faults;
use revision::MAX_BYTES;
use stage::Stages;
use std::collections::BTreeMap;
use trackway_crds::{
    ModelEndpointSpec, TrackSpec,
    contracts::{CONTRACT, Revision},
};

/// Resolves the Track `track_name`.
///
/// `endpoints` are the ModelEndpoints of its namespace by name, `files` the keys of the ConfigMap it names in `promptsFrom`.
///
/// # Errors
/// Every fault found, in the order of the spec, each once.
pub fn resolve(
    track_name: &str,
    spec: &TrackSpec,
    endpoints: &BTreeMap<String, ModelEndpointSpec>,
    files: &BTreeMap<String, String>,
) -> Result<Resolved, Vec<Fault>> {
    let mut faults = Faults::default();
    faults.extend(check_spec(track_name, spec));
    let limits = durations::limits(spec.limits.as_ref(), &mut faults);
    let mut stages = Stages::new(spec, endpoints, files, &mut faults);
    let resolved: Vec<_> = spec.stages.iter().enumerate().filter_map(|(index, stage)| stages.resolve(index, stage)).collect();
    stages.idle_judges();
    let debugger = stages.debugger();
    let used = stages.used_files();
    if faults.is_empty() {
        let revision = Revision {
            contract: CONTRACT,
            track: track_name.to_owned(),
            audience: spec.audience.clone(),
            stages: resolved,
            debugger,
            limits,
            worker_template: spec.worker_template.clone().unwrap_or_default(),
        };
        match Resolved::new(revision, used) {
            Ok(resolved) if resolved.bytes() <= MAX_BYTES => return Ok(resolved),
            Ok(resolved) => faults.add(
                "spec.promptsFrom",
                Reason::TooLarge,
                format!(
                    "prompts, schemas and spec together are {} KiB; a revision holds at most {} KiB: shorten the longest prompt, \
                     or split the track",
                    resolved.bytes().div_ceil(1024),
                    MAX_BYTES / 1024
                ),
            ),
            Err(error) => faults.add("spec", Reason::SpecInvalid, format!("cannot be written as JSON: {error}")),
        }
    }
    Err(faults.into_sorted())
}
