//! A stage over a list: its targets before, its whole output after.

mod compose;
mod targets;

pub use compose::{compose, composed};
pub use targets::Target;
pub(crate) use targets::{list_info, targets};
