//! Reading what tells of a failure.

use serde::Serialize;
use serde_json::{Value, json};
use trackway_crds::{
    contracts::{FailureAssignment, FailureRecord, NameKind, ResolvedStage, ResolvedWork, StageInput, StoredVerdict},
    names::sha256_hex,
};
use trackway_store::Name;

use super::pieces::Pieces;
use crate::{AttemptJob, failure::Step, job::Env, stored::Stored};

/// Attempts that are shown, the last ones.
const ATTEMPTS: u32 = 3;
/// Records of failures that are shown, the last ones.
const RECORDS: usize = 4;

/// Everything about the failure that is known, without secrets. What was never stored is left out: the failure may have come
/// before it.
pub(super) async fn gather(job: &AttemptJob, failure: &FailureAssignment, stored: &Stored<'_>, env: Env<'_>) -> Step<Pieces> {
    let scrubbed = |text: &str| env.outside.scrubbed(text);
    let mut pieces = Pieces::default();
    pieces.add("error", &scrubbed(&pretty(&error(job, failure))));
    let stage = job.revision.stage(&failure.stage);
    if let Some(stage) = stage {
        pieces.add("stage definition", &scrubbed(&pretty(&without_headers(stage))));
    }
    let attempts = Attempts { failure, stored };
    let last = failure.attempts.max(1);
    let first = last.saturating_sub(ATTEMPTS - 1).max(1);
    let mut found = Vec::new();
    for attempt in (first..=last).rev() {
        found.push((attempt, attempts.read(attempt).await?));
    }
    // The last attempt decided; of those before, the verdicts show whether feedback helped.
    if let Some((attempt, one)) = found.first() {
        add(&mut pieces, *attempt, one, scrubbed);
    }
    for (number, record) in attempts.failures().await?.into_iter().enumerate() {
        let name = format!("failure {} of attempt {} try {}", number + 1, record.attempt, record.try_);
        pieces.add(name, &scrubbed(&pretty(&record)));
    }
    for (name, text) in files(job, stage) {
        pieces.add(name, &scrubbed(text));
    }
    for (attempt, one) in found.iter().skip(1) {
        add(&mut pieces, *attempt, one, scrubbed);
    }
    pieces.add("batch", &scrubbed(&batch(job, stored).await?));
    Ok(pieces)
}

fn add(pieces: &mut Pieces, attempt: u32, read: &Read, scrubbed: impl Fn(&str) -> String) {
    let documents = [("verdict", &read.verdict), ("output", &read.output), ("input", &read.input)];
    for (what, text) in documents {
        pieces.add(format!("{what} of attempt {attempt}"), &scrubbed(text.as_deref().unwrap_or_default()));
    }
}

fn error(job: &AttemptJob, failure: &FailureAssignment) -> Value {
    json!({
        "run": job.assignment.run.name, "track": job.revision.track, "revision": job.assignment.revision, "stage": failure.stage,
        "target": failure.target, "class": failure.class, "reason": failure.reason, "message": failure.message,
        "attempts": failure.attempts,
    })
}

/// The stage as the revision has it; headers of endpoints may hold keys.
fn without_headers(stage: &ResolvedStage) -> ResolvedStage {
    let mut stage = stage.clone();
    if let ResolvedWork::Generate { model, .. } | ResolvedWork::ValidateContext { model, .. } = &mut stage.work {
        model.headers.clear();
    }
    if let Some(judge) = &mut stage.judge {
        judge.model.headers.clear();
    }
    stage
}

fn files<'a>(job: &'a AttemptJob, stage: Option<&'a ResolvedStage>) -> Vec<(String, &'a str)> {
    let Some(stage) = stage else { return Vec::new() };
    let schema = match &stage.work {
        ResolvedWork::Generate { output_schema, .. } | ResolvedWork::Container { output_schema, .. } => output_schema.as_deref(),
        ResolvedWork::ValidateContext { .. } | ResolvedWork::Broadcast { .. } => None,
    };
    let named = [("prompt", stage.prompt()), ("schema", schema)];
    let file = |(what, name): (&str, Option<&'a str>)| Some((format!("{what} {}", name?), job.files.get(name?)?.as_str()));
    named.into_iter().filter_map(file).collect()
}

/// What is known of the batch without its events, which the input quotes where they matter.
async fn batch(job: &AttemptJob, stored: &Stored<'_>) -> Step<String> {
    let input = &job.assignment.batch.input;
    let document = stored.batch(input).await?;
    let facts = json!({"batch": document.batch, "events": document.events.len(), "document": input});
    Ok(pretty(&facts))
}

/// The documents of the stage that failed, or of its target.
struct Attempts<'a> {
    failure: &'a FailureAssignment,
    stored: &'a Stored<'a>,
}

/// What is stored of one attempt.
struct Read {
    input: Option<String>,
    output: Option<String>,
    verdict: Option<String>,
}

impl Attempts<'_> {
    async fn read(&self, attempt: u32) -> Step<Read> {
        let input = self.document::<StageInput>(attempt, NameKind::Input).await?;
        let output = self.document::<Value>(attempt, NameKind::Output).await?;
        let verdict = self.document::<StoredVerdict>(attempt, NameKind::Verdict).await?;
        let verdict = verdict
            .map(|verdict| json!({"score": verdict.score, "dimensions": verdict.dimensions, "feedback": verdict.feedback}));
        Ok(Read { input: input.map(told), output: output.as_ref().map(pretty), verdict: verdict.as_ref().map(pretty) })
    }

    async fn document<T: serde::de::DeserializeOwned>(&self, attempt: u32, kind: NameKind) -> Step<Option<T>> {
        let index = self.failure.target.as_ref().map_or(0, |target| target.index);
        let name = Name { stage: self.failure.stage.clone(), attempt, index, kind };
        let Some(named) = self.stored.named(&name).await? else { return Ok(None) };
        self.stored.read("a payload of the stage", &named.reference).await.map(Some)
    }

    /// The records of failed tries; those of attempts only refer to what is shown anyway.
    async fn failures(&self) -> Step<Vec<FailureRecord>> {
        let mut records = Vec::new();
        for reference in self.failure.records.iter().rev() {
            let record: Value = self.stored.read("a record of the stage", reference).await?;
            records.extend(serde_json::from_value::<FailureRecord>(record).ok());
            if records.len() == RECORDS {
                break;
            }
        }
        records.reverse();
        Ok(records)
    }
}

/// Both parts of a prompt as the model got them.
fn told(input: StageInput) -> String {
    match input.system {
        Some(system) => format!("[system]\n{system}\n\n[user]\n{}", input.user),
        None => input.user,
    }
}

fn pretty(document: &impl Serialize) -> String {
    serde_json::to_string_pretty(document).unwrap_or_default()
}

/// What no text can hold: the beginning of its own hash.
pub(super) fn mark(pieces: &Pieces) -> String {
    let all: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
    sha256_hex(all.as_bytes()).chars().take(16).collect()
}
