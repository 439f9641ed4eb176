//! What is wrong with a configuration.

use std::fmt;

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not YAML; the source says where.
    #[error("the configuration is not YAML")]
    Syntax(#[source] Box<serde_saphyr::Error>),
    /// Values that cannot be meant, all that were found.
    #[error("{}", listed(.0))]
    Values(Vec<Problem>),
}

/// One value that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where in the file, for example `sources[0].auth.kind`; empty for the whole file.
    pub field: String,
    /// What stands there, what is allowed, what to do.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(&self.reason) } else { write!(f, "{}: {}", self.field, self.reason) }
    }
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
