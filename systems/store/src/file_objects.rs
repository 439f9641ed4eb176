//! Files in a bucket or folder.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode};

use crate::StoreError;
use crate::error::from_objects;
use crate::files::{FileCreation, FileInfo, MAX_FILE_BYTES};
use crate::objects::is_missing_object;

#[derive(Debug, Clone)]
pub(crate) struct ObjectFiles {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl ObjectFiles {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        Self { store, prefix }
    }

    /// Other writers and readers see the whole file or none.
    pub(crate) async fn create(&self, path: &str, content: Bytes) -> Result<FileCreation, StoreError> {
        match self.store.put_opts(&self.at(path)?, content.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(FileCreation::Created),
            Err(Error::AlreadyExists { .. }) => Ok(FileCreation::Exists),
            Err(error) => Err(from_objects(&format!("put file {path}"), &error)),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Option<Bytes>, StoreError> {
        let action = format!("get file {path}");
        let found = match self.store.get(&self.at(path)?).await {
            Ok(found) => found,
            Err(error) if is_missing_object(&error) => return Ok(None),
            Err(error) => return Err(from_objects(&action, &error)),
        };
        if found.meta.size > MAX_FILE_BYTES {
            let reason = format!("it has {} bytes, over the limit of {MAX_FILE_BYTES}", found.meta.size);
            return Err(StoreError::permanent(&action, reason));
        }
        found.bytes().await.map(Some).map_err(|error| from_objects(&action, &error))
    }

    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<FileInfo>, StoreError> {
        let folder = if prefix.is_empty() { self.prefix.clone() } else { self.at(prefix)? };
        let above = if self.prefix.as_ref().is_empty() { 0 } else { self.prefix.as_ref().len() + 1 };
        let found = self.store.list(Some(&folder)).map_ok(|meta| FileInfo {
            path: meta.location.as_ref().get(above..).unwrap_or_default().to_owned(),
            bytes: meta.size,
        });
        found.try_collect().await.map_err(|error| from_objects(&format!("list files in {prefix:?}"), &error))
    }

    /// Parsed, not encoded: a `%` of the path stays one.
    fn at(&self, path: &str) -> Result<Path, StoreError> {
        let whole = format!("{}/{path}", self.prefix);
        Path::parse(whole).map_err(|error| StoreError::permanent(&format!("name file {path}"), error))
    }
}
