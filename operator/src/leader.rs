//! One operator leads. Losing the lease ends the process: nothing half-done can go on behind the new leader's back, and the
//! fenced writes hold even while both believe to lead.

use crate::args::Args;
use anyhow::Context as _;
use kube::Client;
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder};
use std::time::Duration;
use tokio::{sync::watch, task::JoinHandle};

type Task = JoinHandle<kube_lease_manager::Result<LeaseManager>>;

/// A lease that is being asked for.
pub(crate) struct Lease {
    held: watch::Receiver<bool>,
    task: Task,
}

/// A lease that is held.
pub(crate) struct Held(Lease);

impl Lease {
    pub(crate) async fn new(client: Client, args: &Args) -> anyhow::Result<Self> {
        let manager = LeaseManagerBuilder::new(client, &args.lease_name)
            .with_namespace(&args.lease_namespace)
            .with_identity(&args.identity)
            .with_duration(args.lease_seconds)
            .with_grace((args.lease_seconds / 3).max(1))
            .build()
            .await
            .with_context(|| format!("cannot use lease {}/{}", args.lease_namespace, args.lease_name))?;
        let (held, task) = manager.watch().await;
        Ok(Self { held, task })
    }

    /// Waits until the lease is ours.
    pub(crate) async fn acquired(mut self) -> anyhow::Result<Held> {
        self.held.wait_for(|held| *held).await.context("the lease's renewal ended")?;
        Ok(Held(self))
    }
}

impl Held {
    /// Waits until the lease is lost.
    pub(crate) async fn lost(&self) {
        let mut held = self.0.held.clone();
        // An ended renewal is a lost lease.
        let _ = held.wait_for(|held| !*held).await;
    }

    /// Gives the lease back, so that another operator need not wait for its end.
    pub(crate) async fn release(self) {
        let Lease { held, task } = self.0;
        drop(held);
        if let Ok(Ok(Ok(manager))) = tokio::time::timeout(Duration::from_secs(5), task).await
            && let Err(error) = manager.release().await
        {
            tracing::warn!(%error, "the lease could not be given back; it ends by itself");
        }
    }
}
