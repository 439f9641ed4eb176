//! Which tenants' batches go to which namespaces.

use serde::Deserialize;
use std::collections::BTreeSet;

/// The mounted file: `namespaces: [{name: team-a, tenants: ["octo-*"]}]`.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Bound namespaces, each once.
    pub namespaces: Vec<Binding>,
}

/// A namespace and the tenants whose batches its Tracks are offered.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The namespace.
    pub name: String,
    /// Patterns of tenants; `*` stands for any characters. Left out: all tenants.
    #[serde(default = "all_tenants")]
    pub tenants: Vec<String>,
}

fn all_tenants() -> Vec<String> {
    vec!["*".to_owned()]
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not the YAML described at [`Config`].
    #[error("the configuration is not understood: write namespaces: [{{name: team-a, tenants: [\"octo-*\"]}}]")]
    Syntax(#[source] Box<serde_saphyr::Error>),
    /// A value that cannot be meant.
    #[error("{field}: {reason}")]
    Value {
        /// Where in the file.
        field: String,
        /// What is wrong and what to do.
        reason: &'static str,
    },
}

impl Config {
    /// All tenants to one namespace.
    #[must_use]
    pub fn only(namespace: &str) -> Self {
        Self { namespaces: vec![Binding { name: namespace.to_owned(), tenants: all_tenants() }] }
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// [`ConfigError`] with the field.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let config: Self = serde_saphyr::from_str(text).map_err(|error| ConfigError::Syntax(Box::new(error)))?;
        let wrong = |field: String, reason| Err(ConfigError::Value { field, reason });
        if config.namespaces.is_empty() {
            return wrong("namespaces".to_owned(), "is empty: name at least one, or every batch would match nothing");
        }
        let mut seen = BTreeSet::new();
        for (index, binding) in config.namespaces.iter().enumerate() {
            let field = format!("namespaces[{index}]");
            if binding.name.is_empty() {
                return wrong(format!("{field}.name"), "is empty: name a namespace");
            }
            if !seen.insert(&binding.name) {
                return wrong(format!("{field}.name"), "is named twice: give each namespace one entry with all its tenants");
            }
            if binding.tenants.is_empty() || binding.tenants.iter().any(String::is_empty) {
                return wrong(format!("{field}.tenants"), "holds no pattern: write \"*\" for all tenants");
            }
        }
        Ok(config)
    }
}

impl Binding {
    /// Whether batches of `tenant` go here.
    #[must_use]
    pub fn takes(&self, tenant: &str) -> bool {
        self.tenants.iter().any(|pattern| fits(pattern, tenant))
    }
}

/// Each part between stars must follow the one before; the first begins the text and the last ends it.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some(found) = text.find(part) else { return false };
        text = &text[found + part.len()..];
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, tenant, expected) in [
            ("*", "anybody", true),
            ("acme", "acme", true),
            ("acme", "acme-2", false),
            ("acme-*", "acme-2", true),
            ("acme-*", "acme", false),
            ("*-eu", "acme-eu", true),
            ("*-eu", "acme-eu-2", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("**", "x", true),
            ("é*", "été", true),
        ] {
            assert_eq!(fits(pattern, tenant), expected, "{pattern} on {tenant}");
        }
    }

    #[test]
    fn a_binding_without_tenants_takes_all() {
        let config = Config::parse("namespaces: [{name: team-a}, {name: team-b, tenants: [acme, 'octo-*']}]").unwrap();
        assert!(config.namespaces[0].takes("anybody"));
        assert!(config.namespaces[1].takes("octo-org") && !config.namespaces[1].takes("anybody"));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("namespaces: []", "namespaces: is empty"),
            ("namespaces: [{name: ''}]", "namespaces[0].name: is empty"),
            ("namespaces: [{name: a}, {name: a}]", "namespaces[1].name: is named twice"),
            ("namespaces: [{name: a, tenants: []}]", "namespaces[0].tenants: holds no pattern"),
            ("namespaces: [{name: a, tenant: x}]", "the configuration is not understood"),
            ("- x", "the configuration is not understood"),
        ] {
            let error = Config::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
