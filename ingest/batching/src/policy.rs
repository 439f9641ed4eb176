//! What seals a batch of one level.

use crate::Counts;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use std::fmt;
use trackway_crds::track::Priority;

/// What seals a batch of one level. An event counts toward the threshold of its own priority and of every lower one.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BatchingPolicy {
    /// So many High events seal the batch, as High; `None`: no number does.
    pub high: Option<u32>,
    /// So many High or Medium events seal it, as Medium.
    pub medium: Option<u32>,
    /// So many events seal it, as Low.
    pub low: Option<u32>,
    /// A batch is sealed this long after its first event.
    pub max_age_millis: u64,
    /// A batch never has more events.
    pub max_events: u32,
    /// The events of a batch never have more bytes together, as the stream keeps them; one event alone may.
    pub max_bytes: u64,
    /// Thresholds and age seal no sooner than this after the seal before; size does.
    pub min_gap_millis: u64,
}

impl BatchingPolicy {
    /// What holds for the batches of a tenant when nothing is said.
    pub const TENANT: Self = Self {
        high: Some(1),
        medium: Some(10),
        low: Some(50),
        max_age_millis: 3_600_000,
        max_events: 500,
        max_bytes: 8 * 1024 * 1024,
        min_gap_millis: 0,
    };
    /// What holds for the batches of a user when nothing is said.
    pub const USER: Self = Self { medium: Some(5), low: Some(20), max_events: 200, ..Self::TENANT };

    /// The highest priority whose threshold `counts` has reached, and that threshold.
    pub(crate) fn tripped(&self, counts: Counts) -> Option<(Priority, u32)> {
        self.thresholds(counts).into_iter().find_map(|(priority, threshold, count)| {
            threshold.filter(|threshold| count >= *threshold).map(|threshold| (priority, threshold))
        })
    }

    /// Each priority with its threshold and what counts toward it, High first.
    fn thresholds(&self, counts: Counts) -> [(Priority, Option<u32>, u32); 3] {
        let Counts { high, medium, .. } = counts;
        [
            (Priority::High, self.high, high),
            (Priority::Medium, self.medium, high.saturating_add(medium)),
            (Priority::Low, self.low, counts.all()),
        ]
    }

    /// `1h 30m`.
    pub(crate) fn max_age_text(&self) -> String {
        let millis = i64::try_from(self.max_age_millis).unwrap_or(i64::MAX);
        format!("{:#}", SignedDuration::from_millis(millis))
    }
}

/// What an open batch still lacks; see [`explain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// High events until it is sealed as High; `None`: no number of them does, 0: it waits only for the gap.
    pub high: Option<u32>,
    /// High or Medium events until it is sealed as Medium.
    pub medium: Option<u32>,
    /// Events of any priority until it is sealed as Low.
    pub low: Option<u32>,
    /// Events until it is full.
    pub events: u32,
}

/// How many events are missing until a batch with `counts` is sealed by number.
#[must_use]
pub fn explain(policy: &BatchingPolicy, counts: Counts) -> Missing {
    let [high, medium, low] =
        policy.thresholds(counts).map(|(_, threshold, count)| threshold.map(|threshold| threshold.saturating_sub(count)));
    Missing { high, medium, low, events: policy.max_events.saturating_sub(counts.all()) }
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways = [(self.high, "High"), (self.medium, "High or Medium"), (self.low, "of any priority")];
        let reached = ways.iter().any(|(missing, _)| *missing == Some(0));
        if reached {
            return formatter.write_str("nothing: it is sealed as soon as the gap after the last one is over");
        }
        for (missing, what) in ways {
            if let Some(missing) = missing {
                write!(formatter, "{missing} more {what}, or ")?;
            }
        }
        write!(formatter, "{} more until it is full", self.events)
    }
}
