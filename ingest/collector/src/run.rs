//! The BatchRun of a match. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use trackway_crds::{
    BatchRun, BatchRunSpec,
    batch_run::{BatchSpec, TrackRef},
    contracts::{BatchReady, Reference},
    labels, names,
};

use crate::ledger::Match;

/// The run as it is created.
pub fn build(ready: &BatchReady, entry: &Match) -> BatchRun {
    let batch = &ready.batch;
    let spec = BatchRunSpec {
        track_ref: TrackRef { name: entry.track.clone() },
        batch: BatchSpec {
            id: batch.id.clone(),
            tenant: batch.tenant.clone(),
            level: batch.level,
            subject: batch.subject.clone(),
            priority: batch.priority,
            events: batch.counts.events,
            ready_at: MicroTime(batch.ready_at),
            input: ready.input.clone(),
        },
        suspend: false,
        cancel: false,
    };
    let mut run = BatchRun::new(&entry.run, spec);
    run.metadata.namespace = Some(entry.namespace.clone());
    run.metadata.labels = Some(
        [
            (labels::TRACK, entry.track.clone()),
            (labels::LEVEL, batch.level.as_str().to_owned()),
            (labels::PRIORITY, batch.priority.as_str().to_owned()),
            (labels::TENANT, names::label_hash(&batch.tenant)),
            (labels::BATCH, names::label_hash(&batch.id)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into(),
    );
    run
}

/// What tells a run of this batch from one that only has its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Id of the batch.
    pub batch: String,
    /// Its document.
    pub input: Reference,
    /// The track.
    pub track: String,
}

impl Identity {
    /// Of a run.
    pub fn of(run: &BatchRun) -> Self {
        let BatchRunSpec { track_ref, batch, .. } = &run.spec;
        Self { batch: batch.id.clone(), input: batch.input.clone(), track: track_ref.name.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::tests::document;
    use serde_json::json;

    #[test]
    fn a_run_says_what_the_message_said_and_hides_the_tenant_in_labels() {
        let ready: BatchReady = serde_json::from_value(document()).unwrap();
        let entry = Match {
            namespace: "team-a".to_owned(),
            track: "admin".to_owned(),
            generation: 3,
            run: "admin-b7k2f9q1".to_owned(),
            created: false,
        };
        let run = serde_json::to_value(build(&ready, &entry)).unwrap();
        let tenant = names::label_hash("octo-org");
        let batch = names::label_hash("b7k2f9q1");
        assert_eq!(
            run,
            json!({
                "apiVersion": "trackway.dev/v1alpha1", "kind": "BatchRun",
                "metadata": {"name": "admin-b7k2f9q1", "namespace": "team-a", "labels": {
                    "trackway.dev/track": "admin", "trackway.dev/level": "Tenant", "trackway.dev/priority": "High",
                    "trackway.dev/tenant": tenant, "trackway.dev/batch": batch}},
                "spec": {"trackRef": {"name": "admin"}, "batch": {"id": "b7k2f9q1", "tenant": "octo-org", "level": "Tenant",
                    "subject": "octo-org", "priority": "High", "events": 37, "readyAt": "2026-11-22T14:42:10.400000Z",
                    "input": {"sha256": "a".repeat(64), "bytes": 48211}}}
            })
        );
    }
}
