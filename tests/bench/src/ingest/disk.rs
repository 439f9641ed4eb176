//! What the disk itself takes, below everything else.

use std::{fs::File, io::Write as _, path::Path, time::Instant};

const WRITES: usize = 300;

/// Appends so many bytes and syncs them, one time after the other; milliseconds of each.
pub(crate) fn syncs(folder: &Path, bytes: usize) -> anyhow::Result<Vec<f64>> {
    let (path, piece) = (folder.join("probe"), vec![b'x'; bytes]);
    let mut file = File::create(&path)?;
    let mut millis = Vec::with_capacity(WRITES);
    for _ in 0..WRITES {
        let started = Instant::now();
        file.write_all(&piece)?;
        file.sync_all()?;
        millis.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    std::fs::remove_file(path)?;
    Ok(millis)
}
