//! Payloads in a JetStream key-value bucket.
//!
//! A blob up to [`CHUNK_BYTES`] is its key's value. A larger one is cut into chunks under `<key>.0`, `<key>.1`, …; when all are
//! stored, a manifest becomes the key's value, so a reader never sees half a blob. A reader tells the two apart by length: a
//! value as long as the reference says is the blob.

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use trackway_nats::{KeyCreation, Kv, Nats};

use crate::backend::Creation;
use crate::keys::Key;
use crate::{MAX_BLOB_BYTES, StoreError};

/// Half the server's default limit of a message, so headers and slower links have room.
const CHUNK_BYTES: usize = 512 << 10;
/// Chunks under way at the same time.
const CHUNKS_AT_ONCE: usize = 4;

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    chunks: usize,
    bytes: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct NatsBackend {
    bucket: Kv,
}

impl NatsBackend {
    pub(crate) fn new(nats: &Nats) -> Self {
        Self { bucket: Kv::payloads(nats) }
    }

    pub(crate) async fn create(&self, key: &Key, value: Bytes) -> Result<Creation, StoreError> {
        Ok(match self.bucket.create(&key.joined("."), value).await? {
            KeyCreation::Created(_) => Creation::Created,
            KeyCreation::Exists => Creation::Exists,
        })
    }

    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        Ok(self.bucket.get(&key.joined(".")).await?.map(|entry| entry.value))
    }

    pub(crate) async fn put_blob(&self, key: &Key, content: Bytes) -> Result<(), StoreError> {
        if content.len() <= CHUNK_BYTES {
            return self.create(key, content).await.map(drop);
        }
        let chunks = content.len().div_ceil(CHUNK_BYTES);
        stream::iter(0..chunks)
            .map(|number| {
                let end = content.len().min((number + 1) * CHUNK_BYTES);
                let chunk = content.slice(number * CHUNK_BYTES..end);
                async move { self.create(&key.chunk(number), chunk).await.map(drop) }
            })
            .buffer_unordered(CHUNKS_AT_ONCE)
            .try_collect::<()>()
            .await?;
        let manifest = Manifest { chunks, bytes: content.len() as u64 };
        let manifest = serde_json::to_vec(&manifest).map_err(|error| StoreError::permanent(&format!("put {key}"), error))?;
        self.create(key, manifest.into()).await.map(drop)
    }

    pub(crate) async fn get_blob(&self, key: &Key, bytes: u64) -> Result<Option<Bytes>, StoreError> {
        match self.get(key).await? {
            Some(value) if value.len() as u64 != bytes && bytes > CHUNK_BYTES as u64 => self.join(key, &value).await.map(Some),
            other => Ok(other),
        }
    }

    async fn join(&self, key: &Key, manifest: &[u8]) -> Result<Bytes, StoreError> {
        let what = format!("blob {key}");
        let manifest: Manifest =
            serde_json::from_slice(manifest).map_err(|error| StoreError::corrupt(&what, format!("its manifest: {error}")))?;
        if manifest.bytes > MAX_BLOB_BYTES || manifest.chunks > MAX_BLOB_BYTES as usize / CHUNK_BYTES {
            return Err(StoreError::corrupt(&what, format!("its manifest names {} bytes", manifest.bytes)));
        }
        let chunks = stream::iter(0..manifest.chunks)
            .map(|number| {
                let key = key.chunk(number);
                async move {
                    // A manifest is written after its chunks, so a chunk unseen is a replica that lags behind.
                    let missing = || StoreError::transient(&format!("get {key}"), "this chunk is not visible yet");
                    self.get(&key).await?.ok_or_else(missing)
                }
            })
            .buffered(CHUNKS_AT_ONCE);
        let mut content = BytesMut::with_capacity(manifest.bytes as usize);
        futures::pin_mut!(chunks);
        while let Some(chunk) = chunks.try_next().await? {
            content.extend_from_slice(&chunk);
        }
        Ok(content.freeze())
    }
}
