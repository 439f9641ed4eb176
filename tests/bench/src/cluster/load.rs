//! What runs while figures are measured.

use super::place::{Batch, Place};
use futures::{StreamExt, TryStreamExt, stream};
use trackway_crds::{BatchRun, track::Level};

/// Batches, a few at a time.
pub(crate) struct Load {
    pub(crate) name: &'static str,
    /// Begins the ids of its batches.
    letter: char,
    level: Level,
    /// Label by which batches choose their tracks.
    bench: &'static str,
    /// Batches on their way at the same time.
    at_once: usize,
    /// How many batches it sends where others send one, because a batch brings it fewer samples.
    times: u32,
}

/// From a run alone to two batches at once, each with a run in each of the three tracks.
pub(crate) const LOADS: [Load; 3] = [
    Load { name: "1 run at a time", letter: 's', level: Level::User, bench: "plain", at_once: 1, times: 2 },
    Load { name: "3 runs at a time", letter: 't', level: Level::Tenant, bench: "plain", at_once: 1, times: 1 },
    Load { name: "6 runs at a time", letter: 'u', level: Level::Tenant, bench: "plain", at_once: 2, times: 1 },
];
/// 40 targets that all pass.
pub(crate) const FAN: Load = Load { name: "all pass", letter: 'f', level: Level::Tenant, bench: "fan", at_once: 1, times: 1 };
/// 40 targets of which three in ten need a second attempt.
pub(crate) const REFAN: Load =
    Load { name: "30 % retried", letter: 'r', level: Level::Tenant, bench: "refan", at_once: 1, times: 1 };
/// Three stages of five seconds, one run after the other.
pub(crate) const ALONE: Load = Load { name: "alone", letter: 'a', level: Level::Tenant, bench: "slow", at_once: 1, times: 1 };
/// The same, ten at once.
pub(crate) const TEN: Load =
    Load { name: "ten at once", letter: 'z', level: Level::Tenant, bench: "slow", at_once: 10, times: 1 };

impl Load {
    /// Sends `batches` batches, or a multiple, and returns their runs once all have ended. `mark` makes the batches' ids new.
    pub(crate) async fn run(&self, place: &Place, batches: u32, mark: &str) -> anyhow::Result<Vec<BatchRun>> {
        let ids = (0..batches * self.times).map(|number| format!("{}{mark}{number:03}", self.letter));
        let batch = |id| Batch { id, level: self.level, bench: self.bench };
        let runs = stream::iter(ids).map(|id| async move { place.run_batch(&batch(id)).await });
        let runs: Vec<Vec<BatchRun>> = runs.buffer_unordered(self.at_once).try_collect().await?;
        Ok(runs.into_iter().flatten().collect())
    }
}
