//! Which tenants' batches go to which namespaces.

use crate::error::ConfigError;
use crate::node::{Node, Problems};
use crate::pattern::fits;
use std::collections::BTreeSet;

/// A namespace and the tenants whose batches its Tracks are offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The namespace.
    pub name: String,
    /// Patterns of tenants; `*` stands for any characters.
    pub tenants: Vec<String>,
}

impl Binding {
    /// All tenants to one namespace.
    #[must_use]
    pub fn all(namespace: &str) -> Self {
        Self { name: namespace.to_owned(), tenants: vec!["*".to_owned()] }
    }

    /// Whether batches of `tenant` go here.
    #[must_use]
    pub fn takes(&self, tenant: &str) -> bool {
        self.tenants.iter().any(|pattern| fits(pattern, tenant))
    }

    /// Reads a file that holds bindings and nothing else: `namespaces: [{name: team-a, tenants: ["octo-*"]}]`.
    ///
    /// # Errors
    /// [`ConfigError`] with every field that is wrong.
    pub fn parse_all(yaml: &str) -> Result<Vec<Self>, ConfigError> {
        let value = crate::config::yaml(yaml)?;
        let problems = Problems::default();
        let bindings = read(&Node::root(&value, &problems).only(&["namespaces"]));
        problems.none_or(bindings)
    }
}

/// The field `namespaces` of the file.
pub(crate) fn read(file: &Node<'_>) -> Vec<Binding> {
    let Some(list) = file.get("namespaces") else {
        file.missing("namespaces", "name at least one, or batches would go nowhere: [{name: team-a, tenants: [\"octo-*\"]}]");
        return Vec::new();
    };
    let nodes = list.entries();
    if nodes.is_empty() {
        list.wrong("holds no namespace: name at least one, or batches would go nowhere");
    }
    let mut seen = BTreeSet::new();
    let mut bindings = Vec::new();
    for node in nodes {
        let node = node.only(&["name", "tenants"]);
        let name = name(&node);
        if let Some(name) = name.as_deref().filter(|name| !seen.insert((*name).to_owned())) {
            node.wrong(format!("{name:?} is named twice: give each namespace one entry with all its tenants"));
        }
        bindings.push(Binding { name: name.unwrap_or_default(), tenants: tenants(&node) });
    }
    bindings
}

fn name(binding: &Node<'_>) -> Option<String> {
    let Some(node) = binding.get("name") else {
        binding.missing("name", "name a namespace");
        return None;
    };
    let name = node.text()?;
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=63).contains(&name.len()) && name.bytes().all(inner) && !name.starts_with('-') && !name.ends_with('-');
    if !fits {
        node.wrong(format!("{} is not a namespace: use 1 to 63 of a-z, 0-9 and '-'", node.shown()));
    }
    fits.then(|| name.to_owned())
}

fn tenants(binding: &Node<'_>) -> Vec<String> {
    let Some(list) = binding.get("tenants") else { return vec!["*".to_owned()] };
    let nodes = list.entries();
    if nodes.is_empty() && list.is_list() {
        list.wrong("holds no pattern: write \"*\" for all tenants");
    }
    nodes.iter().filter_map(|node| node.line(crate::TENANT_CHARS)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_without_tenants_takes_all() {
        let bindings = Binding::parse_all("namespaces: [{name: team-a}, {name: team-b, tenants: [acme, 'octo-*']}]").unwrap();
        assert!(bindings[0].takes("anybody"));
        assert!(bindings[1].takes("octo-org") && !bindings[1].takes("anybody"));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("{}", "namespaces: is missing: name at least one"),
            ("namespaces: []", "namespaces: holds no namespace"),
            ("namespaces: [{name: ''}]", "namespaces[0].name: \"\" is not a namespace"),
            ("namespaces: [{name: a}, {name: a}]", "namespaces[1]: \"a\" is named twice"),
            ("namespaces: [{name: a, tenants: []}]", "namespaces[0].tenants: holds no pattern"),
            ("namespaces: [{name: a, tenants: x}]", "namespaces[0].tenants: \"x\" is not a list"),
            (
                "namespaces: [{name: a, tenant: x}]",
                "namespaces[0].tenant: is not a field of the configuration: use name or tenants",
            ),
            ("- x", "[\"x\"] is not a mapping: use the fields namespaces"),
            ("a: b: c", "the configuration is not YAML"),
        ] {
            let error = Binding::parse_all(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
