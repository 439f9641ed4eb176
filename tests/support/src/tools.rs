//! Where the servers' programs are.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The folder to take programs from instead of building them.
pub const BIN_DIR_VARIABLE: &str = "TRACKWAY_BIN_DIR";

/// The path of the program `name`: from the folder in `TRACKWAY_BIN_DIR` when that is set, else from
/// `tests/cluster/tools/bin NAME`, which builds it once into the user's cache.
///
/// # Errors
/// When it is neither there nor can be built; the text says what to do.
pub fn tool(name: &str) -> Result<PathBuf> {
    match std::env::var_os(BIN_DIR_VARIABLE) {
        Some(dir) => from_dir(Path::new(&dir), name),
        None => from_script(name),
    }
}

fn from_dir(dir: &Path, name: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    if !path.is_file() {
        bail!(
            "{} does not exist: put {name} into the folder {BIN_DIR_VARIABLE} names, or unset {BIN_DIR_VARIABLE} to have it built",
            path.display()
        );
    }
    Ok(path)
}

fn from_script(name: &str) -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster/tools/bin");
    let output = Command::new(&script)
        .arg(name)
        .output()
        .with_context(|| format!("cannot run {}: restore the file, or set {BIN_DIR_VARIABLE}", script.display()))?;
    if !output.status.success() {
        bail!(
            "`tests/cluster/tools/bin {name}` failed; run it by hand, or set {BIN_DIR_VARIABLE} to a folder with {name} in it:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}
