//! Files under paths.

use anyhow::Context;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Largest file that is read as text: no prompt or schema is larger, a revision holds 768 KiB in all.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The files named, and those in the folders named, each once, in order of their names. Hidden ones are left out of folders.
pub(super) fn files(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        if metadata.is_dir() { folder(path, &mut found)? } else { found.push(path.clone()) }
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|path| seen.insert(path.clone()));
    // As one would write them, also when the folder was given as `.`.
    Ok(found.into_iter().map(|path| path.strip_prefix(".").map(Path::to_owned).unwrap_or(path)).collect())
}

fn folder(path: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = fs::read_dir(path).with_context(|| format!("cannot read folder {}", path.display()))?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>().with_context(|| format!("cannot read folder {}", path.display()))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() { folder(&path, found)? } else { found.push(path) }
    }
    Ok(())
}

/// The text of a file; `None` when it is none, for example an image.
pub(super) fn text(path: &Path) -> anyhow::Result<Option<String>> {
    let size = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if size > MAX_FILE_BYTES {
        return Ok(None);
    }
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8(bytes).ok())
}
