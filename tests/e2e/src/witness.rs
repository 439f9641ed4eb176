//! Looks at every version of every run while a story is told, with the planner's own checkers: what simulations promise is looked
//! for on the cluster too.

use crate::Cluster;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    runtime::{
        WatchStreamExt,
        watcher::{Config, Event, watcher},
    },
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::task::JoinHandle;
use trackway_crds::{
    BatchRun, BatchRunStatus,
    contracts::{REVISION_KEY, Revision},
    status::{MAX_STATUS_BYTES, Phase},
};
use trackway_plan::{inv02_advanced_on_a_verdict, inv03_numbers_only_grow, inv03_targets_keep_their_account, stored_bytes};

/// Somebody who watches the runs of one namespace.
pub(crate) struct Witness {
    seen: Arc<Mutex<Seen>>,
    watch: JoinHandle<()>,
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    last: BTreeMap<String, BatchRunStatus>,
    revisions: BTreeMap<String, Option<Revision>>,
    versions: u32,
    broken: Vec<String>,
}

/// How much was looked at.
pub(crate) struct Testimony {
    runs: usize,
    versions: u32,
}

impl fmt::Display for Testimony {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} versions of {} runs keep invariants 2 to 6", self.versions, self.runs)
    }
}

impl Witness {
    /// Begins to look at `namespace`.
    pub(crate) fn of(cluster: &Cluster, namespace: &str) -> Self {
        let seen = Arc::default();
        let (runs, maps) =
            (Api::namespaced(cluster.client.clone(), namespace), Api::namespaced(cluster.client.clone(), namespace));
        let watch = tokio::spawn(look(runs, maps, Arc::clone(&seen)));
        Self { seen, watch }
    }

    /// What was seen.
    ///
    /// # Errors
    /// Every promise that was broken.
    pub(crate) fn testimony(self) -> anyhow::Result<Testimony> {
        self.watch.abort();
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        anyhow::ensure!(seen.broken.is_empty(), "promises were broken:\n{}", seen.broken.join("\n"));
        Ok(Testimony { runs: seen.last.len(), versions: seen.versions })
    }
}

async fn look(runs: Api<BatchRun>, maps: Api<ConfigMap>, seen: Arc<Mutex<Seen>>) {
    let mut events = watcher(runs, Config::default()).default_backoff().boxed();
    loop {
        let run = match events.try_next().await {
            Ok(Some(Event::Apply(run) | Event::InitApply(run))) => run,
            Ok(None) => return,
            // A watch that broke begins again.
            Ok(Some(_)) | Err(_) => continue,
        };
        let Some(status) = run.status.clone() else { continue };
        if let Some(name) = &status.revision {
            let known = seen.lock().unwrap_or_else(PoisonError::into_inner).revisions.contains_key(name);
            if !known {
                let revision = revision(&maps, name).await;
                seen.lock().unwrap_or_else(PoisonError::into_inner).revisions.insert(name.clone(), revision);
            }
        }
        seen.lock().unwrap_or_else(PoisonError::into_inner).version(&run, status);
    }
}

async fn revision(maps: &Api<ConfigMap>, name: &str) -> Option<Revision> {
    let map = maps.get_opt(name).await.ok()??;
    serde_json::from_str(map.data?.get(REVISION_KEY)?).ok()
}

impl Seen {
    fn version(&mut self, run: &BatchRun, status: BatchRunStatus) {
        let before = self.last.get(&run.uid().unwrap_or_default()).cloned().unwrap_or_default();
        // A watch may leave versions out, so any number of tries may lie between two.
        let mut faults = inv03_numbers_only_grow(&before, &status, u32::MAX);
        faults.extend(inv03_targets_keep_their_account(&before, &status));
        let revision = status.revision.as_ref().and_then(|name| self.revisions.get(name)?.as_ref());
        faults.extend(revision.into_iter().flat_map(|revision| inv02_advanced_on_a_verdict(&status, revision)));
        let mut broken: Vec<String> = faults.iter().map(ToString::to_string).collect();
        if stored_bytes(&status) > MAX_STATUS_BYTES {
            broken.push(format!("invariant 4: the status has {} bytes", stored_bytes(&status)));
        }
        if before.phase.is_some_and(Phase::is_finished) && before != status {
            broken.push("invariant 5: a finished run changed".into());
        }
        if before.revision.is_some() && before.revision != status.revision {
            broken.push(format!("invariant 6: revision {:?} became {:?}", before.revision, status.revision));
        }
        let name = run.name_any();
        self.broken.extend(broken.into_iter().map(|fault| format!("{name}: {fault}")));
        self.versions += 1;
        self.last.insert(run.uid().unwrap_or_default(), status);
    }
}
