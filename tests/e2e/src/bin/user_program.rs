//! A user's program for a `container` stage: reads `/trackway/input.json`, leaves `/trackway/output.json`, and tells what it can see
//! of its surroundings.
//!
//! ```text
//! user-program count     counts the batch's events
//! user-program prose     leaves something that is no JSON
//! user-program nothing   leaves nothing
//! user-program fail      ends with code 3
//! ```

use serde_json::{Value, json};
use std::{fs, path::Path, process::ExitCode};

const INPUT: &str = "/trackway/input.json";
const OUTPUT: &str = "/trackway/output.json";

fn main() -> std::io::Result<ExitCode> {
    match std::env::args().nth(1).as_deref() {
        Some("count") => fs::write(OUTPUT, counted(&fs::read_to_string(INPUT)?).to_string())?,
        Some("prose") => fs::write(OUTPUT, "Five events, I would say.")?,
        Some("nothing") => {}
        _ => return Ok(ExitCode::from(3)),
    }
    Ok(ExitCode::SUCCESS)
}

fn counted(input: &str) -> Value {
    let input: Value = serde_json::from_str(input).unwrap_or_default();
    let events = input["events"].as_array().map_or(0, Vec::len);
    let variables: Vec<String> = std::env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mounts: Vec<&str> = mounts.lines().filter_map(|line| line.split(' ').nth(4)).collect();
    let user = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let user = user.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next().map(str::to_owned));
    json!({
        "text": format!("The batch holds {events} events."),
        "events": events,
        "names": input.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>()),
        "feedback": input["feedback"],
        "variables": variables,
        "mounts": mounts,
        "token": Path::new("/var/run/secrets/kubernetes.io/serviceaccount/token").exists(),
        "files": listed(Path::new("/trackway")),
        "user": user,
        "writesRoot": fs::write("/written", "x").is_ok(),
    })
}

fn listed(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
