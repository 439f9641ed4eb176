//! What is remembered of one tenant, or of one user: at most 1 KiB of JSON.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use trackway_crds::{
    contracts::CONTRACT,
    names,
    track::{Level, Priority},
};

/// Sealed batches that may wait for being announced before the key takes no more events.
pub const OUTBOX_MAX: usize = 4;

/// What is remembered of one key. As JSON at most 1 KiB, if neither tenant nor user has more than 128 bytes or characters that
/// JSON escapes.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct KeyState {
    /// Version of this value: 1.
    pub contract: u32,
    /// Whose events.
    pub tenant: String,
    /// Of which user; absent: of all of the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Sequence of the last event that was taken. Up to it nothing is ever taken again.
    pub applied: u64,
    /// The batch that still grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<OpenBatch>,
    /// Sealed and not yet announced, oldest first; at most [`OUTBOX_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbox: Vec<SealedBatch>,
    /// When the last batch was sealed, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_at: Option<i64>,
}

/// A batch that still grows.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct OpenBatch {
    /// Sequence of its first event.
    pub first: u64,
    /// Sequence of its last event so far.
    pub last: u64,
    /// When its first event came, in milliseconds since 1970.
    pub opened_at: i64,
    /// When its last event came. Never before an earlier one: a stream's clock that was set back is held.
    pub last_at: i64,
    /// Its events by priority.
    pub counts: Counts,
    /// Bytes of its events, as the stream keeps them.
    pub bytes: u64,
}

/// Events by priority.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// High ones.
    pub high: u32,
    /// Medium ones.
    pub medium: u32,
    /// Low ones.
    pub low: u32,
}

/// A sealed batch on its way out. Written as a list of its fields, because four of them and two names must fit 1 KiB.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(from = "Listed", into = "Listed")]
pub struct SealedBatch {
    /// Sequence of its first event.
    pub first: u64,
    /// Sequence of its last event.
    pub last: u64,
    /// How many events of the key lie between them, both included.
    pub events: u32,
    /// When it was sealed, in milliseconds since 1970.
    pub sealed_at: i64,
    /// The highest priority whose threshold was reached, else the highest among its events.
    pub priority: Priority,
    /// `threshold High 2`, `age 1h`, `size 500` or `size 8388608 bytes`.
    pub reason: String,
}

type Listed = (u64, u64, u32, i64, Priority, String);

impl From<Listed> for SealedBatch {
    fn from((first, last, events, sealed_at, priority, reason): Listed) -> Self {
        Self { first, last, events, sealed_at, priority, reason }
    }
}

impl From<SealedBatch> for Listed {
    fn from(batch: SealedBatch) -> Self {
        (batch.first, batch.last, batch.events, batch.sealed_at, batch.priority, batch.reason)
    }
}

impl KeyState {
    /// Nothing taken yet. With a `user`: only that user's events.
    #[must_use]
    pub fn new(tenant: &str, user: Option<&str>) -> Self {
        Self {
            contract: CONTRACT,
            tenant: tenant.to_owned(),
            user: user.map(str::to_owned),
            applied: 0,
            open: None,
            outbox: Vec::new(),
            sealed_at: None,
        }
    }

    /// Whether this gathers a tenant's events or a user's.
    #[must_use]
    pub fn level(&self) -> Level {
        if self.user.is_some() { Level::User } else { Level::Tenant }
    }

    /// The tenant's or the user's id.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.user.as_deref().unwrap_or(&self.tenant)
    }

    /// The id of this key's batch that begins with the event of sequence `first`.
    #[must_use]
    pub fn batch_id(&self, first: u64) -> String {
        names::batch_id(self.level().as_str(), &self.tenant, self.subject(), first)
    }

    /// No later event comes before this, in milliseconds since 1970.
    pub(crate) fn clock(&self) -> i64 {
        let open = self.open.map_or(i64::MIN, |open| open.last_at);
        open.max(self.sealed_at.unwrap_or(i64::MIN))
    }
}

impl OpenBatch {
    /// When its first event came.
    #[must_use]
    pub fn opened_at(&self) -> Timestamp {
        timestamp(self.opened_at)
    }
}

impl SealedBatch {
    /// When it was sealed.
    #[must_use]
    pub fn sealed_at(&self) -> Timestamp {
        timestamp(self.sealed_at)
    }
}

impl Counts {
    /// Events in all.
    #[must_use]
    pub fn all(self) -> u32 {
        self.high.saturating_add(self.medium).saturating_add(self.low)
    }

    /// The highest priority there is any of.
    #[must_use]
    pub fn highest(self) -> Priority {
        match self {
            Self { high: 1.., .. } => Priority::High,
            Self { medium: 1.., .. } => Priority::Medium,
            Self { .. } => Priority::Low,
        }
    }

    pub(crate) fn with(mut self, priority: Priority) -> Self {
        let count = match priority {
            Priority::High => &mut self.high,
            Priority::Medium => &mut self.medium,
            Priority::Low => &mut self.low,
        };
        *count = count.saturating_add(1);
        self
    }
}

/// Out of range is the nearest there is.
pub(crate) fn timestamp(millis: i64) -> Timestamp {
    let nearest = if millis < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_millisecond(millis).unwrap_or(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number as long as it can be.
    fn largest(tenant: &str, user: &str) -> KeyState {
        let sealed = SealedBatch {
            first: u64::MAX,
            last: u64::MAX,
            events: u32::MAX,
            sealed_at: 9_999_999_999_999,
            priority: Priority::Medium,
            reason: format!("threshold Medium {}", u32::MAX),
        };
        let counts = Counts { high: u32::MAX, medium: u32::MAX, low: u32::MAX };
        let at = 9_999_999_999_999;
        KeyState {
            applied: u64::MAX,
            open: Some(OpenBatch { first: u64::MAX, last: u64::MAX, opened_at: at, last_at: at, counts, bytes: u64::MAX }),
            outbox: vec![sealed; OUTBOX_MAX],
            sealed_at: Some(at),
            ..KeyState::new(tenant, Some(user))
        }
    }

    #[test]
    fn inv09_the_state_of_a_key_fits_a_kibibyte_and_reads_as_it_was_written() {
        for (tenant, user) in [("t".repeat(128), "u".repeat(128)), ("é".repeat(64), "🦀".repeat(32))] {
            let state = largest(&tenant, &user);
            let text = serde_json::to_string(&state).unwrap();
            println!("{} bytes: {text}", text.len());
            assert!(text.len() <= 1024, "{} bytes: {text}", text.len());
            assert_eq!(serde_json::from_str::<KeyState>(&text).unwrap(), state);
        }
    }

    #[test]
    fn a_tenant_and_a_user_of_the_same_name_have_different_batches() {
        let (tenant, user) = (KeyState::new("octo", None), KeyState::new("octo", Some("octo")));
        assert_eq!((tenant.subject(), user.subject()), ("octo", "octo"));
        assert_ne!(tenant.batch_id(7), user.batch_id(7));
    }
}
