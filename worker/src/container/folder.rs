//! The folder that is shared with the program.

use std::{
    fs::{self, File, Permissions},
    io::{ErrorKind, Read as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use super::fault;
use crate::{
    MAX_OUTPUT_BYTES,
    failure::{Failure, Step},
};

const MISSING: &str = "OutputMissing";
const INVALID: &str = "OutputInvalid";
/// The output's path as the program knows it; here the folder has another one.
const TOLD_OUTPUT: &str = "/trackway/output.json";
/// The program runs as another user.
const READABLE: u32 = 0o644;

/// Where `input.json` and `output.json` are.
#[derive(Clone, Copy)]
pub(super) struct Folder<'a>(pub(super) &'a Path);

impl Folder<'_> {
    fn input(&self) -> PathBuf {
        self.0.join("input.json")
    }

    fn output(&self) -> PathBuf {
        self.0.join("output.json")
    }

    /// Writes the input, whole or not at all.
    pub(super) fn write_input(&self, bytes: &[u8]) -> Step<()> {
        let half = self.0.join(".input.json");
        let written = fs::write(&half, bytes)
            .and_then(|()| fs::set_permissions(&half, Permissions::from_mode(READABLE)))
            .and_then(|()| fs::rename(&half, self.input()));
        written.map_err(|error| {
            let message =
                format!("{} cannot be written: {error}; the folder must be a volume this pod may write", self.input().display());
            Failure::infrastructure("InputNotWritten", message)
        })
    }

    /// The output: an object of at most 4 MiB.
    pub(super) fn read_output(&self) -> Step<Value> {
        let bytes = self.bytes()?;
        let output: Value = serde_json::from_slice(&bytes).map_err(|error| self.invalid(&format!("it is not JSON: {error}")))?;
        if output.is_object() { Ok(output) } else { Err(self.invalid("it is JSON, and not an object")) }
    }

    #[track_caller]
    pub(super) fn invalid(&self, what: &str) -> Failure {
        fault(INVALID, format!("{TOLD_OUTPUT}: {what}"))
    }

    /// The program could leave a link to a file that only this container may read, so links are not followed.
    fn bytes(&self) -> Step<Vec<u8>> {
        let path = self.output();
        let unreadable = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => {
                let message = format!("the program ended and left no {TOLD_OUTPUT}; it must write its output there");
                fault(MISSING, message)
            }
            _ => fault(MISSING, format!("{TOLD_OUTPUT} cannot be read: {error}; the program must leave it readable for others")),
        };
        let seen = fs::symlink_metadata(&path).map_err(unreadable)?;
        if !seen.is_file() {
            return Err(self.invalid("it is a link, a folder or a device; it must be a file"));
        }
        let file = File::open(&path).map_err(unreadable)?;
        let opened = file.metadata().map_err(unreadable)?;
        if (opened.dev(), opened.ino()) != (seen.dev(), seen.ino()) {
            return Err(self.invalid("it was replaced while it was read"));
        }
        let mut bytes = Vec::new();
        let most = u64::try_from(MAX_OUTPUT_BYTES).unwrap_or(u64::MAX);
        file.take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() > MAX_OUTPUT_BYTES {
            let what = format!("it has {} bytes; at most {MAX_OUTPUT_BYTES} (4 MiB) are kept", opened.len());
            return Err(self.invalid(&what));
        }
        Ok(bytes)
    }

    /// How long the program took, as far as the two files tell.
    pub(super) fn ran(&self) -> Duration {
        let modified = |path: PathBuf| fs::symlink_metadata(path).and_then(|seen| seen.modified()).ok();
        let (Some(began), Some(ended)) = (modified(self.input()), modified(self.output())) else { return Duration::ZERO };
        ended.duration_since(began).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(prepare: impl FnOnce(&Path)) -> (&'static str, String) {
        let folder = tempfile::tempdir().unwrap();
        prepare(&folder.path().join("output.json"));
        let failure = Folder(folder.path()).read_output().unwrap_err();
        (failure.reason, failure.message)
    }

    #[test]
    fn what_is_no_output_is_refused_with_its_path_and_what_is_wrong() {
        let text = |text: &'static str| move |path: &Path| fs::write(path, text).unwrap();
        for ((reason, message), expected, words) in [
            (outcome(|_| {}), MISSING, "left no "),
            (outcome(text("{\"a\": ")), INVALID, "it is not JSON: EOF while parsing"),
            (outcome(text("")), INVALID, "it is not JSON"),
            (outcome(text("[1]")), INVALID, "not an object"),
            (outcome(|path| fs::create_dir(path).unwrap()), INVALID, "it must be a file"),
            (outcome(|path| fs::write(path, vec![b' '; MAX_OUTPUT_BYTES + 1]).unwrap()), INVALID, "4194305 bytes"),
        ] {
            assert_eq!(reason, expected, "{message}");
            assert!(message.contains(words) && message.contains("/output.json"), "{message}");
        }
    }

    #[test]
    fn a_link_to_what_only_we_may_read_is_not_followed() {
        let secret = tempfile::NamedTempFile::new().unwrap();
        fs::write(secret.path(), "{\"key\": \"topsecret\"}").unwrap();
        let (reason, message) = outcome(|path| std::os::unix::fs::symlink(secret.path(), path).unwrap());
        assert_eq!(reason, INVALID);
        assert!(!message.contains("topsecret"), "{message}");
    }

    #[test]
    fn an_input_can_be_read_by_other_users() {
        let folder = tempfile::tempdir().unwrap();
        Folder(folder.path()).write_input(b"{}").unwrap();
        let mode = fs::metadata(folder.path().join("input.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, READABLE);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing half-written stays");
    }
}
