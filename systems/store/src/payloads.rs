//! The store as its users see it.

use bytes::Bytes;
use trackway_crds::contracts::{Reference, StoredName};
use trackway_nats::Nats;

use crate::backend::{Backend, Creation};
use crate::keys::Key;
use crate::nats::NatsBackend;
use crate::objects::ObjectBackend;
use crate::url::Place;
use crate::{MAX_BLOB_BYTES, Name, Scope, StoreError, url};

/// Outcome of [`PayloadStore::create_name`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameCreation {
    /// The name holds our value.
    Created,
    /// The name held this value already: adopt it. It equals ours when an earlier try of ours got through unheard.
    Exists(StoredName),
}

/// A payload store. Clones share it.
#[derive(Debug, Clone)]
pub struct PayloadStore {
    backend: Backend,
}

impl PayloadStore {
    /// Opens the store `url` names: `nats://HOST:PORT` (the bucket `payloads` on the connection `nats`, which must be to the
    /// same servers), `s3://BUCKET/PREFIX?endpoint=…&region=…&allow_http=true` (credentials by the usual `AWS_…` variables;
    /// the process must have installed a rustls provider), `file:///PATH`, or `memory://`, which forgets everything with the
    /// value. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// [`StoreError::Permanent`] naming what is wrong in the URL.
    pub fn open(url: &str, nats: Option<&Nats>) -> Result<Self, StoreError> {
        Self::open_with(url, nats, url::environment())
    }

    /// As [`PayloadStore::open`], with `variables` in place of the process environment.
    ///
    /// # Errors
    /// As [`PayloadStore::open`].
    pub fn open_with(
        url: &str,
        nats: Option<&Nats>,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, StoreError> {
        let backend = match url::open(url, nats, variables)? {
            Place::Nats(nats) => Backend::Nats(NatsBackend::new(&nats)),
            Place::Objects(store, prefix) => Backend::Objects(ObjectBackend::new(store, prefix)),
        };
        Ok(Self { backend })
    }

    /// Stores `content` under its hash. One that is there already is success.
    ///
    /// # Errors
    /// [`StoreError::Permanent`] over [`MAX_BLOB_BYTES`].
    pub async fn put_blob(&self, scope: &Scope, content: Bytes) -> Result<Reference, StoreError> {
        check_size("put a payload", content.len() as u64)?;
        let reference = Reference::of(&content);
        self.backend.put_blob(&scope.blob(&reference.sha256)?, content).await?;
        Ok(reference)
    }

    /// Reads what `reference` names and checks its size and hash.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Corrupt`] when the content is another than the reference's.
    pub async fn get_blob(&self, scope: &Scope, reference: &Reference) -> Result<Bytes, StoreError> {
        check_size("get a payload", reference.bytes)?;
        let key = scope.blob(&reference.sha256)?;
        let content = self.backend.get_blob(&key, reference.bytes).await?;
        let content = content.ok_or_else(|| StoreError::NotFound { what: format!("blob {key}") })?;
        verify(&key, reference, &content)?;
        Ok(content)
    }

    /// Gives `name` its value, once: of several creators one wins, and the others get the winner's value. Put the blob first.
    ///
    /// # Errors
    /// [`StoreError::Permanent`] when the name's value came from another request (both hashes known and different).
    pub async fn create_name(&self, scope: &Scope, name: &Name, value: &StoredName) -> Result<NameCreation, StoreError> {
        let key = scope.name(name)?;
        let action = format!("create name {key}");
        let text = serde_json::to_vec(value).map_err(|error| StoreError::permanent(&action, error))?;
        if self.backend.create(&key, text.into()).await? == Creation::Created {
            return Ok(NameCreation::Created);
        }
        let winner = self.read_name(&key).await?;
        let winner = winner.ok_or_else(|| StoreError::transient(&action, "it exists, and cannot be read yet"))?;
        same_request(&key, &winner, value)?;
        Ok(NameCreation::Exists(winner))
    }

    /// The value of `name`, `None` when it has none yet.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when what is stored there is no name's value.
    pub async fn get_name(&self, scope: &Scope, name: &Name) -> Result<Option<StoredName>, StoreError> {
        self.read_name(&scope.name(name)?).await
    }

    /// Stores a batch document for the runs of `namespace`.
    ///
    /// # Errors
    /// As [`PayloadStore::put_blob`].
    pub async fn put_batch(&self, namespace: &str, document: Bytes) -> Result<Reference, StoreError> {
        self.put_blob(&Scope::batches(namespace)?, document).await
    }

    /// Reads a batch document.
    ///
    /// # Errors
    /// As [`PayloadStore::get_blob`].
    pub async fn get_batch(&self, namespace: &str, reference: &Reference) -> Result<Bytes, StoreError> {
        self.get_blob(&Scope::batches(namespace)?, reference).await
    }

    async fn read_name(&self, key: &Key) -> Result<Option<StoredName>, StoreError> {
        let Some(text) = self.backend.get(key).await? else { return Ok(None) };
        let value = serde_json::from_slice(&text);
        value.map(Some).map_err(|error| StoreError::corrupt(&format!("name {key}"), error))
    }
}

fn check_size(action: &str, bytes: u64) -> Result<(), StoreError> {
    if bytes <= MAX_BLOB_BYTES {
        return Ok(());
    }
    let reason = format!("{bytes} bytes are over the limit of {MAX_BLOB_BYTES} (16 MiB): make the batch or the output smaller");
    Err(StoreError::permanent(action, reason))
}

fn verify(key: &Key, reference: &Reference, content: &[u8]) -> Result<(), StoreError> {
    let found = Reference::of(content);
    if found == *reference {
        return Ok(());
    }
    let reason = format!("it has {} bytes with sha256 {} instead of {} bytes", found.bytes, found.sha256, reference.bytes);
    Err(StoreError::corrupt(&format!("blob {key}"), reason))
}

fn same_request(key: &Key, winner: &StoredName, ours: &StoredName) -> Result<(), StoreError> {
    match (&winner.request_hash, &ours.request_hash) {
        (Some(theirs), Some(ours)) if theirs != ours => {
            let reason = format!(
                "it was written by request {theirs}, not by {ours}: the input, prompt or model changed within one attempt"
            );
            Err(StoreError::permanent(&format!("create name {key}"), reason))
        }
        _ => Ok(()),
    }
}
