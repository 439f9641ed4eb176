//! When the same HTTP request is sent again, and how long that may wait.

use std::time::{Duration, Instant, SystemTime};

/// Bounds of repeating one HTTP request.
#[derive(Clone, Debug)]
pub struct RepeatPolicy {
    /// All waits between repeats together are at most this long.
    pub max_total_wait: Duration,
    /// No request starts, and no wait ends, after this moment; a request under way is cut off at it.
    pub deadline: Option<Instant>,
    /// The first wait when the server names none; it doubles up to `longest_wait`, with up to as much again as jitter.
    pub first_wait: Duration,
    /// The longest wait of our own choosing. A longer Retry-After is honoured.
    pub longest_wait: Duration,
}

impl Default for RepeatPolicy {
    fn default() -> Self {
        RepeatPolicy {
            max_total_wait: Duration::from_secs(60),
            deadline: None,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(10),
        }
    }
}

/// One repeat of an HTTP request: why, and how long was waited before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// The reason of the failure before it, for example `RateLimited`.
    pub reason: &'static str,
    /// The wait before the request was sent again, in milliseconds.
    pub waited_millis: u64,
}

impl RepeatPolicy {
    /// How long to wait before the next repeat, or `None` when there is none: the budget or the deadline would be passed.
    /// `planned` is our own backoff; a server that asks for less is still not asked sooner, or `Retry-After: 0` would
    /// repeat for ever.
    pub(crate) fn wait(
        &self,
        planned: Duration,
        retry_after: Option<Duration>,
        waited: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let wait = retry_after.unwrap_or_default().max(planned);
        let within_budget = waited.saturating_add(wait) <= self.max_total_wait;
        let before_deadline = self.deadline.is_none_or(|deadline| deadline.saturating_duration_since(now) > wait);
        (within_budget && before_deadline).then_some(wait)
    }

    /// The time one request may take from `now` on; `None` when the deadline has passed.
    pub(crate) fn request_timeout(&self, timeout: Duration, now: Instant) -> Option<Duration> {
        let left = self.deadline.map_or(timeout, |deadline| timeout.min(deadline.saturating_duration_since(now)));
        (!left.is_zero()).then_some(left)
    }
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

    fn policy(max_total_wait: Duration, deadline: Option<Instant>) -> RepeatPolicy {
        RepeatPolicy { max_total_wait, deadline, ..RepeatPolicy::default() }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 22 Nov 2026 10:00:00 GMT").unwrap();
        assert_eq!(retry_after("7", now), Some(7 * SECOND));
        assert_eq!(retry_after(" 0.5 ", now), Some(SECOND / 2));
        assert_eq!(retry_after("Sun, 22 Nov 2026 10:00:30 GMT", now), Some(30 * SECOND));
        assert_eq!(retry_after("Sun, 22 Nov 2026 09:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("-1", now), None);
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn waits_total_at_most_the_budget() {
        let now = Instant::now();
        let policy = policy(60 * SECOND, None);
        assert_eq!(policy.wait(SECOND, Some(20 * SECOND), 40 * SECOND, now), Some(20 * SECOND));
        assert_eq!(policy.wait(SECOND, Some(20 * SECOND), 41 * SECOND, now), None);
        assert_eq!(policy.wait(SECOND, Some(Duration::ZERO), Duration::ZERO, now), Some(SECOND));
    }

    #[test]
    fn neither_wait_nor_request_passes_the_deadline() {
        let now = Instant::now();
        let policy = policy(60 * SECOND, Some(now + 10 * SECOND));
        assert_eq!(policy.wait(9 * SECOND, None, Duration::ZERO, now), Some(9 * SECOND));
        assert_eq!(policy.wait(10 * SECOND, None, Duration::ZERO, now), None);
        assert_eq!(policy.request_timeout(90 * SECOND, now), Some(10 * SECOND));
        assert_eq!(policy.request_timeout(3 * SECOND, now), Some(3 * SECOND));
        assert_eq!(policy.request_timeout(3 * SECOND, now + 11 * SECOND), None);
    }
}
