//! The attempt's documents in the payload store: write-once names, adopted by whoever comes second.

use std::time::Duration;

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;
use trackway_crds::contracts::{BatchDocument, CONTRACT, NameKind, Reference, RunRef, StoredName};
use trackway_store::{Name, NameCreation, PayloadStore, Scope, StoreError, with_retry};

use crate::{
    failure::{Failure, Step},
    job::Task,
};

/// How long a payload that must be there is waited for.
const REPLICA_LAG: [Duration; 3] = [Duration::from_millis(50), Duration::from_millis(200), Duration::from_millis(750)];

/// The store as one attempt uses it. Transient errors are tried again until the attempt's deadline.
pub(crate) struct Stored<'a> {
    store: &'a PayloadStore,
    scope: Scope,
    namespace: &'a str,
    stage: &'a str,
    attempt: u32,
    index: u32,
    deadline: Instant,
}

impl<'a> Stored<'a> {
    /// The documents of `task`.
    pub(crate) fn new(store: &'a PayloadStore, task: Task<'a>) -> Step<Self> {
        let assignment = &task.job.assignment;
        let part = (task.part.attempt, task.part.index);
        Self::of(store, &assignment.run, &assignment.stage, part, task.job.deadline)
    }

    /// The documents of (`stage`, attempt, index).
    pub(crate) fn of(
        store: &'a PayloadStore,
        run: &'a RunRef,
        stage: &'a str,
        (attempt, index): (u32, u32),
        deadline: Instant,
    ) -> Step<Self> {
        let scope = Scope::run(&run.namespace, &run.uid)?;
        Ok(Self { store, scope, namespace: &run.namespace, stage, attempt, index, deadline })
    }

    pub(crate) async fn batch(&self, reference: &Reference) -> Step<BatchDocument> {
        batch_document(&self.seen("read the batch document", || self.store.get_batch(self.namespace, reference)).await?)
    }

    pub(crate) async fn get(&self, reference: &Reference) -> Step<Bytes> {
        self.seen("read a payload", || self.store.get_blob(&self.scope, reference)).await
    }

    /// Reads what somebody has referred to, so it was written; a replica of the store may be a moment behind.
    async fn seen<T, Fut>(&self, what: &str, mut operation: impl FnMut() -> Fut) -> Step<T>
    where
        Fut: Future<Output = Result<T, StoreError>>,
    {
        for wait in REPLICA_LAG {
            match self.retried(what, &mut operation).await {
                Err(failure) if failure.reason == "PayloadNotFound" => tokio::time::sleep(wait).await,
                outcome => return outcome,
            }
        }
        self.retried(what, operation).await
    }

    /// Reads a document of ours; another shape is damage.
    pub(crate) async fn read<T: DeserializeOwned>(&self, what: &str, reference: &Reference) -> Step<T> {
        let bytes = self.get(reference).await?;
        parsed(what, &bytes)
    }

    pub(crate) async fn put(&self, content: Bytes) -> Step<Reference> {
        self.retried("store a payload", || self.store.put_blob(&self.scope, content.clone())).await
    }

    pub(crate) async fn put_json(&self, what: &str, document: &impl Serialize) -> Step<Reference> {
        let bytes = serde_json::to_vec(document)
            .map_err(|error| Failure::permanent("DocumentInvalid", format!("{what} cannot be written as JSON: {error}")))?;
        self.put(bytes.into()).await
    }

    /// What an earlier pod left under `kind` of this attempt, made by the same request.
    pub(crate) async fn left(&self, kind: NameKind, request_hash: &str) -> Step<Option<Reference>> {
        let name = self.name(kind);
        self.named(&name).await?.map(|found| same_request(&name, found, request_hash)).transpose()
    }

    /// What stands under `name`, of any stage, attempt and target of the run.
    pub(crate) async fn named(&self, name: &Name) -> Step<Option<StoredName>> {
        self.retried("read a payload's name", || self.store.get_name(&self.scope, name)).await
    }

    /// What stands under `name`, which somebody has created; a replica of the store may be a moment behind.
    pub(crate) async fn wanted(&self, name: &Name) -> Step<Reference> {
        for wait in REPLICA_LAG {
            if let Some(found) = self.named(name).await? {
                return Ok(found.reference);
            }
            tokio::time::sleep(wait).await;
        }
        let Name { stage, attempt, index, kind } = name;
        let found = self.named(name).await?.ok_or_else(|| {
            let message =
                format!("the {} of stage {stage} attempt {attempt} index {index} is not in the payload store", kind.as_str());
            Failure::infrastructure("PayloadNotFound", message)
        })?;
        Ok(found.reference)
    }

    /// Names `reference` as `kind` of this attempt, or returns what another pod has named before.
    pub(crate) async fn claim(&self, kind: NameKind, reference: Reference, request_hash: Option<&str>) -> Step<Reference> {
        self.claim_name(&self.name(kind), reference, request_hash).await
    }

    /// As [`claim`](Self::claim), under any name of the run.
    pub(crate) async fn claim_name(&self, name: &Name, reference: Reference, request_hash: Option<&str>) -> Step<Reference> {
        let value = StoredName { reference: reference.clone(), request_hash: request_hash.map(str::to_owned) };
        let created = self.retried("create a payload's name", || self.store.create_name(&self.scope, name, &value)).await;
        match (created, request_hash) {
            (Ok(NameCreation::Created), _) => Ok(reference),
            (Ok(NameCreation::Exists(winner)), _) => Ok(winner.reference),
            // The store refuses another request's name without saying whose it is.
            (Err(failure), Some(hash)) if failure.reason == "StoreRefused" => match self.named(name).await? {
                Some(found) => same_request(name, found, hash),
                None => Err(failure),
            },
            (Err(failure), _) => Err(failure),
        }
    }

    fn name(&self, kind: NameKind) -> Name {
        self.name_of(self.attempt, kind)
    }

    /// The name of `kind` in another attempt at the same.
    pub(crate) fn name_of(&self, attempt: u32, kind: NameKind) -> Name {
        Name { stage: self.stage.to_owned(), attempt, index: self.index, kind }
    }

    async fn retried<T, Fut>(&self, what: &str, operation: impl FnMut() -> Fut) -> Step<T>
    where
        Fut: Future<Output = Result<T, StoreError>>,
    {
        Ok(with_retry(Some(self.deadline), what, operation).await?)
    }
}

fn same_request(name: &Name, found: StoredName, request_hash: &str) -> Step<Reference> {
    match found.request_hash {
        Some(theirs) if theirs != request_hash => {
            let Name { stage, attempt, index, kind } = name;
            let message = format!(
                "{} of stage {stage} attempt {attempt} index {index} was made by request {theirs:.12}, not by {request_hash:.12}: its \
                 input, prompt or model changed within one attempt; replay the run from this stage",
                kind.as_str(),
            );
            Err(Failure::permanent("RequestMismatch", message))
        }
        _ => Ok(found.reference),
    }
}

/// `bytes` as a batch with its events.
pub(crate) fn batch_document(bytes: &[u8]) -> Step<BatchDocument> {
    let document: BatchDocument = parsed("the batch document", bytes)?;
    if document.contract == CONTRACT {
        return Ok(document);
    }
    let message =
        format!("the batch document follows contract {}, this worker knows {CONTRACT}: use one release", document.contract);
    Err(Failure::permanent("PayloadInvalid", message))
}

/// `bytes` as a document of ours.
pub(crate) fn parsed<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Step<T> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::permanent("PayloadInvalid", format!("{what} is not what its contract says: {error}")))
}
