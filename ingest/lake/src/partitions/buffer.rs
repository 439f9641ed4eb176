//! What was read and not yet written, and when that must change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use trackway_nats::StreamEvent;

/// When a partition's events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushPolicy {
    /// As soon as there are so many.
    pub rows: usize,
    /// As soon as they have so many bytes, as stored in the stream.
    pub bytes: u64,
    /// As soon as the first of them was read so long ago.
    pub age: Duration,
}

/// Why a range was written.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Reason {
    /// Enough rows.
    Rows,
    /// Enough bytes.
    Bytes,
    /// Old enough.
    Age,
    /// All partitions together hold as much as the process may.
    Memory,
    /// Another process, or this one before a restart, had begun to write it.
    Resumed,
}

impl Reason {
    /// As metrics and logs say it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Bytes => "bytes",
            Self::Age => "age",
            Self::Memory => "memory",
            Self::Resumed => "resumed",
        }
    }
}

/// Bytes that all partitions of a process hold together. Clones share it.
#[derive(Clone, Debug)]
pub struct Budget {
    used: Arc<AtomicU64>,
    limit: u64,
    /// Below this a partition keeps collecting even when the budget is used up: else a busy one would write a file an event while
    /// quiet ones hold the bytes.
    least: u64,
}

impl Budget {
    /// `limit` bytes over `partitions` partitions; at most about twice that is ever held.
    #[must_use]
    pub fn new(limit: u64, partitions: u8) -> Self {
        Self { used: Arc::default(), limit, least: limit / u64::from(partitions.max(1)) }
    }

    fn exceeded_by(&self, own: u64) -> bool {
        own >= self.least && self.used.load(Ordering::Relaxed) >= self.limit
    }
}

/// Messages in the order of the stream.
#[derive(Debug)]
pub(crate) struct Buffer {
    policy: FlushPolicy,
    budget: Budget,
    messages: Vec<StreamEvent>,
    bytes: u64,
    since: Option<Instant>,
}

impl Buffer {
    pub(crate) fn new(policy: FlushPolicy, budget: Budget) -> Self {
        Self { policy, budget, messages: Vec::new(), bytes: 0, since: None }
    }

    /// Takes `message` and says whether it is time to write.
    pub(crate) fn push(&mut self, message: StreamEvent, now: Instant) -> Option<Reason> {
        let bytes = message.payload.len() as u64;
        self.bytes += bytes;
        self.budget.used.fetch_add(bytes, Ordering::Relaxed);
        self.since.get_or_insert(now);
        self.messages.push(message);
        if self.messages.len() >= self.policy.rows {
            Some(Reason::Rows)
        } else if self.bytes >= self.policy.bytes {
            Some(Reason::Bytes)
        } else {
            self.budget.exceeded_by(self.bytes).then_some(Reason::Memory)
        }
    }

    /// When it must be written however little it is; `None` while it is empty.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + self.policy.age)
    }

    /// Everything, in order. It counts in the budget until what is taken is dropped.
    pub(crate) fn take(&mut self) -> Taken {
        self.since = None;
        let (messages, bytes) = (std::mem::take(&mut self.messages), std::mem::take(&mut self.bytes));
        Taken { messages: Arc::new(messages), bytes, budget: self.budget.clone() }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// What is being written.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) messages: Arc<Vec<StreamEvent>>,
    bytes: u64,
    budget: Budget,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    fn message(sequence: u64, bytes: usize) -> StreamEvent {
        let payload = vec![0; bytes].into();
        StreamEvent { sequence, subject: String::new(), payload, stored_at: Timestamp::UNIX_EPOCH }
    }

    const POLICY: FlushPolicy = FlushPolicy { rows: 3, bytes: 100, age: Duration::from_secs(60) };

    #[test]
    fn it_is_written_by_rows_bytes_or_age_whichever_comes_first() {
        let now = Instant::now();
        let mut buffer = Buffer::new(POLICY, Budget::new(10_000, 64));
        assert_eq!(buffer.due(), None);
        assert_eq!(buffer.push(message(1, 10), now), None);
        assert_eq!(buffer.push(message(2, 10), now + Duration::from_secs(1)), None);
        assert_eq!(buffer.due(), Some(now + POLICY.age), "the first message's age counts");
        assert_eq!(buffer.push(message(3, 10), now), Some(Reason::Rows));
        assert_eq!(buffer.take().messages.len(), 3);
        assert_eq!(buffer.due(), None);
        assert_eq!(buffer.push(message(4, 100), now), Some(Reason::Bytes));
    }

    #[test]
    fn partitions_together_stay_within_the_budget_and_quiet_ones_do_not_make_busy_ones_write_every_event() {
        let policy = FlushPolicy { rows: 1_000_000, bytes: 1_000_000, ..POLICY };
        let now = Instant::now();
        let budget = Budget::new(1_000, 10);
        let mut quiet = Buffer::new(policy, budget.clone());
        assert_eq!(quiet.push(message(1, 999), now), None);
        let mut busy = Buffer::new(policy, budget.clone());
        assert_eq!(busy.push(message(2, 60), now), None, "60 bytes are below its share of 100");
        assert_eq!(busy.push(message(3, 60), now), Some(Reason::Memory));
        drop(quiet);
        let taken = busy.take();
        assert_eq!(budget.used.load(Ordering::Relaxed), 120, "what is being written is still held");
        drop(taken);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
        assert_eq!(busy.push(message(4, 500), now), None);
    }
}
