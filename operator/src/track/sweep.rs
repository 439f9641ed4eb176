//! Deletes revisions that nothing needs any more: not the newest of their Track, named by no run, and older than any run that may
//! be about to pin them.

use super::{Context, Error};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Preconditions},
};
use std::collections::BTreeSet;
use trackway_crds::{BatchRun, Track, labels};
use trackway_kubernetes::within;

/// A run that read its Track this long ago has pinned its revision, or reads again.
const GRACE: SignedDuration = SignedDuration::from_hours(1);

/// One sweep. `runs` and `tracks` are everything in the namespace.
pub(crate) async fn sweep(
    context: &Context,
    runs: impl IntoIterator<Item = impl AsRef<BatchRun>>,
    tracks: impl IntoIterator<Item = impl AsRef<Track>>,
) -> Result<usize, Error> {
    let pinned = runs.into_iter().filter_map(|run| run.as_ref().status.as_ref()?.revision.clone());
    let newest = tracks.into_iter().filter_map(|track| track.as_ref().status.as_ref()?.revision.clone());
    let needed: BTreeSet<String> = pinned.chain(newest).collect();
    let selector = format!("{}={},{}", labels::MANAGED_BY, labels::MANAGER, labels::TRACK);
    let revisions = within("list revisions", context.config_maps.list(&ListParams::default().labels(&selector))).await?;
    let mut deleted = 0;
    for revision in revisions.iter().filter(|revision| is_stale(revision, &needed, Timestamp::now())) {
        let only_this = Preconditions { uid: revision.uid(), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(only_this), ..DeleteParams::default() };
        let name = revision.name_any();
        within(&format!("delete revision {name}"), context.config_maps.delete(&name, &parameters)).await?;
        deleted += 1;
    }
    Ok(deleted)
}

fn is_stale(revision: &ConfigMap, needed: &BTreeSet<String>, now: Timestamp) -> bool {
    let age = revision.metadata.creation_timestamp.as_ref().map(|at| now.duration_since(at.0));
    !needed.contains(&revision.name_any()) && age.is_some_and(|age| age > GRACE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn inv06_a_revision_some_run_names_or_a_track_offers_is_kept() {
        let now: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
        let revision = |created: &str| -> ConfigMap {
            serde_json::from_value(json!({"metadata": {"name": "admin-1", "creationTimestamp": created}})).unwrap()
        };
        let needed = BTreeSet::from(["admin-1".to_owned()]);
        assert!(!is_stale(&revision("2026-11-01T00:00:00Z"), &needed, now), "named");
        assert!(!is_stale(&revision("2026-11-22T11:30:00Z"), &BTreeSet::new(), now), "young");
        assert!(is_stale(&revision("2026-11-22T10:30:00Z"), &BTreeSet::new(), now));
    }
}
