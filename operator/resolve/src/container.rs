//! A stage that runs a program of the user's.

use crate::{
    fault::{Faults, Reason},
    pods,
};
use trackway_crds::{contracts::ResolvedWork, track::ContainerWork};

/// Everything but its output.
pub(crate) fn resolve(work: &ContainerWork, path: &str, faults: &mut Faults) -> ResolvedWork {
    let path = format!("{path}.container");
    if work.image.trim().is_empty() || work.image.contains(char::is_whitespace) {
        let message = format!("{:?} is no image: write for example registry.example/pii-scan:1.4", work.image);
        faults.add(format!("{path}.image"), Reason::SpecInvalid, message);
    }
    for name in work.env.keys() {
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_graphic() && c != '=') {
            let message = format!("{name:?} is no name of an environment variable: use letters, digits and _");
            faults.add(format!("{path}.env"), Reason::SpecInvalid, message);
        }
    }
    if let Some(given) = &work.resources {
        pods::resources(&format!("{path}.resources"), given, faults);
    }
    ResolvedWork::Container {
        image: work.image.clone(),
        command: work.command.clone(),
        args: work.args.clone(),
        env: work.env.clone(),
        resources: work.resources.clone(),
        output_schema: work.output_schema.clone(),
    }
}
