//! The corpus in `tests/lint`: each folder is a Track with its prompts, and `expected.txt` what lint says of it, line by line.
//! To write the expectations anew: `TRACKWAY_BLESS=1 cargo test -p trackway-cli --test lint`, then read the difference.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

struct Said {
    text: String,
    code: Option<i32>,
}

fn lint(folder: &Path) -> Said {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut files: Vec<_> = entries.filter(|name| name != "expected.txt").collect();
    files.sort();
    let output =
        Command::new(env!("CARGO_BIN_EXE_trackway")).arg("lint").arg("-f").args(files).current_dir(folder).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    Said { text, code: output.status.code() }
}

fn corpus() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint");
    let mut folders: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders
}

#[test]
fn every_fault_of_the_corpus_is_named_with_its_file_and_line() {
    let (mut faults, mut differences) = (0, Vec::new());
    for folder in corpus() {
        let said = lint(&folder);
        let found = said
            .text
            .lines()
            .filter(|line| line.contains(": ") && !line.contains("warning: ") && !line.starts_with("ok: "))
            .count();
        faults += found;
        assert_eq!(said.code, Some(i32::from(found > 0)), "{}: exit code\n{}", folder.display(), said.text);
        let expected = folder.join("expected.txt");
        if std::env::var_os("TRACKWAY_BLESS").is_some() {
            fs::write(&expected, &said.text).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != said.text {
            differences.push(format!("{}\n{}", folder.display(), said.text));
        }
    }
    assert!(differences.is_empty(), "not as expected:\n\n{}", differences.join("\n"));
    assert!(faults >= 15, "the corpus has only {faults} faults");
}

#[test]
fn the_examples_have_no_fault() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/tracks");
    let said = lint(&examples);
    assert_eq!(said.code, Some(0), "{}", said.text);
    assert!(said.text.contains("ok: 3 tracks, "), "{}", said.text);
}

#[test]
fn nothing_to_check_is_no_success() {
    let empty = tempfile::tempdir().unwrap();
    fs::write(empty.path().join("readme.md"), "nothing").unwrap();
    let said = lint(empty.path());
    assert_eq!(said.code, Some(2));
    assert!(said.text.contains("nothing to check"), "{}", said.text);
}
