//! Events from files: JSON lines, JSON, folders of them.

use super::events::RawEvent;
use anyhow::{Context, bail};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Reads every event under `paths`: `.jsonl` and `.ndjson` files line by line, `.json` files as one event or a list of them.
///
/// # Errors
/// A file that cannot be read or is not JSON, with its line.
pub fn read_events(paths: &[PathBuf]) -> anyhow::Result<Vec<RawEvent>> {
    let mut events = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        if metadata.is_dir() { read_folder(path, &mut events)? } else { read_file(path, &mut events)? }
    }
    Ok(events)
}

fn read_folder(folder: &Path, events: &mut Vec<RawEvent>) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read folder {}", folder.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>().with_context(|| format!("cannot read folder {}", folder.display()))?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            read_folder(&path, events)?;
        } else if is_json(&path) || is_lines(&path) {
            read_file(&path, events)?;
        }
    }
    Ok(())
}

fn read_file(path: &Path, events: &mut Vec<RawEvent>) -> anyhow::Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(path, &text, events)
}

/// The events in `text`, which is what `path` holds.
pub(super) fn parse(path: &Path, text: &str, events: &mut Vec<RawEvent>) -> anyhow::Result<()> {
    if is_lines(path) {
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let value = serde_json::from_str(line).with_context(|| format!("{}:{}: not JSON", path.display(), index + 1))?;
            events.push(RawEvent { name: String::new(), value });
        }
        return Ok(());
    }
    if !is_json(path) {
        bail!("{}: events are in .json, .jsonl or .ndjson files, or in folders of them", path.display());
    }
    let value: Value = serde_json::from_str(text).with_context(|| format!("{}: not JSON", path.display()))?;
    let name = type_in_name(path);
    match value {
        Value::Array(values) => events.extend(values.into_iter().map(|value| RawEvent { name: String::new(), value })),
        value => events.push(RawEvent { name, value }),
    }
    Ok(())
}

/// `issues.opened` of `issues.opened.json`; of `issues/opened.payload.json`, as collections of payloads name them, `issues`.
fn type_in_name(path: &Path) -> String {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    if stem == "payload" || stem.ends_with(".payload") {
        let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        return folder.unwrap_or_default().to_owned();
    }
    let number_or_dash = |c: char| c.is_ascii_digit() || c == '-';
    stem.trim_start_matches(number_or_dash).to_owned()
}

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

fn is_lines(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "jsonl" || extension == "ndjson")
}
