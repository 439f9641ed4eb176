//! Payloads in a bucket or folder.

use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};

use crate::backend::Creation;
use crate::error::from_objects;
use crate::keys::Key;
use crate::{MAX_BLOB_BYTES, StoreError};

#[derive(Debug, Clone)]
pub(crate) struct ObjectBackend {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl ObjectBackend {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self { store, prefix }
    }

    pub(crate) async fn create(&self, key: &Key, value: Bytes) -> Result<Creation, StoreError> {
        match self.store.put_opts(&self.path(key), value.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(Creation::Created),
            Err(Error::AlreadyExists { .. }) => Ok(Creation::Exists),
            Err(error) => Err(from_objects(&format!("put {key}"), &error)),
        }
    }

    pub(crate) async fn put_blob(&self, key: &Key, content: Bytes) -> Result<(), StoreError> {
        let bytes = content.len() as u64;
        if self.create(key, content).await? == Creation::Created {
            return Ok(());
        }
        // S3 also says "exists" of a write that is still under way and may yet fail.
        let action = format!("put {key}");
        match self.store.head(&self.path(key)).await {
            Ok(found) if found.size == bytes => Ok(()),
            Ok(found) => {
                Err(StoreError::corrupt(&format!("blob {key}"), format!("it has {} bytes instead of {bytes}", found.size)))
            }
            Err(Error::NotFound { .. }) => Err(StoreError::transient(&action, "another write of it is under way")),
            Err(error) => Err(from_objects(&action, &error)),
        }
    }

    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        let action = format!("get {key}");
        let found = match self.store.get(&self.path(key)).await {
            Ok(found) => found,
            Err(error) if is_missing_object(&error) => return Ok(None),
            Err(error) => return Err(from_objects(&action, &error)),
        };
        if found.meta.size > MAX_BLOB_BYTES {
            return Err(StoreError::corrupt(&key.to_string(), format!("it has {} bytes, over the limit", found.meta.size)));
        }
        found.bytes().await.map(Some).map_err(|error| from_objects(&action, &error))
    }

    fn path(&self, key: &Key) -> Path {
        Path::from(format!("{}/{}", self.prefix, key.joined("/")))
    }
}

/// S3 answers 404 for a missing bucket too, and that one will not come by itself.
pub(crate) fn is_missing_object(error: &Error) -> bool {
    matches!(error, Error::NotFound { source, .. } if !source.to_string().contains("NoSuchBucket"))
}
