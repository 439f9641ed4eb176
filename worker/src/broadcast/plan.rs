//! What is to be sent where.

use jiff::Timestamp;
use serde_json::{Value, json};
use trackway_crds::contracts::{FanOutItem, FanOutOutput, FanOutPhase, ResolvedChannel, ResolvedStage, ResolvedWork};

use super::approvals::Approvals;
use crate::{
    failure::{Failure, Step},
    load::Loaded,
};

/// What the Track orders.
pub(super) struct Ordered<'a> {
    pub(super) items: &'a str,
    pub(super) approved_by: Option<&'a str>,
    pub(super) channels: &'a [ResolvedChannel],
    pub(super) dry_run: bool,
}

impl<'a> Ordered<'a> {
    pub(super) fn of(stage: &'a ResolvedStage) -> Step<Self> {
        match &stage.work {
            ResolvedWork::Broadcast { items, approved_by, channels, dry_run } => {
                Ok(Self { items, approved_by: approved_by.as_deref(), channels, dry_run: *dry_run })
            }
            _ => Err(Failure::permanent("StageUnknown", format!("stage {} sends nothing", stage.name))),
        }
    }
}

/// One item that has something to tell.
pub(super) struct Planned {
    /// Its index in the fan-out.
    pub(super) index: usize,
    pub(super) item: FanOutItem,
    /// Why it is not sent; `None`: it is.
    pub(super) withheld: Option<String>,
}

/// The succeeded items of the fan-out. Failed ones have nothing to tell.
pub(super) struct Plan<'a> {
    ordered: &'a Ordered<'a>,
    pub(super) items: Vec<Planned>,
}

impl<'a> Plan<'a> {
    pub(super) fn make(ordered: &'a Ordered<'a>, loaded: &Loaded) -> Step<Self> {
        let output = |stage: &str| {
            let message = format!("the output of stage {stage} is not among those this stage was given; replay the run");
            loaded.stages.get(stage).ok_or_else(|| Failure::permanent("PayloadInvalid", message))
        };
        let fan_out: FanOutOutput = serde_json::from_value(output(ordered.items)?.clone()).map_err(|error| {
            Failure::permanent("PayloadInvalid", format!("the output of stage {} is no fan-out's: {error}", ordered.items))
        })?;
        let approvals = match ordered.approved_by {
            None => Approvals::All,
            Some(stage) => Approvals::read(stage, output(stage)?)?,
        };
        let succeeded = fan_out.items.into_iter().enumerate().filter(|(_, item)| item.phase == FanOutPhase::Succeeded);
        let planned = succeeded.map(|(index, item)| Planned { index, withheld: approvals.withheld(&item.key), item });
        Ok(Self { ordered, items: planned.collect() })
    }

    /// The plan for people, with the time its notices carry.
    pub(super) fn told(&self, time: Timestamp) -> String {
        let channels: Vec<&str> = self.ordered.channels.iter().map(|channel| channel.name.as_str()).collect();
        let send: Vec<&str> = self.items.iter().filter(|one| one.withheld.is_none()).map(|one| one.item.key.as_str()).collect();
        let withheld = self.items.iter().filter_map(|one| Some(json!({"key": one.item.key, "reason": one.withheld.as_ref()?})));
        let told = json!({
            "time": time.to_string(), "items": self.ordered.items, "approvedBy": self.ordered.approved_by,
            "channels": channels, "dryRun": self.ordered.dry_run, "send": send, "withheld": withheld.collect::<Vec<_>>(),
        });
        format!("{told:#}")
    }
}

/// The time in what [`Plan::told`] wrote.
pub(super) fn time_of(told: &str) -> Option<Timestamp> {
    let told: Value = serde_json::from_str(told).ok()?;
    told.get("time")?.as_str()?.parse().ok()
}
