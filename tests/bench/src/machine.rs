//! What this machine is and how busy it was.

use jiff::Timestamp;
use std::fs;

/// Looked at before anything was measured.
pub(crate) struct Machine {
    load_before: String,
}

impl Machine {
    /// How busy it is now.
    pub(crate) fn look() -> anyhow::Result<Self> {
        Ok(Self { load_before: load_average()? })
    }

    /// When, what it is, and how busy it was before and is now.
    pub(crate) fn look_again(&self) -> anyhow::Result<String> {
        let (cores, before, after) = (std::thread::available_parallelism()?, &self.load_before, load_average()?);
        let memory = fs::read_to_string("/proc/meminfo")?;
        let kibibytes =
            memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        let (today, gibibytes) = (Timestamp::now().strftime("%Y-%m-%d %H:%M UTC"), kibibytes.unwrap_or_default() / 1024 / 1024);
        Ok(format!("{today}; {cores} cores, {gibibytes} GiB, load average {before} before and {after} after"))
    }
}

/// Of the last minute.
fn load_average() -> anyhow::Result<String> {
    let averages = fs::read_to_string("/proc/loadavg")?;
    Ok(averages.split(' ').next().unwrap_or_default().to_owned())
}
