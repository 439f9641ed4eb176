//! What a program is given: what a prompt may name, as one JSON document.

use serde_json::{Map, Value, json};
use trackway_crds::{
    contracts::{Feedback, ResolvedStage},
    names::sha256_hex,
};

use crate::{
    AttemptJob, MAX_PROMPT_BYTES,
    context::Context,
    failure::{Failure, Step},
    load::Loaded,
};

/// `input.json`.
pub(super) struct Document {
    pub(super) bytes: Vec<u8>,
    pub(super) feedback: Option<Feedback>,
    pub(super) context: Context,
}

impl Document {
    pub(super) fn of(
        job: &AttemptJob,
        stage: &ResolvedStage,
        loaded: &Loaded,
        feedback: Option<Feedback>,
        context: Context,
    ) -> Step<Self> {
        let batch = &loaded.batch.batch;
        let mut document = Map::new();
        let mut put = |name: &str, value: Value| document.insert(name.to_owned(), value);
        put("track", json!({"name": job.revision.track, "audience": job.revision.audience, "vars": stage.vars}));
        put(
            "batch",
            json!({
                "id": batch.id, "tenant": batch.tenant, "level": batch.level, "subject": batch.subject, "priority": batch.priority,
                "labels": batch.labels, "counts": batch.counts, "from": batch.from, "to": batch.to,
            }),
        );
        put("events", json!(loaded.batch.events));
        put("context", json!(context));
        put("stages", json!(loaded.stages));
        if let Some(feedback) = &feedback {
            put("feedback", json!(feedback));
        }
        let bytes = serde_json::to_vec(&document).map_err(|error| {
            Failure::permanent("DocumentInvalid", format!("the program's input cannot be written as JSON: {error}"))
        })?;
        Ok(Self { bytes, feedback, context })
    }

    pub(super) fn sha256(&self) -> String {
        sha256_hex(&self.bytes)
    }

    /// What makes two runs of a program the same request.
    pub(super) fn request_hash(&self, job: &AttemptJob, stage: &ResolvedStage) -> String {
        let request = json!({
            "revision": job.assignment.revision, "stage": stage.name, "work": stage.work, "document": self.sha256(),
        });
        sha256_hex(request.to_string().as_bytes())
    }

    /// The document for people, or how large it is: its batch and outputs are in the store anyway.
    pub(super) fn told(&self) -> String {
        if self.bytes.len() <= MAX_PROMPT_BYTES {
            return String::from_utf8_lossy(&self.bytes).into_owned();
        }
        format!("input.json of {} bytes, sha256 {}: batch, events and outputs of earlier stages", self.bytes.len(), self.sha256())
    }
}
