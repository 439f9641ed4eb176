//! What is sent: a CloudEvent in structured form.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use trackway_crds::{contracts::Assignment, names::delivery_id};

/// Type of the event.
const TYPE: &str = "dev.trackway.notice.v1";

/// From whom and when: the same for all notices of a broadcast, and for all its tries, so that a repeat is the same to the byte.
pub(super) struct Sender<'a> {
    pub(super) assignment: &'a Assignment,
    pub(super) track: &'a str,
    pub(super) audience: &'a str,
    pub(super) time: Timestamp,
}

impl Sender<'_> {
    /// The idempotency key of `key`'s notice on `channel` (invariant 12).
    pub(super) fn id(&self, channel: &str, key: &str) -> String {
        let Assignment { batch, run, .. } = self.assignment;
        delivery_id(&batch.tenant, &batch.id, self.track, channel, key, &run.name)
    }

    /// The event with `id` that tells `key` of `output`.
    pub(super) fn event(&self, id: &str, key: &str, output: &Value) -> Bytes {
        let Assignment { batch, run, .. } = self.assignment;
        let event = json!({
            "specversion": "1.0",
            "id": id,
            "source": format!("trackway/{}/{}", run.namespace, self.track),
            "type": TYPE,
            "time": self.time.to_string(),
            "subject": key,
            "datacontenttype": "application/json",
            "data": {
                "key": key, "tenant": batch.tenant, "batch": batch.id, "track": self.track, "audience": self.audience,
                "output": output,
            },
        });
        event.to_string().into()
    }
}
