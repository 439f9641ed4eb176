//! Deletes revisions that nothing needs any more: not the newest of their Track, and named by no run, at two sweeps in a row. A
//! run that read its Track before the first has pinned its revision by the second.

use super::{Context, Error};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, Preconditions},
};
use std::collections::BTreeSet;
use trackway_crds::{BatchRun, Track, labels};
use trackway_kubernetes::within;

/// One sweep. `runs` and `tracks` are everything in the namespace; `unneeded` is what the last sweep found and this one leaves for
/// the next. Returns how many revisions were deleted.
pub(crate) async fn sweep(
    context: &Context,
    runs: impl IntoIterator<Item = impl AsRef<BatchRun>>,
    tracks: impl IntoIterator<Item = impl AsRef<Track>>,
    unneeded: &mut BTreeSet<String>,
) -> Result<usize, Error> {
    let pinned = runs.into_iter().filter_map(|run| run.as_ref().status.as_ref()?.revision.clone());
    let newest = tracks.into_iter().filter_map(|track| track.as_ref().status.as_ref()?.revision.clone());
    let needed: BTreeSet<String> = pinned.chain(newest).collect();
    let selector = format!("{}={},{}", labels::MANAGED_BY, labels::MANAGER, labels::TRACK);
    let revisions = within("list revisions", context.config_maps.list(&ListParams::default().labels(&selector))).await?;
    let (stale, young) = sort(revisions.items, &needed, unneeded);
    *unneeded = young;
    for revision in &stale {
        let only_this = Preconditions { uid: revision.uid(), resource_version: None };
        let parameters = DeleteParams { preconditions: Some(only_this), ..DeleteParams::default() };
        let name = revision.name_any();
        within(&format!("delete revision {name}"), context.config_maps.delete(&name, &parameters)).await?;
    }
    Ok(stale.len())
}

/// Revisions to delete, and names of those that are unneeded for the first time.
fn sort(revisions: Vec<ConfigMap>, needed: &BTreeSet<String>, before: &BTreeSet<String>) -> (Vec<ConfigMap>, BTreeSet<String>) {
    let unneeded = revisions.into_iter().filter(|revision| !needed.contains(&revision.name_any()));
    let (stale, young): (Vec<_>, Vec<_>) = unneeded.partition(|revision| before.contains(&revision.name_any()));
    (stale, young.iter().map(ResourceExt::name_any).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn inv06_a_revision_goes_only_when_two_sweeps_find_no_need_for_it() {
        let revision = || vec![serde_json::from_value(json!({"metadata": {"name": "admin-1"}})).unwrap()];
        let (stale, first) = sort(revision(), &names(&[]), &names(&[]));
        assert!(stale.is_empty() && first == names(&["admin-1"]));
        let (stale, second) = sort(revision(), &names(&["admin-1"]), &first);
        assert!(stale.is_empty() && second.is_empty(), "pinned in between");
        let (stale, _) = sort(revision(), &names(&[]), &first);
        assert_eq!(stale.len(), 1);
    }
}
