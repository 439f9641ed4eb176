//! Each notice to each channel, once on record.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use tokio::time::Instant;
use trackway_crds::{
    contracts::{Delivery, DeliveryPhase, ErrorClass, NameKind, ResolvedChannel},
    ledger::MAX_TARGETS,
};
use trackway_store::Name;
use trackway_webhook::{Sent, WebhookClient, WebhookError};

use super::{
    notice::Sender,
    plan::{Ordered, Plan, Planned},
};
use crate::{
    failure::{Failure, Step},
    stored::Stored,
};

/// Notices under way at the same time.
const AT_ONCE: usize = 16;

/// Everything a delivery needs.
pub(super) struct Post<'a> {
    /// One client for each channel; `None`: nothing is sent.
    pub(super) clients: Option<&'a [WebhookClient]>,
    pub(super) sender: Sender<'a>,
    pub(super) stored: &'a Stored<'a>,
    pub(super) deadline: Instant,
    pub(super) clock: fn() -> Timestamp,
}

/// One item on one channel.
struct Notice<'a> {
    ordinal: usize,
    channel: &'a ResolvedChannel,
    planned: &'a Planned,
}

impl Post<'_> {
    /// Delivers every item of `plan` on every channel. When a receiver stays away, nothing more is begun for it, the others get
    /// theirs, and the try fails; the next one finds on record what was delivered.
    pub(super) async fn deliver(&self, ordered: &Ordered<'_>, plan: &Plan<'_>) -> Step<Vec<Delivery>> {
        let halted: Vec<AtomicBool> = ordered.channels.iter().map(|_| AtomicBool::new(false)).collect();
        let notices = ordered
            .channels
            .iter()
            .enumerate()
            .flat_map(|(ordinal, channel)| plan.items.iter().map(move |planned| Notice { ordinal, channel, planned }));
        let outcomes: Vec<Step<Option<(Notice<'_>, Delivery)>>> =
            stream::iter(notices).map(|notice| self.unless_halted(notice, &halted)).buffer_unordered(AT_ONCE).collect().await;
        let mut delivered = Vec::with_capacity(outcomes.len());
        let mut failures = Vec::new();
        for outcome in outcomes {
            match outcome {
                Ok(one) => delivered.extend(one),
                Err(failure) => failures.push(failure),
            }
        }
        // A receiver that is away may come back; what else went wrong says more.
        let told = failures.iter().position(|failure| failure.class != ErrorClass::Model).unwrap_or(0);
        if let Some(failure) = failures.into_iter().nth(told) {
            return Err(failure);
        }
        delivered.sort_by_key(|(notice, _)| (notice.ordinal, notice.planned.index));
        Ok(delivered.into_iter().map(|(_, delivery)| delivery).collect())
    }

    async fn unless_halted<'n>(&self, notice: Notice<'n>, halted: &[AtomicBool]) -> Step<Option<(Notice<'n>, Delivery)>> {
        let own = halted.get(notice.ordinal..=notice.ordinal).unwrap_or_default();
        if own.iter().any(|halt| halt.load(Ordering::Relaxed)) {
            return Ok(None);
        }
        match self.one(&notice).await {
            Ok(delivery) => Ok(Some((notice, delivery))),
            Err(failure) => {
                // A receiver that is away concerns its channel; whatever else went wrong, all of them.
                let concerned = if failure.class == ErrorClass::Model { own } else { halted };
                concerned.iter().for_each(|halt| halt.store(true, Ordering::Relaxed));
                Err(failure)
            }
        }
    }

    async fn one(&self, notice: &Notice<'_>) -> Step<Delivery> {
        let Planned { item, withheld, .. } = notice.planned;
        let delivery = |phase, status, reason| Delivery {
            channel: notice.channel.name.clone(),
            key: item.key.clone(),
            id: self.sender.id(&notice.channel.name, &item.key),
            phase,
            status,
            reason,
            at: (self.clock)(),
        };
        if let Some(reason) = withheld {
            return Ok(delivery(DeliveryPhase::Withheld, None, Some(reason.clone())));
        }
        let Some(client) = self.clients.and_then(|clients| clients.get(notice.ordinal)) else {
            return Ok(delivery(DeliveryPhase::DryRun, None, None));
        };
        let name = self.name(notice);
        if let Some(named) = self.stored.named(&name).await? {
            return self.stored.read("the record of a notice", &named.reference).await;
        }
        let id = self.sender.id(&notice.channel.name, &item.key);
        let event = self.sender.event(&id, &item.key, &item.output);
        let sent = client.send(&id, &event, self.deadline, || (self.clock)().as_second()).await;
        let certain = match sent {
            Ok(Sent { status, .. }) => delivery(DeliveryPhase::Delivered, Some(status), None),
            Err(WebhookError::Refused(refusal)) => delivery(DeliveryPhase::Refused, Some(refusal.status), Some(refusal.excerpt)),
            Err(error) => return Err(failure(notice.channel, error)),
        };
        let reference = self.stored.put_json("the record of a notice", &certain).await?;
        let named = self.stored.claim_name(&name, reference.clone(), None).await?;
        if named == reference { Ok(certain) } else { self.stored.read("the record of a notice", &named).await }
    }

    fn name(&self, notice: &Notice<'_>) -> Name {
        let index = notice.ordinal * MAX_TARGETS + notice.planned.index;
        Name { index: u32::try_from(index).unwrap_or(u32::MAX), ..self.stored.name_of(1, NameKind::Delivery) }
    }
}

#[track_caller]
fn failure(channel: &ResolvedChannel, error: WebhookError) -> Failure {
    let message = format!("channel {}: {error}", channel.name);
    match error {
        WebhookError::Transient(error) => {
            Failure { retry_after: error.retry_after, ..Failure::new(ErrorClass::Model, "WebhookUnavailable", message) }
        }
        _ => Failure::permanent("WebhookInvalid", message),
    }
}
