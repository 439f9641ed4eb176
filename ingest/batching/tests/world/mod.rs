//! One key, and everything that can happen to it.

mod checks;
mod history;
mod life;

pub use checks::check;
pub use history::History;
pub use life::{Told, live, live_undisturbed};

use jiff::Timestamp;
use trackway_batching::{Applied, Arrival, BatchingPolicy, KeyState, Ticked, apply, published, tick};

/// The machine under test: the real one, or one with a mistake.
#[derive(Clone, Copy)]
pub struct Rules {
    pub apply: fn(&mut KeyState, &BatchingPolicy, &Arrival) -> Applied,
    pub tick: fn(&mut KeyState, &BatchingPolicy, Timestamp) -> Ticked,
    pub published: fn(&mut KeyState, &str) -> bool,
}

impl Rules {
    pub const REAL: Self = Self { apply, tick, published };
}

/// Lives the history of `seed` with mishaps, and looks at what came of it; a calm one is lived once more without.
pub fn judge(seed: u64, rules: Rules) -> (History, Told, Vec<String>) {
    let history = History::draw(seed);
    let told = live(&history, rules, seed ^ 0x5eed);
    let mut broken = check(&history, &told);
    if history.is_calm() && broken.is_empty() && live_undisturbed(&history, rules).announced != told.announced {
        broken.push("without mishaps there would have been other batches".to_owned());
    }
    (history, told, broken)
}
