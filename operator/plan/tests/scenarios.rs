//! Stories of runs: `scenarios/NAME.txt` says what happens, `NAME.expected.txt` what the operator does about it. The language is in
//! `common/commands.rs`. With `UPDATE_EXPECTED=1` the expected texts are rewritten, and the test fails once so that they get read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]

#[path = "common/stories.rs"]
mod common;

use std::{fs, path::Path};

#[test]
fn every_story_ends_as_written_down() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".txt") && !name.ends_with(".expected.txt"))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "no stories in {}", folder.display());
    let wrong: Vec<_> = names.iter().filter_map(|name| check(&folder.join(name))).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Tells one story; what is wrong with it, if anything.
fn check(path: &Path) -> Option<String> {
    let told = common::commands::tell(&fs::read_to_string(path).unwrap()).told;
    let beside = path.with_extension("expected.txt");
    let expected = fs::read_to_string(&beside).unwrap_or_default();
    let name = path.file_stem().unwrap().to_string_lossy();
    let faults: Vec<_> = told.lines().filter(|line| line.trim_start().starts_with("FAULT")).collect();
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    if told != expected && update {
        fs::write(&beside, &told).unwrap();
    }
    if !faults.is_empty() {
        return Some(format!("{name}: {}", faults.join("\n")));
    }
    let (number, (is, should)) = (1..).zip(lines(&told).zip(lines(&expected))).find(|(_, (is, should))| is != should)?;
    let number: usize = number;
    let hint = if update { "rewritten, read it" } else { "UPDATE_EXPECTED=1 rewrites it" };
    Some(format!(
        "{name}, line {number} ({hint})\n  expected: {}\n  told:     {}",
        should.unwrap_or("(end)"),
        is.unwrap_or("(end)")
    ))
}

/// The lines of a text and, for ever after, its end.
fn lines(text: &str) -> impl Iterator<Item = Option<&str>> {
    let count = text.lines().count();
    text.lines().map(Some).chain(std::iter::repeat_n(None, 1 + 10_000usize.saturating_sub(count)))
}
