//! When batches are sealed.

use crate::node::Node;
use trackway_batching::BatchingPolicy;

/// Least and greatest `maxAge`: a batch's events are read from the stream when it is sealed, and the stream keeps them 9 days.
const AGE: std::ops::RangeInclusive<u64> = 1_000..=7 * 24 * HOUR;
/// Greatest `minGap`.
const GAP: std::ops::RangeInclusive<u64> = 0..=24 * HOUR;
/// Least and greatest `maxBytes`: a batch document may have 16 MiB, and each event is wrapped in it.
const BYTES: std::ops::RangeInclusive<u64> = 1024..=12 * 1024 * 1024;
const HOUR: u64 = 3_600_000;

/// Both levels; `None`: no batches of this level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Levels {
    pub(crate) tenant: Level,
    pub(crate) user: Level,
}

/// A policy that can be switched off and on again by a tenant's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Level {
    policy: BatchingPolicy,
    enabled: bool,
}

impl Level {
    /// The policy, unless the level is switched off.
    pub(crate) fn policy(self) -> Option<BatchingPolicy> {
        self.enabled.then_some(self.policy)
    }

    /// Field by field over `self`.
    fn with(mut self, levels: &Node<'_>, name: &str) -> Self {
        let Some(node) = levels.get(name) else { return self };
        let node = node.only(&["thresholds", "maxAge", "maxEvents", "maxBytes", "minGap", "enabled"]);
        let policy = &mut self.policy;
        if let Some(thresholds) = node.get("thresholds") {
            let thresholds = thresholds.only(&["high", "medium", "low"]);
            threshold(&thresholds, "high", &mut policy.high);
            threshold(&thresholds, "medium", &mut policy.medium);
            threshold(&thresholds, "low", &mut policy.low);
        }
        set(&mut policy.max_age_millis, node.get("maxAge").and_then(|node| node.millis(AGE, "from 1s to 168h")));
        set(&mut policy.max_events, node.get("maxEvents").and_then(|node| node.number(1..=10_000)));
        set(&mut policy.max_bytes, node.get("maxBytes").and_then(|node| node.bytes(BYTES)));
        set(&mut policy.min_gap_millis, node.get("minGap").and_then(|node| node.millis(GAP, "from 0s to 24h")));
        set(&mut self.enabled, node.get("enabled").and_then(|node| node.yes()));
        self
    }
}

impl Levels {
    /// What holds when nothing is said.
    pub(crate) const DEFAULT: Self = Self {
        tenant: Level { policy: BatchingPolicy::TENANT, enabled: true },
        user: Level { policy: BatchingPolicy::USER, enabled: true },
    };

    /// The field `batching` of `parent`, field by field over `self`.
    pub(crate) fn with(self, parent: &Node<'_>) -> Self {
        let Some(node) = parent.get("batching") else { return self };
        let node = node.only(&["tenant", "user"]);
        Self { tenant: self.tenant.with(&node, "tenant"), user: self.user.with(&node, "user") }
    }
}

/// 0 switches a threshold off.
fn threshold(thresholds: &Node<'_>, name: &str, into: &mut Option<u32>) {
    if let Some(count) = thresholds.get(name).and_then(|node| node.number(0..=1_000_000)) {
        *into = (count > 0).then_some(count);
    }
}

fn set<T>(into: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *into = value;
    }
}
