//! Where runs are created.

use kube::{Api, Client};
use std::future::Future;
use trackway_crds::BatchRun;
use trackway_kubernetes::{ApiError, Creation, create, within};

use crate::run::Identity;

/// What became of creating a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunCreation {
    /// Made by this call.
    Created,
    /// There is one of that name.
    Exists(Identity),
}

/// Where runs are created.
pub trait Runs: Send + Sync {
    /// Creates `run`, or tells whose the run of that name is.
    fn create(&self, run: &BatchRun) -> impl Future<Output = Result<RunCreation, ApiError>> + Send;
}

impl Runs for Client {
    async fn create(&self, run: &BatchRun) -> Result<RunCreation, ApiError> {
        let namespace = run.metadata.namespace.as_deref().unwrap_or_default();
        let name = run.metadata.name.as_deref().unwrap_or_default();
        let api: Api<BatchRun> = Api::namespaced(self.clone(), namespace);
        match create(&api, run).await? {
            Creation::Created(_) => Ok(RunCreation::Created),
            Creation::AlreadyExists => {
                let found = within(&format!("read BatchRun {namespace}/{name}"), api.get(name)).await?;
                Ok(RunCreation::Exists(Identity::of(&found)))
            }
        }
    }
}
