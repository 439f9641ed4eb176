//! The vectors of tenants that are asked about, in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::time::Instant;
use trackway_crds::contracts::{Event, RetrievedEvent};
use trackway_store::{FileInfo, Files, StoreError};

use crate::matrix::Matrix;
use crate::metrics::Metrics;
use crate::segment::{Segment, decode, tenant_prefix};
use crate::writer::aside;

/// How long a listing of a tenant's segments is believed.
const LISTED_FOR: Duration = Duration::from_secs(2);
/// Segments fetched at the same time.
const FETCHES: usize = 8;
/// What a row takes beside its numbers and its event's text.
const ROW_BYTES: usize = 48;

/// All tenants in memory, as many as fit.
#[derive(Debug)]
pub(crate) struct Cache {
    files: Files,
    model: String,
    limit: usize,
    metrics: Metrics,
    tenants: Mutex<Tenants>,
}

#[derive(Debug, Default)]
struct Tenants {
    known: HashMap<String, Arc<Tenant>>,
    /// Who was used when: higher is later.
    used: BTreeMap<String, u64>,
    clock: u64,
}

/// One tenant.
#[derive(Debug, Default)]
pub(crate) struct Tenant {
    loading: tokio::sync::Mutex<Loaded>,
    rows: RwLock<Rows>,
}

#[derive(Debug, Default)]
struct Loaded {
    listed: Option<Instant>,
    segments: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Rows {
    /// `None` before the first segment.
    matrix: Option<Matrix>,
    events: Vec<Box<str>>,
    bytes: usize,
}

impl Cache {
    /// One that keeps at most about `limit` bytes of vectors that `model` made.
    pub(crate) fn new(files: Files, model: &str, limit: usize, metrics: Metrics) -> Self {
        Self { files, model: model.to_owned(), limit, metrics, tenants: Mutex::default() }
    }

    /// `name`'s vectors, with the segments that are there now. Goes on when whoever waits for it has given up only if it is spawned.
    pub(crate) async fn tenant(&self, name: &str) -> Result<Arc<Tenant>, StoreError> {
        let tenant = self.touch(name);
        let mut loaded = tenant.loading.lock().await;
        if loaded.listed.is_none_or(|listed| listed.elapsed() >= LISTED_FOR) {
            let there = self.files.list(&tenant_prefix(name)).await?;
            self.add(&tenant, &mut loaded, there).await?;
            loaded.listed = Some(Instant::now());
            self.make_room(name);
        }
        drop(loaded);
        Ok(tenant)
    }

    /// Fetches what is not in memory. What has outgrown the cache is loaded anew, the latest first, to three quarters of it.
    async fn add(&self, tenant: &Tenant, loaded: &mut Loaded, there: Vec<FileInfo>) -> Result<(), StoreError> {
        if tenant.bytes() > self.limit {
            tenant.clear();
            loaded.segments.clear();
        }
        let anew = loaded.segments.is_empty();
        let new: Vec<String> = there.into_iter().map(|file| file.path).filter(|path| !loaded.segments.contains(path)).collect();
        let fetched = |path: String| async move {
            let file = self.files.get(&path).await?;
            let segment = aside(move || decode(file)).await;
            Ok::<_, StoreError>((path, segment))
        };
        let mut segments = stream::iter(new.iter().rev().cloned()).map(fetched).buffered(FETCHES);
        while let Some(next) = segments.next().await {
            let (path, segment) = next?;
            match segment {
                Ok(segment) if segment.model != self.model => {
                    tracing::warn!(path, model = segment.model, "left out: another model made these vectors");
                }
                Ok(segment) => {
                    let bytes = tenant.push(segment);
                    if anew && bytes > self.limit / 4 * 3 {
                        tracing::warn!(
                            path,
                            bytes,
                            "older vectors of this tenant do not fit the cache and are not found: raise its bytes"
                        );
                        loaded.segments.extend(new.iter().cloned());
                        return Ok(());
                    }
                }
                Err(error) => tracing::error!(path, %error, "left out: this file is no segment"),
            }
            loaded.segments.insert(path);
        }
        Ok(())
    }

    /// The tenant, used just now.
    fn touch(&self, name: &str) -> Arc<Tenant> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        tenants.clock += 1;
        let now = tenants.clock;
        tenants.used.insert(name.to_owned(), now);
        Arc::clone(tenants.known.entry(name.to_owned()).or_default())
    }

    /// Drops who was not asked about for longest, but not `keep`, until all fit.
    fn make_room(&self, keep: &str) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes: usize = tenants.known.values().map(|tenant| tenant.bytes()).sum();
        while bytes > self.limit {
            let oldest = tenants.used.iter().filter(|(name, _)| *name != keep).min_by_key(|(_, used)| **used);
            let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { break };
            tenants.used.remove(&oldest);
            bytes -= tenants.known.remove(&oldest).map_or(0, |tenant| tenant.bytes());
            self.metrics.evictions.inc();
        }
        self.metrics.cache_bytes.set(bytes as u64);
    }
}

impl Tenant {
    fn bytes(&self) -> usize {
        self.rows.read().unwrap_or_else(PoisonError::into_inner).bytes
    }

    fn clear(&self) {
        *self.rows.write().unwrap_or_else(PoisonError::into_inner) = Rows::default();
    }

    /// Adds a segment and returns the bytes of all.
    fn push(&self, segment: Segment) -> usize {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        for row in segment.rows {
            let matrix = rows.matrix.get_or_insert_with(|| Matrix::new(row.vector.len()));
            if matrix.push(&row.vector, row.received_at) {
                rows.bytes += row.vector.len() * size_of::<f32>() + row.event.len() + ROW_BYTES;
                rows.events.push(row.event.into());
            } else {
                tracing::warn!(id = row.id, dimensions = row.vector.len(), "left out: this vector is of another length");
            }
        }
        rows.bytes
    }

    /// The `limit` events nearest to `query` of those received before `before` (microseconds since 1970), the nearest first.
    pub(crate) fn nearest(&self, query: &[f32], before: i64, limit: usize) -> Vec<RetrievedEvent> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        let Some(matrix) = &rows.matrix else { return Vec::new() };
        let hits = matrix.nearest(query, before, limit);
        let found = hits.iter().filter_map(|hit| {
            let event: Event = serde_json::from_str(rows.events.get(hit.row)?).ok()?;
            Some(RetrievedEvent { similarity: thousandths(hit.similarity), event })
        });
        found.collect()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a cosine is between -1 and 1")]
fn thousandths(similarity: f32) -> i32 {
    (similarity.clamp(-1.0, 1.0) * 1000.0).round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{Row, encode, segment_path};
    use prometheus_client::registry::Registry;

    /// Bytes of one row in memory.
    const ROW: usize = 2 * 4 + EVENT.len() + ROW_BYTES;
    const EVENT: &str = r#"{"id":"e","source":"s","type":"push","time":"2026-11-22T14:00:00Z","priority":"Low","data":{}}"#;

    fn files() -> Files {
        Files::open("memory://", None, []).unwrap()
    }

    fn cache(files: &Files, rows: usize) -> Cache {
        Cache::new(files.clone(), "m", rows * ROW, Metrics::register(&mut Registry::default()))
    }

    async fn put(files: &Files, tenant: &str, first: u64, model: &str) {
        let row = Row { sequence: first, id: "e".to_owned(), received_at: 1, event: EVENT.to_owned(), vector: vec![1.0, 0.0] };
        let segment = Segment { model: model.to_owned(), rows: vec![row] };
        files.create(&segment_path(tenant, 7, first), encode(&segment).unwrap()).await.unwrap();
    }

    fn rows(tenant: &Tenant) -> usize {
        tenant.nearest(&[1.0, 0.0], 10, 100).len()
    }

    async fn forget_listing(cache: &Cache, name: &str) {
        cache.touch(name).loading.lock().await.listed = None;
    }

    #[tokio::test]
    async fn new_segments_are_found_and_those_of_other_models_or_none_are_left_out() {
        let files = files();
        let cache = cache(&files, 100);
        assert_eq!(rows(&cache.tenant("a").await.unwrap()), 0);
        put(&files, "a", 1, "m").await;
        put(&files, "a", 2, "another").await;
        put(&files, "b", 3, "m").await;
        files.create(&segment_path("a", 7, 4), "no parquet".into()).await.unwrap();
        assert_eq!(rows(&cache.tenant("a").await.unwrap()), 0, "a listing is believed for a moment");
        forget_listing(&cache, "a").await;
        let tenant = cache.tenant("a").await.unwrap();
        assert_eq!(rows(&tenant), 1);
        assert_eq!(tenant.nearest(&[0.6, 0.8], 10, 1)[0].similarity, 600);
    }

    #[tokio::test]
    async fn who_was_not_asked_about_for_longest_goes_first() {
        let files = files();
        for tenant in ["a", "b", "c"] {
            put(&files, tenant, 1, "m").await;
        }
        let cache = cache(&files, 2);
        for tenant in ["a", "b", "a", "c"] {
            cache.tenant(tenant).await.unwrap();
        }
        let known = |name: &str| cache.tenants.lock().unwrap().known.contains_key(name);
        assert!(known("a") && !known("b") && known("c"));
        assert_eq!(cache.metrics.cache_bytes.get(), 2 * ROW as u64);
        assert_eq!(rows(&cache.tenant("b").await.unwrap()), 1, "it is loaded again");
    }

    #[tokio::test]
    async fn of_a_tenant_that_does_not_fit_the_latest_are_found() {
        let files = files();
        for first in 1..=10 {
            put(&files, "a", first, "m").await;
        }
        let cache = cache(&files, 8);
        assert_eq!(rows(&cache.tenant("a").await.unwrap()), 7);
        for first in 11..=12 {
            put(&files, "a", first, "m").await;
        }
        forget_listing(&cache, "a").await;
        assert_eq!(rows(&cache.tenant("a").await.unwrap()), 9, "it grows over the limit once");
        forget_listing(&cache, "a").await;
        assert_eq!(rows(&cache.tenant("a").await.unwrap()), 7, "and is then loaded anew");
    }
}
