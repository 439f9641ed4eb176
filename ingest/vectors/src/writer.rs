//! A range becomes segments: one a tenant.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use trackway_crds::event_text::event_text;
use trackway_lake::partitions::{EventRange, RangeWriter, Sequenced, WriteError, Written};
use trackway_llm::LlmError;
use trackway_store::{FileCreation, Files};

use crate::embedder::Embedder;
use crate::segment::{Row, Segment, SegmentError, encode, segment_path};

/// Writes vectors to the lake.
#[derive(Debug)]
pub(crate) struct VectorWriter {
    pub(crate) files: Files,
    pub(crate) embedder: Arc<Embedder>,
    /// Events that the model refuses.
    pub(crate) skipped: Counter,
}

impl VectorWriter {
    /// A vector for each event of `range`, in batches over all tenants; `None` for those the model refuses.
    async fn vectors(&self, range: &EventRange) -> Result<Vec<Option<Vec<f32>>>, WriteError> {
        let text = |one: &Sequenced| event_text(&one.event.type_, one.event.subject.as_deref(), &one.event.data);
        let texts: Vec<String> = range.events.iter().map(text).collect();
        self.embedder.of_events(&texts).await.map_err(|error| write_error(&error))
    }

    async fn put(&self, path: &str, segment: Segment) -> Result<Written, WriteError> {
        let rows = segment.rows.len() as u64;
        let content: Bytes = aside(move || encode(&segment)).await.map_err(|error| unwritable(path, &error))?;
        let bytes = content.len() as u64;
        if self.files.create(path, content).await? == FileCreation::Exists {
            tracing::info!(path, "this range has its vectors already");
        }
        Ok(Written { rows, files: 1, bytes })
    }
}

impl RangeWriter for VectorWriter {
    async fn write(&self, range: Arc<EventRange>) -> Result<Written, WriteError> {
        let vectors = self.vectors(&range).await?;
        let mut tenants: BTreeMap<&str, Vec<Row>> = BTreeMap::new();
        for (one, vector) in range.events.iter().zip(vectors) {
            match vector {
                Some(vector) => tenants.entry(one.event.tenant.as_str()).or_default().push(row(one, vector)?),
                None => {
                    self.skipped.inc();
                    tracing::warn!(id = one.event.id, sequence = one.sequence, "the model refuses this event: it has no vector");
                }
            }
        }
        let mut sum = Written::default();
        for (tenant, rows) in tenants {
            let segment = Segment { model: self.embedder.model().to_owned(), rows };
            let written = self.put(&segment_path(tenant, range.partition, range.first), segment).await?;
            sum = Written { rows: sum.rows + written.rows, files: sum.files + 1, bytes: sum.bytes + written.bytes };
        }
        Ok(sum)
    }
}

fn row(one: &Sequenced, vector: Vec<f32>) -> Result<Row, WriteError> {
    let (id, received_at) = (one.event.id.clone(), one.event.received_at.as_microsecond());
    let event = serde_json::to_string(&one.event.clone().for_batch())
        .map_err(|error| WriteError::Permanent(format!("event {id} cannot be written as JSON: {error}")))?;
    Ok(Row { sequence: one.sequence, id, received_at, event, vector })
}

fn write_error(error: &LlmError) -> WriteError {
    let message = format!("no vectors: {error}");
    if error.is_transient() { WriteError::Transient(message) } else { WriteError::Permanent(message) }
}

fn unwritable(path: &str, error: &SegmentError) -> WriteError {
    WriteError::Permanent(format!("make {path}: {error}"))
}

/// On a thread of its own: compressing, reading and searching keep a core busy for a while.
pub(crate) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // It does not panic, and the runtime cancels it only when the process ends.
        Err(_) => std::future::pending().await,
    }
}
