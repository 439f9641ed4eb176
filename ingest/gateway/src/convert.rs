//! Errors of other parts as problems.

use crate::problem::{Kind, Problem};
use std::time::Duration;
use trackway_nats::{NatsError, Retryable as _};
use trackway_sources::MapError;

/// When an event could not be kept, its sender is asked to come again after this time.
const AWAY: Duration = Duration::from_secs(5);

/// What cannot become an event.
pub fn of_mapping(error: &MapError) -> Problem {
    match error {
        MapError::NotJson(_) | MapError::TooDeep => Problem::new(Kind::Malformed, error.to_string()),
        MapError::TooLarge { .. } => Problem::new(Kind::TooLarge, error.to_string()),
        MapError::Field { field, reason } => Problem::new(Kind::Invalid, reason.clone()).about(field.clone()),
    }
}

/// What NATS could not do. The words are for our log: they name servers and users.
pub fn of_nats(error: &NatsError) -> Problem {
    if error.is_transient() {
        return away(&error.to_string());
    }
    tracing::error!(%error, "not kept, and will not be until somebody changes something");
    unavailable()
}

/// What cannot be kept for now, and why; that is for our log.
pub fn away(why: &str) -> Problem {
    tracing::warn!(why, "not kept; its sender is asked to come again");
    unavailable()
}

fn unavailable() -> Problem {
    Problem::new(Kind::Unavailable, "it cannot be kept at the moment; send it again later").after(AWAY)
}
