//! How a command ends.

use std::process::ExitCode;

/// What a command that could do its work found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well: exit code 0.
    Good,
    /// The thing looked at failed, for example a run: exit code 1.
    Bad,
}

impl Outcome {
    /// Good exactly when `good`.
    #[must_use]
    pub fn good_if(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }
}

/// Exit code of a command that could not do its work: wrong usage, or something out of reach.
pub const CANNOT: u8 = 2;

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Good => Self::SUCCESS,
            Outcome::Bad => Self::FAILURE,
        }
    }
}
