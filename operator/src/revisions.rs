//! Pinned revisions as runs need them. Their content never changes, so what was read once is kept.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use trackway_crds::contracts::{REVISION_KEY, Revision};
use trackway_kubernetes::{ApiError, within};

/// Revisions kept; a track edited more often than this while its runs go on only costs another read.
const KEPT: usize = 256;

/// Revisions by ConfigMap name, of one namespace.
#[derive(Default)]
pub(crate) struct Revisions(Mutex<BTreeMap<String, Arc<Revision>>>);

/// Why there is no revision.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RevisionError {
    /// There is no such ConfigMap, or it holds no revision.
    #[error("ConfigMap {0} is gone or is no revision")]
    Lost(String),
    /// It could not be read now.
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl Revisions {
    /// The revision called `name`.
    pub(crate) async fn get(&self, api: &Api<ConfigMap>, name: &str) -> Result<Arc<Revision>, RevisionError> {
        if let Some(known) = self.lock().get(name) {
            return Ok(Arc::clone(known));
        }
        let found = within(&format!("read revision {name}"), api.get_opt(name)).await?;
        let text = found.and_then(|map| map.data).and_then(|mut data| data.remove(REVISION_KEY));
        let revision = text.and_then(|text| serde_json::from_str(&text).ok());
        let revision: Arc<Revision> = Arc::new(revision.ok_or_else(|| RevisionError::Lost(name.to_owned()))?);
        let mut known = self.lock();
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(name.to_owned(), Arc::clone(&revision));
        Ok(revision)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Revision>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
