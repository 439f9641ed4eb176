//! Events in the order they were stored.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;
use trackway_crds::names::EVENT_PARTITIONS;

use crate::events::{StreamEvent, partition_filter};
use crate::follow::{Follow, Followed, Reading, Resume};
use crate::streams::EVENTS_STREAM;
use crate::subjects::EVENTS;
use crate::{Nats, NatsError};

/// Reads the events of some partitions in stream order, without gap or repeat, through lost connections and restarts of NATS. It
/// acknowledges nothing: how far it came is the caller's to keep.
#[derive(Debug)]
pub struct EventReader {
    /// `None` for no partitions.
    follow: Option<Follow>,
    after: u64,
}

impl EventReader {
    /// Begins after sequence `after` (0: at the first event there is). When events after it are gone already it goes on at the
    /// first there is and logs a warning. With no partitions it never has an event.
    ///
    /// # Errors
    /// [`NatsError`]; permanent for a partition that is none, and for a stream that ends before `after`.
    pub async fn open(nats: &Nats, partitions: &[u8], after: u64) -> Result<Self, NatsError> {
        let partitions: BTreeSet<u8> = partitions.iter().copied().collect();
        if let Some(partition) = partitions.iter().find(|partition| **partition >= EVENT_PARTITIONS) {
            let reason = format!("there is no partition {partition}: they are 0 to {}", EVENT_PARTITIONS - 1);
            return Err(NatsError::permanent("read EVENTS", reason));
        }
        if partitions.is_empty() {
            return Ok(Self { follow: None, after });
        }
        let filters = if partitions.len() == usize::from(EVENT_PARTITIONS) {
            vec![format!("{EVENTS}.>")]
        } else {
            partitions.into_iter().map(partition_filter).collect()
        };
        let reading = Reading { nats: nats.clone(), stream: EVENTS_STREAM.to_owned(), filters, resume: Resume::AfterLast };
        let mut follow = Follow::new(reading, after);
        follow.open().await?;
        Ok(Self { follow: Some(follow), after })
    }

    /// Waits for the next event. Transient trouble is logged and waited out here. Cancelling the wait loses nothing.
    ///
    /// # Errors
    /// Only [`NatsError::Permanent`].
    pub async fn next(&mut self) -> Result<StreamEvent, NatsError> {
        let Some(follow) = &mut self.follow else { return std::future::pending().await };
        let Followed { sequence, stored_at, message } = follow.next().await?;
        let (subject, payload) = (message.subject.to_string(), message.payload.clone());
        Ok(StreamEvent { sequence, stored_at, subject, payload })
    }

    /// As [`EventReader::next`], for at most `wait`; `None` when no event came.
    ///
    /// # Errors
    /// As [`EventReader::next`].
    pub async fn try_next_within(&mut self, wait: Duration) -> Result<Option<StreamEvent>, NatsError> {
        timeout(wait, self.next()).await.ok().transpose()
    }

    /// Sequence of the last event delivered, or what the reader began after.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.follow.as_ref().map_or(self.after, Follow::position)
    }

    /// How many events waited behind the last one when the server sent it; `None` while it has to find its way again.
    #[must_use]
    pub fn pending(&self) -> Option<u64> {
        self.follow.as_ref().map_or(Some(0), Follow::pending)
    }

    /// Asks the server whether every event of these partitions that is stored by now has been delivered. With more than one
    /// replica the answer may be milliseconds old: who acts on a time that has passed does so a little later.
    ///
    /// # Errors
    /// [`NatsError`]; transient also when the consumer was lost, which the next [`EventReader::next`] mends.
    pub fn caught_up(&self) -> impl Future<Output = Result<bool, NatsError>> + Send + use<> {
        let asked = self.follow.as_ref().map(Follow::caught_up);
        async move {
            match asked {
                Some(asked) => asked.await,
                None => Ok(true),
            }
        }
    }
}
