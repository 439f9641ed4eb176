//! The configuration of ingest.

use crate::batching::Levels;
use crate::binding::{self, Binding};
use crate::error::ConfigError;
use crate::node::{Node, Problems};
use crate::pattern::fits;
use crate::source::{self, Source};
use std::collections::{BTreeMap, BTreeSet};
use trackway_batching::BatchingPolicy;
use trackway_crds::track::Level;

/// Most labels of a tenant or an event.
pub(crate) const LABELS: usize = 16;
/// Longest value of a label in characters.
pub(crate) const LABEL_CHARS: usize = 128;

/// Who may send events, what is read from them, and when they become batches. Examples: `docs/sources.md`.
#[derive(Clone, Debug)]
pub struct IngestConfig {
    /// Where events come from; ids are unique.
    pub sources: Vec<Source>,
    /// What is particular about tenants; the first whose pattern fits holds.
    tenants: Vec<Tenants>,
    /// When batches of other tenants are sealed.
    levels: Levels,
    /// Where batches go.
    pub namespaces: Vec<Binding>,
}

/// What is particular about tenants of a pattern.
#[derive(Clone, Debug)]
struct Tenants {
    pattern: String,
    labels: BTreeMap<String, String>,
    levels: Levels,
}

impl IngestConfig {
    /// Reads the file's text.
    ///
    /// # Errors
    /// [`ConfigError`] with every field that is wrong: what stands there, what is allowed, what to do.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let value = yaml(text)?;
        let problems = Problems::default();
        let file = Node::root(&value, &problems).only(&["sources", "tenants", "batching", "namespaces"]);
        let levels = Levels::DEFAULT.with(&file);
        let config = Self {
            sources: sources(&file),
            tenants: file.list("tenants").into_iter().map(|node| tenants(node, levels)).collect(),
            levels,
            namespaces: binding::read(&file),
        };
        problems.none_or(config)
    }

    /// The source of this id.
    #[must_use]
    pub fn source(&self, id: &str) -> Option<&Source> {
        self.sources.iter().find(|source| source.id == id)
    }

    /// When batches of this level of this tenant are sealed; `None`: there are none.
    #[must_use]
    pub fn policy(&self, level: Level, tenant: &str) -> Option<BatchingPolicy> {
        let levels = self.tenants(tenant).map_or(self.levels, |tenants| tenants.levels);
        match level {
            Level::Tenant => levels.tenant.policy(),
            Level::User => levels.user.policy(),
        }
    }

    /// The labels of this tenant's batches, besides those of their events; at most 16.
    #[must_use]
    pub fn tenant_labels(&self, tenant: &str) -> BTreeMap<String, String> {
        self.tenants(tenant).map(|tenants| tenants.labels.clone()).unwrap_or_default()
    }

    /// The namespaces that get this tenant's batches, in the file's order.
    pub fn namespaces_of<'a>(&'a self, tenant: &'a str) -> impl Iterator<Item = &'a str> {
        self.namespaces.iter().filter(move |binding| binding.takes(tenant)).map(|binding| binding.name.as_str())
    }

    fn tenants(&self, tenant: &str) -> Option<&Tenants> {
        self.tenants.iter().find(|tenants| fits(&tenants.pattern, tenant))
    }
}

/// The file's text as a value. An empty file is an empty mapping.
pub(crate) fn yaml(text: &str) -> Result<serde_json::Value, ConfigError> {
    // Helm writes YAML 1.2, in which a tenant may be called `no`.
    let options = serde_saphyr::options! { strict_booleans: true };
    let value: serde_json::Value =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| ConfigError::Syntax(Box::new(error)))?;
    Ok(if value.is_null() { serde_json::json!({}) } else { value })
}

fn sources(file: &Node<'_>) -> Vec<Source> {
    let mut seen = BTreeSet::new();
    let mut sources = Vec::new();
    for node in file.list("sources") {
        let Some(source) = source::read(&node) else { continue };
        if !seen.insert(source.id.clone()) {
            node.wrong(format!("the id {:?} is used twice: give each source its own, for it is part of the URL", source.id));
        }
        sources.push(source);
    }
    sources
}

fn tenants(node: Node<'_>, levels: Levels) -> Tenants {
    let node = node.only(&["match", "labels", "batching"]);
    let pattern = node.get("match");
    if pattern.is_none() {
        node.missing("match", "write a pattern of tenants, such as \"octo-*\"");
    }
    let pattern = pattern.and_then(|node| node.line(crate::TENANT_CHARS)).unwrap_or_default().to_owned();
    let mut labels = BTreeMap::new();
    for (key, node) in label_pairs(&node) {
        if let Some(value) = node.line(LABEL_CHARS) {
            labels.insert(key.to_owned(), value.to_owned());
        }
    }
    Tenants { pattern, labels, levels: levels.with(&node) }
}

/// The field `labels` of `parent`, its keys checked.
pub(crate) fn label_pairs<'a>(parent: &Node<'a>) -> Vec<(&'a str, Node<'a>)> {
    let pairs = parent.pairs("labels");
    if let Some(labels) = parent.get("labels").filter(|_| pairs.len() > LABELS) {
        labels.wrong(format!("holds {} labels: use at most {LABELS}", pairs.len()));
    }
    for (key, node) in &pairs {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
        if !(1..=63).contains(&key.len()) || !key.bytes().all(allowed) {
            node.wrong("is not the key of a label: use 1 to 63 letters, digits, '-', '_', '.' or '/'");
        }
    }
    pairs
}
