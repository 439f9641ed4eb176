//! When the same notice is sent again, and how long that may wait.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// Bounds of repeating one notice.
#[derive(Clone, Debug)]
pub struct RepeatPolicy {
    /// All waits between repeats together are at most this long.
    pub max_total_wait: Duration,
    /// The first wait when the receiver names none; it doubles up to `longest_wait`, with up to as much again as jitter.
    pub first_wait: Duration,
    /// The longest wait of our own choosing. A longer Retry-After is honoured.
    pub longest_wait: Duration,
}

impl Default for RepeatPolicy {
    fn default() -> Self {
        Self {
            max_total_wait: Duration::from_secs(60),
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(10),
        }
    }
}

impl RepeatPolicy {
    /// How long to wait before the next repeat, or `None` when there is none: the budget or the deadline would be passed.
    /// `planned` is our own backoff; a receiver that asks for less is still not asked sooner.
    pub(crate) fn wait(
        &self,
        planned: Duration,
        retry_after: Option<Duration>,
        waited: Duration,
        left: Duration,
    ) -> Option<Duration> {
        let wait = retry_after.unwrap_or_default().max(planned);
        (waited.saturating_add(wait) <= self.max_total_wait && wait < left).then_some(wait)
    }
}

/// What is left until `deadline`.
pub(crate) fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Reads a Retry-After header: seconds, or an HTTP date seen from `now`.
pub(crate) fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let at = httpdate::parse_http_date(header).ok()?;
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 22 Nov 2026 10:00:00 GMT").unwrap();
        assert_eq!(retry_after(" 7 ", now), Some(7 * SECOND));
        assert_eq!(retry_after("Sun, 22 Nov 2026 10:00:30 GMT", now), Some(30 * SECOND));
        assert_eq!(retry_after("Sun, 22 Nov 2026 09:00:00 GMT", now), Some(Duration::ZERO));
        for bad in ["-1", "soon", "", "1e300"] {
            assert_eq!(retry_after(bad, now), None, "{bad}");
        }
    }

    #[test]
    fn waits_keep_to_their_budget_and_to_the_deadline() {
        let policy = RepeatPolicy::default();
        let hour = 3600 * SECOND;
        assert_eq!(policy.wait(SECOND, Some(20 * SECOND), 40 * SECOND, hour), Some(20 * SECOND));
        assert_eq!(policy.wait(SECOND, Some(20 * SECOND), 41 * SECOND, hour), None);
        assert_eq!(policy.wait(SECOND, Some(Duration::ZERO), Duration::ZERO, hour), Some(SECOND));
        assert_eq!(policy.wait(SECOND, None, Duration::ZERO, SECOND), None);
    }
}
