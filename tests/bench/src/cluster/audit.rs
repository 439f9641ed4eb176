//! The API server's own record of every write, with its times.

use anyhow::Context;
use jiff::Timestamp;
use serde::Deserialize;
use std::path::Path;

/// How the operator names itself to the API server.
const OPERATOR: &str = "trackway-operator/";

/// One write.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Write {
    pub(crate) verb: String,
    #[serde(default)]
    pub(crate) object_ref: ObjectRef,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    response_status: ResponseStatus,
    #[serde(rename = "requestReceivedTimestamp")]
    pub(crate) received_at: Timestamp,
    /// When its answer was sent.
    #[serde(rename = "stageTimestamp")]
    pub(crate) answered_at: Timestamp,
}

/// What a write was about.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ObjectRef {
    pub(crate) resource: String,
    namespace: String,
    pub(crate) name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ResponseStatus {
    code: u16,
}

impl Write {
    /// Whether it let a suspended Job go.
    pub(crate) fn is_release(&self) -> bool {
        self.is_done_to_job("patch")
    }

    /// Whether it made a Job.
    pub(crate) fn is_creation(&self) -> bool {
        self.is_done_to_job("create")
    }

    fn is_done_to_job(&self, verb: &str) -> bool {
        self.verb == verb && self.object_ref.resource == "jobs" && (200..300).contains(&self.response_status.code)
    }
}

/// Every write of the operator to objects of `namespace`, refused ones included, in the order of their answers.
pub(crate) fn writes_of_operator(log: &Path, namespace: &str) -> anyhow::Result<Vec<Write>> {
    let text = std::fs::read_to_string(log).with_context(|| format!("audit log {}", log.display()))?;
    // The last line may be half written.
    let writes = text.lines().filter_map(|line| serde_json::from_str::<Write>(line).ok());
    let ours = writes.filter(|write| write.user_agent.starts_with(OPERATOR) && write.object_ref.namespace == namespace);
    let mut ours: Vec<Write> = ours.collect();
    ours.sort_by_key(|write| write.answered_at);
    Ok(ours)
}
