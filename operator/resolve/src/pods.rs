//! What a Track says of its pods, held to what Kubernetes takes, so that no Job is refused later.

use crate::{
    fault::{Faults, Reason, list},
    quantity,
};
use std::collections::BTreeMap;
use trackway_crds::track::{Resources, Toleration, WorkerTemplate};

const NAME_MAX: usize = 63;
const PREFIX_MAX: usize = 253;
/// Prefixes of labels that are ours or Kubernetes'.
const OWNED: [&str; 3] = ["trackway.dev", "kubernetes.io", "k8s.io"];
/// Labels without a prefix that the Job controller sets.
const OF_JOBS: [&str; 2] = ["controller-uid", "job-name"];
const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Checks `spec.workerTemplate`.
pub(crate) fn check(template: &WorkerTemplate, faults: &mut Faults) {
    let path = "spec.workerTemplate";
    if let Some(given) = &template.resources {
        resources(&format!("{path}.resources"), given, faults);
    }
    for (key, value) in &template.node_selector {
        label(&format!("{path}.nodeSelector"), key, value, faults);
    }
    for (key, value) in &template.labels {
        let path = format!("{path}.labels");
        if let Some(owner) = owner(key) {
            let message =
                format!("{key} belongs to {owner}, which sets it: take a prefix of your own, for example example.com/team");
            faults.add(format!("{path}.{key}"), Reason::SpecInvalid, message);
        }
        label(&path, key, value, faults);
    }
    for (index, given) in template.tolerations.iter().enumerate() {
        toleration(&format!("{path}.tolerations[{index}]"), given, faults);
    }
}

/// Checks requests and limits, and that none is asked for beyond its limit.
pub(crate) fn resources(path: &str, given: &Resources, faults: &mut Faults) {
    let requests = amounts(&format!("{path}.requests"), &given.requests, faults);
    let limits = amounts(&format!("{path}.limits"), &given.limits, faults);
    for (name, request) in requests {
        if limits.get(name).is_some_and(|limit| request > *limit) {
            let message = format!(
                "{} is more than limits.{name}, {}: ask for less, or raise the limit",
                given.requests.get(name).map_or("", String::as_str),
                given.limits.get(name).map_or("", String::as_str)
            );
            faults.add(format!("{path}.requests.{name}"), Reason::SpecInvalid, message);
        }
    }
}

fn amounts<'a>(path: &str, given: &'a BTreeMap<String, String>, faults: &mut Faults) -> BTreeMap<&'a str, f64> {
    let mut amounts = BTreeMap::new();
    for (name, text) in given {
        let of_nodes = ["cpu", "memory", "ephemeral-storage"].contains(&name.as_str()) || name.starts_with("hugepages-");
        let extended = name.contains('/') && is_key(name);
        if !of_nodes && !extended {
            let message = format!(
                "{name} is no resource: use cpu, memory, ephemeral-storage, or an extended one with its prefix, such as \
                 example.com/gpu"
            );
            faults.add(format!("{path}.{name}"), Reason::SpecInvalid, message);
        }
        match quantity::read(text) {
            Some(amount) => {
                amounts.insert(name.as_str(), amount);
            }
            None => {
                let message =
                    format!("{text:?} is no quantity: write a number with m, k, M, G, Ki, Mi or Gi, for example 100m or 256Mi");
                faults.add(format!("{path}.{name}"), Reason::QuantityInvalid, message);
            }
        }
    }
    amounts
}

fn toleration(path: &str, given: &Toleration, faults: &mut Faults) {
    let mut wrong = |field: &str, message: String| faults.add(format!("{path}.{field}"), Reason::SpecInvalid, message);
    let operator = given.operator.as_deref().unwrap_or("Equal");
    if !["Equal", "Exists"].contains(&operator) {
        wrong("operator", format!("{operator:?} is no operator: write Equal or Exists"));
    }
    if let Some(effect) = given.effect.as_deref().filter(|effect| !EFFECTS.contains(effect)) {
        wrong("effect", format!("{effect:?} is no effect: write one of {}, or leave it out for all", list(EFFECTS)));
    }
    match given.key.as_deref() {
        None | Some("") if operator != "Exists" => {
            wrong("key", "without a key the operator must be Exists: name the taint's key".into())
        }
        Some(key) if !key.is_empty() && !is_key(key) => wrong("key", format!("{key:?} is no key of a taint")),
        _ => {}
    }
    match given.value.as_deref() {
        Some(value) if operator == "Exists" && !value.is_empty() => {
            wrong("value", format!("Exists takes no value: leave {value:?} out, or write operator: Equal"));
        }
        Some(value) if !is_value(value) => wrong("value", format!("{value:?} is no value of a taint")),
        _ => {}
    }
}

fn label(path: &str, key: &str, value: &str, faults: &mut Faults) {
    if !is_key(key) {
        let message = format!("{key:?} is no key of a label: write NAME or example.com/NAME, of letters, digits, -, _ and .");
        faults.add(format!("{path}.{key}"), Reason::SpecInvalid, message);
    }
    if !is_value(value) {
        let message = format!("{value:?} is no value of a label: at most {NAME_MAX} letters, digits, -, _ and .");
        faults.add(format!("{path}.{key}"), Reason::SpecInvalid, message);
    }
}

/// Whose label it is, when nobody else may set it.
fn owner(key: &str) -> Option<&'static str> {
    let Some((prefix, _)) = key.split_once('/') else { return OF_JOBS.contains(&key).then_some("Kubernetes") };
    let owned =
        OWNED.iter().find(|owned| prefix.strip_suffix(**owned).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    owned.map(|owned| if *owned == "trackway.dev" { "Trackway" } else { "Kubernetes" })
}

fn is_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let domain = |prefix: &str| {
        let part = |part: &str| is_word(part, |c| c.is_ascii_lowercase() || c.is_ascii_digit(), "-");
        prefix.len() <= PREFIX_MAX && prefix.split('.').all(part)
    };
    prefix.is_none_or(domain) && !name.is_empty() && is_value(name)
}

fn is_value(value: &str) -> bool {
    value.len() <= NAME_MAX && (value.is_empty() || is_word(value, |c| c.is_ascii_alphanumeric(), "-_."))
}

/// Not empty, of `letters`, with characters of `inner` between them.
fn is_word(word: &str, letters: fn(char) -> bool, inner: &str) -> bool {
    word.starts_with(letters) && word.ends_with(letters) && word.chars().all(|c| letters(c) || inner.contains(c))
}

#[cfg(test)]
mod tests {
    use super::{is_key, is_value, owner};

    #[test]
    fn labels_are_what_kubernetes_takes() {
        for good in ["team", "example.com/cost-center", "a/b.c_d", "x9"] {
            assert!(is_key(good), "{good}");
        }
        for bad in ["", "/team", "example.com/", "Example.com/x", "a/b/c", "-x", "x-", "täm", "a b", &"x".repeat(64)] {
            assert!(!is_key(bad), "{bad}");
        }
        assert!(is_value("") && is_value("v1.2_3") && !is_value("a b") && !is_value(".x"));
    }

    #[test]
    fn labels_of_trackway_and_kubernetes_have_owners() {
        for owned in ["trackway.dev/run", "app.kubernetes.io/name", "batch.kubernetes.io/job-name", "k8s.io/x", "job-name"] {
            assert!(owner(owned).is_some(), "{owned}");
        }
        for free in ["team", "example.com/run", "nottrackway.dev/x", "name"] {
            assert_eq!(owner(free), None, "{free}");
        }
    }
}
