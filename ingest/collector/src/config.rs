//! Which tenants' batches go to which namespaces.

pub use trackway_sources::{Binding, ConfigError};

/// The mounted file: `namespaces: [{name: team-a, tenants: ["octo-*"]}]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bound namespaces, each once.
    pub namespaces: Vec<Binding>,
}

impl Config {
    /// All tenants to one namespace.
    #[must_use]
    pub fn only(namespace: &str) -> Self {
        Self { namespaces: vec![Binding::all(namespace)] }
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// [`ConfigError`] with the fields.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Binding::parse_all(text).map(|namespaces| Self { namespaces })
    }
}
