//! A sealed batch on its way out: its document into the payload store of every namespace its tenant is bound to, then BATCH_READY.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::sleep;
use trackway_batching::{KeyState, SealedBatch};
use trackway_crds::contracts::{BatchReady, CONTRACT, Reference};
use trackway_nats::{NatsError, Publication, StreamEvent, tenant_filter, user_filter};
use trackway_service::read_event;
use trackway_store::StoreError;

use crate::document::document;
use crate::event::is_about;
use crate::metrics::OutcomeLabels;
use crate::outside::Outside;
use crate::owned::Batcher;

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// One batch that is being announced.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) key: String,
    /// Of the key, when the batch was in its outbox.
    pub(crate) state: KeyState,
    pub(crate) batch: SealedBatch,
    /// Tries that failed so far.
    pub(crate) failed: u32,
}

#[derive(Debug, thiserror::Error)]
enum AnnounceError {
    #[error(transparent)]
    Nats(#[from] NatsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot write the batch's document: {0}")]
    Json(#[from] serde_json::Error),
}

impl Order {
    /// The batch's id.
    pub(crate) fn id(&self) -> String {
        self.state.batch_id(self.batch.first)
    }

    /// Announces the batch, trying until it is done: nobody may take it out of the outbox before. Safe to repeat.
    pub(crate) async fn fulfil<O: Outside>(mut self, batcher: Batcher<O>) -> Self {
        loop {
            match self.once(&batcher).await {
                Ok(outcome) => {
                    batcher.metrics.announced.get_or_create(&OutcomeLabels { outcome }).inc();
                    return self;
                }
                Err(error) => {
                    batcher.metrics.failures.inc();
                    self.failed = self.failed.saturating_add(1);
                    tracing::warn!(batch = self.id(), tries = self.failed, %error, "cannot announce, trying again");
                    sleep(LONGEST_WAIT.min(FIRST_WAIT * 2_u32.saturating_pow(self.failed.min(8) - 1))).await;
                }
            }
        }
    }

    async fn once<O: Outside>(&self, batcher: &Batcher<O>) -> Result<&'static str, AnnounceError> {
        let tenant = &self.state.tenant;
        let namespaces: Vec<&str> = batcher.config.namespaces_of(tenant).collect();
        if namespaces.is_empty() {
            tracing::warn!(batch = self.id(), tenant, "a sealed batch goes nowhere: no namespace is bound to its tenant");
            return Ok("unbound");
        }
        // Documents of many batches at once would not fit the memory.
        let _permit = batcher.announcing.acquire().await;
        let Some((ready, document)) = self.prepare(batcher).await? else { return Ok("expired") };
        for namespace in namespaces {
            batcher.outside.put_document(namespace, document.clone()).await?;
        }
        let message = serde_json::to_vec(&ready)?;
        let publication = batcher.outside.announce(ready.batch.priority, &ready.batch.id, message.into()).await?;
        let delay = Timestamp::now().duration_since(ready.batch.ready_at).as_secs_f64().max(0.0);
        batcher.metrics.delay.observe(delay);
        let info = &ready.batch;
        tracing::info!(
            batch = info.id,
            level = info.level.as_str(),
            priority = info.priority.as_str(),
            reason = info.reason,
            events = info.counts.events,
            bytes = ready.input.bytes,
            "batch announced"
        );
        Ok(if publication == Publication::Published { "published" } else { "repeated" })
    }

    /// The announcement and the document; `None` when nothing is left of its events.
    async fn prepare<O: Outside>(&self, batcher: &Batcher<O>) -> Result<Option<(BatchReady, Bytes)>, AnnounceError> {
        let (state, batch) = (&self.state, &self.batch);
        let filter = match &state.user {
            Some(user) => user_filter(&state.tenant, user),
            None => tenant_filter(&state.tenant),
        };
        let of_key = |message: &StreamEvent| state.user.as_deref().is_none_or(|user| is_about(message, user));
        let messages = batcher.outside.read_range(&filter, batch.first, batch.last, of_key).await?;
        let events: Vec<_> = messages.iter().filter_map(|message| Some((message.stored_at, read_event(message).ok()?))).collect();
        drop(messages);
        let lost = u64::from(batch.events).saturating_sub(events.len() as u64);
        let labels = batcher.config.tenant_labels(&state.tenant);
        let document = document(state, batch, labels, events);
        if lost > 0 {
            batcher.metrics.lost.inc_by(lost);
            tracing::error!(batch = self.id(), lost, of = batch.events, "events expired before their batch was announced");
        }
        let Some(document) = document else { return Ok(None) };
        let bytes = Bytes::from(serde_json::to_vec(&document)?);
        let input = Reference::of(&bytes);
        Ok(Some((BatchReady { contract: CONTRACT, batch: document.batch, input }, bytes)))
    }
}
