//! Trying again until a deadline.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::{Instant, sleep, timeout_at};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// An error that knows whether trying again can help.
pub trait Retryable: Display {
    /// True when the same call may work later.
    fn is_transient(&self) -> bool;

    /// The error for an operation that gave no answer at all within `given`.
    fn out_of_time(what: &str, given: Duration) -> Self;
}

/// Runs `operation` until it succeeds, fails for good, or `deadline` has come (`None`: for ever). Waits 100 ms at first and
/// never more than about 5 s between tries, with jitter, so that many callers do not return in step. `what` names the
/// operation in logs. The operation must be safe to repeat.
///
/// # Errors
/// The first permanent error, or at the deadline the last transient one.
pub async fn with_retry<T, E, F, Fut>(deadline: Option<Instant>, what: &str, mut operation: F) -> Result<T, E>
where
    E: Retryable,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let started = Instant::now();
    let mut waits = ExponentialBuilder::default()
        .with_min_delay(FIRST_WAIT)
        .with_max_delay(LONGEST_WAIT)
        .without_max_times()
        .with_jitter()
        .build();
    let mut last: Option<E> = None;
    loop {
        let error = match attempt(deadline, operation()).await {
            Some(Ok(value)) => return Ok(value),
            Some(Err(error)) if !error.is_transient() => return Err(error),
            Some(Err(error)) => error,
            None => return Err(last.unwrap_or_else(|| E::out_of_time(what, started.elapsed()))),
        };
        let wait = waits.next().unwrap_or(LONGEST_WAIT);
        if deadline.is_some_and(|end| Instant::now() + wait >= end) {
            return Err(error);
        }
        tracing::warn!(what, error = %error, wait_ms = wait.as_millis(), "trying again");
        sleep(wait).await;
        last = Some(error);
    }
}

/// `None`: the deadline came first.
async fn attempt<T>(deadline: Option<Instant>, operation: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(end) => timeout_at(end, operation).await.ok(),
        None => Some(operation.await),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NatsError;
    use std::cell::Cell;

    #[tokio::test(start_paused = true)]
    async fn a_transient_error_is_tried_again_until_it_passes() {
        let tries = Cell::new(0);
        let outcome = with_retry(None, "test", || async {
            tries.set(tries.get() + 1);
            if tries.get() < 20 { Err(NatsError::transient("test", "away")) } else { Ok(tries.get()) }
        });
        assert_eq!(outcome.await, Ok(20));
    }

    #[tokio::test(start_paused = true)]
    async fn a_permanent_error_is_not_tried_again() {
        let tries = Cell::new(0);
        let outcome: Result<(), _> = with_retry(None, "test", || async {
            tries.set(tries.get() + 1);
            Err(NatsError::permanent("test", "no"))
        })
        .await;
        assert_eq!((outcome, tries.get()), (Err(NatsError::permanent("test", "no")), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_an_operation_that_never_answers() {
        let deadline = Instant::now() + Duration::from_secs(30);
        let outcome: Result<(), NatsError> = with_retry(Some(deadline), "put", std::future::pending).await;
        assert_eq!(outcome, Err(NatsError::transient("put", "no answer within 30s")));
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_returns_the_last_error_and_is_not_overrun() {
        let started = Instant::now();
        let deadline = started + Duration::from_secs(30);
        let outcome: Result<(), _> =
            with_retry(Some(deadline), "put", || async { Err(NatsError::transient("put", "away")) }).await;
        assert_eq!(outcome, Err(NatsError::transient("put", "away")));
        assert!(started.elapsed() <= Duration::from_secs(30));
    }
}
