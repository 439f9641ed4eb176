//! The payloads of one run, read by name or by reference.

use anyhow::Context;
use serde::de::DeserializeOwned;
use serde_json::Value;
use trackway_crds::{
    BatchRun,
    contracts::{NameKind, Reference},
};
use trackway_store::{Name, PayloadStore, Scope};

use crate::cluster::identity;

/// What a run left in the payload store.
#[derive(Clone, Debug)]
pub(crate) struct Payloads {
    pub(crate) store: PayloadStore,
    pub(crate) scope: Scope,
}

/// Whose document, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Document<'a> {
    pub(crate) stage: &'a str,
    pub(crate) attempt: u32,
    /// Index of the target, 0 outside a fan-out.
    pub(crate) index: u32,
    pub(crate) kind: NameKind,
}

impl Payloads {
    /// The payloads of `run`, which is in `namespace`.
    pub(crate) fn of(store: &PayloadStore, namespace: &str, run: &BatchRun) -> anyhow::Result<Self> {
        Ok(Self { store: store.clone(), scope: Scope::run(namespace, identity(run)?.1)? })
    }

    /// A document, `None` when nobody has written it.
    pub(crate) async fn named(&self, document: Document<'_>) -> anyhow::Result<Option<Value>> {
        self.named_as(document).await
    }

    /// A document of a known shape, `None` when nobody has written it.
    pub(crate) async fn named_as<T: DeserializeOwned>(&self, document: Document<'_>) -> anyhow::Result<Option<T>> {
        let Document { stage, attempt, index, kind } = document;
        let name = Name { stage: stage.to_owned(), attempt, index, kind };
        let Some(stored) = self.store.get_name(&self.scope, &name).await? else { return Ok(None) };
        self.blob_as(&stored.reference).await.map(Some)
    }

    /// What `reference` names, in a known shape.
    pub(crate) async fn blob_as<T: DeserializeOwned>(&self, reference: &Reference) -> anyhow::Result<T> {
        let bytes = self.store.get_blob(&self.scope, reference).await?;
        serde_json::from_slice(&bytes).with_context(|| format!("payload {} is not what was expected there", reference.sha256))
    }
}
