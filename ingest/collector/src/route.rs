//! The track router: which Tracks a batch goes through. Pure.

use std::sync::Arc;

use kube::ResourceExt;
use trackway_crds::{Track, contracts::BatchInfo, names, track::TrackSelector};

use crate::{config::Binding, ledger::Match};

/// The match set of `batch`: every Track of a namespace bound to its tenant whose selector takes it, in order of namespace and
/// name. A Track that is being deleted takes no more.
pub fn route(batch: &BatchInfo, bindings: &[Binding], tracks: &[Arc<Track>]) -> Vec<Match> {
    let bound = |namespace: &str| bindings.iter().any(|binding| binding.name == namespace && binding.takes(&batch.tenant));
    let mut matches: Vec<Match> = tracks
        .iter()
        .filter(|track| track.metadata.deletion_timestamp.is_none() && takes(&track.spec.selector, batch))
        .filter_map(|track| Some((track, track.namespace()?)))
        .filter(|(_, namespace)| bound(namespace))
        .map(|(track, namespace)| Match {
            namespace,
            track: track.name_any(),
            generation: track.metadata.generation.unwrap_or_default(),
            run: names::run_name(&track.name_any(), &batch.id),
            created: false,
        })
        .collect();
    matches.sort_by(|a, b| (&a.namespace, &a.track).cmp(&(&b.namespace, &b.track)));
    matches
}

/// Every field that is given must match.
fn takes(selector: &TrackSelector, batch: &BatchInfo) -> bool {
    let TrackSelector { levels, priorities, label_selector } = selector;
    (levels.is_empty() || levels.contains(&batch.level))
        && (priorities.is_empty() || priorities.contains(&batch.priority))
        && label_selector.as_ref().is_none_or(|labels| labels.matches(&batch.labels))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{config::Config, message};
    use serde_json::{Value, json};

    pub(crate) fn track(namespace: &str, name: &str, selector: &Value) -> Arc<Track> {
        Arc::new(
            serde_json::from_value(json!({
                "apiVersion": "trackway.dev/v1alpha1", "kind": "Track",
                "metadata": {"name": name, "namespace": namespace, "generation": 3},
                "spec": {"audience": "x", "selector": selector, "models": [], "judge": {}, "stages": [],
                    "promptsFrom": {"configMapRef": {"name": "p"}}}
            }))
            .unwrap(),
        )
    }

    /// `namespace/track` of each match of the batch of `message::tests` (octo-org, Tenant, High, plan pro) with `change` on top.
    fn routed(change: &Value, config: &str, tracks: &[Arc<Track>]) -> Vec<String> {
        let mut batch = message::tests::document()["batch"].clone();
        for (key, value) in change.as_object().unwrap() {
            batch[key] = value.clone();
        }
        let batch: BatchInfo = serde_json::from_value(batch).unwrap();
        let matches = route(&batch, &Config::parse(config).unwrap().namespaces, tracks);
        matches.iter().map(|entry| format!("{}/{}", entry.namespace, entry.track)).collect()
    }

    #[test]
    fn inv10_a_selector_takes_what_it_says_and_an_empty_one_takes_all() {
        let labels = |expression: Value| json!({"labelSelector": {"matchExpressions": [expression]}});
        for (selector, change, taken) in [
            (json!({}), json!({}), true),
            (json!({"levels": ["Tenant"]}), json!({}), true),
            (json!({"levels": ["User"]}), json!({}), false),
            (json!({"levels": ["User"]}), json!({"level": "User"}), true),
            (json!({"levels": ["Tenant", "User"]}), json!({"level": "User"}), true),
            (json!({"priorities": ["Medium", "Low"]}), json!({}), false),
            (json!({"priorities": ["Medium", "Low"]}), json!({"priority": "Low"}), true),
            (json!({"levels": ["Tenant"], "priorities": ["Low"]}), json!({}), false),
            (json!({"labelSelector": {"matchLabels": {"plan": "pro"}}}), json!({}), true),
            (json!({"labelSelector": {"matchLabels": {"plan": "pro"}}}), json!({"labels": {}}), false),
            (json!({"labelSelector": {"matchLabels": {"plan": "pro", "region": "eu"}}}), json!({}), false),
            (labels(json!({"key": "plan", "operator": "In", "values": ["free", "pro"]})), json!({}), true),
            (labels(json!({"key": "plan", "operator": "NotIn", "values": ["pro"]})), json!({}), false),
            (labels(json!({"key": "plan", "operator": "NotIn", "values": ["pro"]})), json!({"labels": {}}), true),
            (labels(json!({"key": "plan", "operator": "Exists"})), json!({"labels": {}}), false),
            (labels(json!({"key": "beta", "operator": "DoesNotExist"})), json!({}), true),
        ] {
            let found = routed(&change, "namespaces: [{name: a}]", &[track("a", "t", &selector)]);
            assert_eq!(!found.is_empty(), taken, "{selector} on {change}");
        }
    }

    #[test]
    fn inv10_a_batch_is_offered_to_namespaces_bound_to_its_tenant_only() {
        let all = json!({});
        let tracks = [track("b", "z", &all), track("a", "y", &all), track("a", "x", &all), track("c", "w", &all)];
        for (config, expected) in [
            ("namespaces: [{name: a}]", vec!["a/x", "a/y"]),
            ("namespaces: [{name: a, tenants: [acme]}, {name: b, tenants: ['octo-*']}]", vec!["b/z"]),
            ("namespaces: [{name: b}, {name: a}]", vec!["a/x", "a/y", "b/z"]),
            ("namespaces: [{name: d}]", vec![]),
        ] {
            assert_eq!(routed(&json!({}), config, &tracks), expected, "{config}");
        }
    }

    #[test]
    fn inv10_a_track_that_is_being_deleted_takes_no_more() {
        let mut leaving = Track::clone(&track("a", "t", &json!({})));
        leaving.metadata.deletion_timestamp = serde_json::from_value(json!("2026-11-22T14:00:00Z")).unwrap();
        assert!(routed(&json!({}), "namespaces: [{name: a}]", &[Arc::new(leaving)]).is_empty());
    }

    #[test]
    fn the_runs_of_one_batch_share_their_suffix() {
        let batch: BatchInfo = serde_json::from_value(message::tests::document()["batch"].clone()).unwrap();
        let tracks = [track("a", "admin", &json!({})), track("a", "team", &json!({}))];
        let matches = route(&batch, &Config::only("a").namespaces, &tracks);
        let runs: Vec<&str> = matches.iter().map(|entry| entry.run.as_str()).collect();
        assert_eq!(runs, ["admin-b7k2f9q1", "team-b7k2f9q1"]);
        assert_eq!(matches[0].generation, 3);
    }
}
