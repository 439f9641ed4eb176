//! What every kind of store can do.

use bytes::Bytes;

use crate::StoreError;
use crate::keys::Key;
use crate::nats::NatsBackend;
use crate::objects::ObjectBackend;

/// Outcome of creating a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    Created,
    Exists,
}

#[derive(Debug, Clone)]
pub(crate) enum Backend {
    Nats(NatsBackend),
    Objects(ObjectBackend),
}

impl Backend {
    /// Stores a small value unless the key has one.
    pub(crate) async fn create(&self, key: &Key, value: Bytes) -> Result<Creation, StoreError> {
        match self {
            Self::Nats(backend) => backend.create(key, value).await,
            Self::Objects(backend) => backend.create(key, value).await,
        }
    }

    /// Reads a small value.
    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        match self {
            Self::Nats(backend) => backend.get(key).await,
            Self::Objects(backend) => backend.get(key).await,
        }
    }

    /// Stores a blob of any allowed size; one that is there already is success.
    pub(crate) async fn put_blob(&self, key: &Key, content: Bytes) -> Result<(), StoreError> {
        match self {
            Self::Nats(backend) => backend.put_blob(key, content).await,
            Self::Objects(backend) => backend.put_blob(key, content).await,
        }
    }

    /// Reads a blob that should have `bytes` bytes; what it returns may still be wrong.
    pub(crate) async fn get_blob(&self, key: &Key, bytes: u64) -> Result<Option<Bytes>, StoreError> {
        match self {
            Self::Nats(backend) => backend.get_blob(key, bytes).await,
            Self::Objects(backend) => backend.get(key).await,
        }
    }
}
