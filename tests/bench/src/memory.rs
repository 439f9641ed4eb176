//! Memory of processes of this machine; a cluster's run on it too.

use anyhow::Context;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// As the kernel shows it: cut after 15 bytes.
const PROGRAM: &str = "trackway-operat";

/// What a process holds, in MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) resident: f64,
    pub(crate) peak: f64,
}

/// Memory of the operator in the pod with this uid.
pub(crate) fn of_operator(pod_uid: &str) -> anyhow::Result<Memory> {
    let process = process_of(pod_uid).with_context(|| format!("no process of the operator's pod {pod_uid} on this machine"))?;
    of(&process)
}

/// Memory of the process with this id.
pub(crate) fn of_process(id: u32) -> anyhow::Result<Memory> {
    of(&Path::new("/proc").join(id.to_string()))
}

fn of(process: &Path) -> anyhow::Result<Memory> {
    let status = fs::read_to_string(process.join("status"))?;
    let value = |name: &str| {
        let line =
            status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("its status has no {name}"))?;
        let kibibytes: f64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?;
        anyhow::Ok(kibibytes / 1024.0)
    };
    Ok(Memory { resident: value("VmRSS")?, peak: value("VmHWM")? })
}

fn process_of(pod_uid: &str) -> Option<PathBuf> {
    let paths = fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.path());
    // A pod's control group carries its uid.
    paths.into_iter().find(|path| {
        let text = |file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
        text("comm").starts_with(PROGRAM) && text("cgroup").contains(pod_uid)
    })
}
