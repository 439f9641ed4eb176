//! A range becomes files: one a tenant and day.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use trackway_store::{Files, StoreError};

use crate::parquet::{EncodeError, encode, file_path, same_rows};
use crate::partitions::{EventRange, RangeWriter, Sequenced, WriteError, Written};

/// Files on their way to the store at the same time, of one range.
const PUTS_AT_ONCE: usize = 4;

/// Writes events to the lake.
#[derive(Clone, Debug)]
pub struct LakeWriter {
    files: Files,
}

/// A file that is ready.
struct Ready {
    path: String,
    content: Bytes,
    rows: u64,
}

impl LakeWriter {
    /// A writer into `files`.
    #[must_use]
    pub fn new(files: Files) -> Self {
        Self { files }
    }

    async fn put(&self, range: &Arc<EventRange>, ready: Ready) -> Result<Written, WriteError> {
        let Ready { path, content, rows } = ready;
        let bytes = content.len() as u64;
        let refused = match self.files.put(&path, content).await {
            Err(error @ StoreError::Permanent { .. }) => error,
            outcome => return outcome.map(|()| Written { rows, files: 1, bytes }).map_err(WriteError::from),
        };
        // Perhaps another release wrote the same rows, or events have expired since it was written.
        let there = self.files.get(&path).await.map_err(|_| WriteError::from(refused.clone()))?;
        let bytes = there.len() as u64;
        if range.complete && !holds_the_same(range, path.clone(), there).await {
            return Err(refused.into());
        }
        tracing::warn!(path, rows, "this range was written before, as other bytes: that file stays");
        Ok(Written { rows, files: 1, bytes })
    }
}

impl RangeWriter for LakeWriter {
    async fn write(&self, range: Arc<EventRange>) -> Result<Written, WriteError> {
        let wrong =
            |error: EncodeError| WriteError::Permanent(format!("make files of events {}..{}: {error}", range.first, range.last));
        let files = make(Arc::clone(&range)).await.map_err(wrong)?;
        let puts = stream::iter(files).map(|ready| self.put(&range, ready)).buffer_unordered(PUTS_AT_ONCE);
        let add = |sum: Written, one: Written| async move {
            Ok(Written { rows: sum.rows + one.rows, files: sum.files + one.files, bytes: sum.bytes + one.bytes })
        };
        puts.try_fold(Written::default(), add).await
    }
}

/// On a thread of its own: compressing keeps a core busy for a while.
async fn make(range: Arc<EventRange>) -> Result<Vec<Ready>, EncodeError> {
    aside(move || {
        let groups = groups(&range).into_iter();
        let ready = groups.map(|((tenant, date), events)| {
            let path = file_path(tenant, date, range.partition, range.first);
            Ok(Ready { path, content: encode(&events)?, rows: events.len() as u64 })
        });
        ready.collect()
    })
    .await
}

async fn holds_the_same(range: &Arc<EventRange>, path: String, file: Bytes) -> bool {
    let range = Arc::clone(range);
    aside(move || {
        let at = |tenant: &str, date| file_path(tenant, date, range.partition, range.first);
        let ours = groups(&range).into_iter().find(|((tenant, date), _)| at(tenant, *date) == path);
        ours.is_some_and(|(_, events)| same_rows(file, &events).unwrap_or(false))
    })
    .await
}

/// Events by tenant and the day they were received, in UTC.
fn groups(range: &EventRange) -> BTreeMap<(&str, Date), Vec<&Sequenced>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for event in &range.events {
        let date = event.event.received_at.to_zoned(TimeZone::UTC).date();
        groups.entry((event.event.tenant.as_str(), date)).or_default().push(event);
    }
    groups
}

async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // It does not panic, and the runtime cancels it only when the process ends.
        Err(_) => std::future::pending().await,
    }
}
