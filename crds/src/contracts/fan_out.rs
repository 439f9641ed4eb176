//! What a fan-out leaves for the stages after it, and what becomes of its notices.

use super::ErrorClass;
use crate::Score;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The output of a fan-out stage: every target, failures included, in the order of the list. It is put together by whoever needs
/// it first and kept as the output of (stage, attempt 0, index 0).
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FanOutOutput {
    /// The targets.
    pub items: Vec<FanOutItem>,
    /// How many came to what.
    pub counts: FanOutCounts,
}

/// One target.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct FanOutItem {
    /// Its key.
    pub key: String,
    /// What came of it.
    pub phase: FanOutPhase,
    /// What was accepted; `null` when it failed.
    pub output: serde_json::Value,
    /// The score it was accepted with (in full), or its best one (in hundredths); `null` without a judge.
    pub score: Option<Score>,
    /// Why it failed; `null` when it succeeded.
    pub error: Option<FanOutError>,
}

/// What came of a target.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum FanOutPhase {
    /// Accepted.
    Succeeded,
    /// Failed for good.
    Failed,
}

/// Why a target failed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FanOutError {
    /// Whose failure it was.
    pub class: ErrorClass,
    /// One CamelCase word.
    pub reason: String,
    /// What happened, for people.
    pub message: String,
}

/// How many targets came to what.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FanOutCounts {
    /// All.
    pub total: u32,
    /// Accepted.
    pub succeeded: u32,
    /// Failed for good.
    pub failed: u32,
}

/// What became of one notice on one channel, written once under (broadcast stage, attempt 1, ordinal of the channel × 1000 +
/// index of the target): whoever comes second does not send again.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    /// Name of the channel.
    pub channel: String,
    /// Key of the item.
    pub key: String,
    /// The idempotency key, sent as `webhook-id` and as the CloudEvent's id.
    pub id: String,
    /// What became of it.
    pub phase: DeliveryPhase,
    /// The receiver's HTTP status, if it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Why it was not delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When that was certain.
    pub at: Timestamp,
}

/// What became of a notice.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryPhase {
    /// The receiver answered 2xx.
    Delivered,
    /// The receiver does not want it: a 4xx that trying again does not change.
    Refused,
    /// Not approved.
    Withheld,
    /// `dryRun`.
    DryRun,
}

/// The output of a broadcast stage.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct BroadcastOutput {
    /// Every item on every channel.
    pub deliveries: Vec<Delivery>,
    /// How many came to what.
    pub counts: BroadcastCounts,
}

/// How many notices came to what.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct BroadcastCounts {
    /// Answered 2xx.
    pub delivered: u32,
    /// Refused by their receiver.
    pub refused: u32,
    /// Not approved.
    pub withheld: u32,
    /// Not sent, because of `dryRun`.
    pub dry_run: u32,
}
