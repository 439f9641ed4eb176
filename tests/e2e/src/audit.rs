//! The API server's own record of every write: the honest counter.

use anyhow::Context;
use serde::Deserialize;
use std::path::Path;

/// One write.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Write {
    /// `create`, `update`, `patch`, `delete`.
    pub verb: String,
    /// What was written.
    #[serde(default)]
    pub object_ref: ObjectRef,
    /// Who says to have written.
    #[serde(default)]
    pub user_agent: String,
    /// What the API server answered.
    #[serde(default)]
    pub response_status: ResponseStatus,
}

/// What a write was about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ObjectRef {
    /// For example `jobs`.
    pub resource: String,
    /// For example `status`, or nothing.
    pub subresource: String,
    /// Namespace.
    pub namespace: String,
    /// Name; a create names its object here too.
    pub name: String,
}

/// Answer to a write.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResponseStatus {
    /// HTTP status.
    pub code: u16,
}

/// All writes to objects of `namespace` so far, in order.
///
/// # Errors
/// A log that cannot be read.
pub fn writes(log: &Path, namespace: &str) -> anyhow::Result<Vec<Write>> {
    let text = std::fs::read_to_string(log).with_context(|| format!("audit log {}", log.display()))?;
    // The last line may be half written.
    let writes = text.lines().filter_map(|line| serde_json::from_str::<Write>(line).ok());
    Ok(writes.filter(|write| write.object_ref.namespace == namespace).collect())
}

impl Write {
    /// Whether the API server did what was asked.
    #[must_use]
    pub fn was_done(&self) -> bool {
        (200..300).contains(&self.response_status.code)
    }

    /// Whether it is one of the operator's writes that faults count: neither its lease nor Events.
    #[must_use]
    pub fn is_of_operator(&self) -> bool {
        self.user_agent.starts_with("trackway-operator/") && !["leases", "events"].contains(&self.object_ref.resource.as_str())
    }
}
