//! The order of an attempt.

use jiff::Timestamp;
use serde_json::Value;
use trackway_crds::contracts::{
    AttemptRecord, CONTRACT, NameKind, Reference, ResolvedStage, StageInput, StageResult, StoredVerdict,
};
use trackway_store::PayloadStore;

use crate::{
    AttemptJob, Models,
    calls::Calls,
    failure::{Failure, Step},
    generate::{OutputShape, generate, output_bytes, request_hash},
    judge::Judged,
    load::{Prepared, prepare},
    report::Report,
    stored::Stored,
};

/// Runs one try of one attempt to its result. Never fails: what goes wrong is a result of phase `Error`. Safe to run again and
/// beside itself: what is stored already is adopted.
pub async fn run_attempt(job: &AttemptJob, store: &PayloadStore, models: &Models, clock: fn() -> Timestamp) -> StageResult {
    let mut report = Report::default();
    let assignment = &job.assignment;
    let result = match run(job, store, models, clock, &mut report).await {
        Ok(verdict) => report.finished(assignment, &job.pod_uid, verdict.as_ref()),
        Err(failure) => report.failed(assignment, &job.pod_uid, &failure, models),
    };
    let error = result.error.as_ref();
    tracing::info!(
        phase = ?result.phase,
        score = result.score,
        class = error.map(|error| error.class.as_str()),
        reason = error.map(|error| error.reason.as_str()),
        generate_millis = result.millis.generate,
        judge_millis = result.millis.judge,
        "attempt finished"
    );
    result
}

async fn run(
    job: &AttemptJob,
    store: &PayloadStore,
    models: &Models,
    clock: fn() -> Timestamp,
    report: &mut Report,
) -> Step<Option<StoredVerdict>> {
    let assignment = &job.assignment;
    let stage = stage_of(job)?;
    let shape = OutputShape::of(job, stage)?;
    let stored = Stored::new(store, assignment, job.deadline)?;
    let prepared = prepare(job, stage, &stored).await?;
    let hash = request_hash(&assignment.revision, stage, &prepared.rendered, &shape);
    let input = store_input(job, &prepared, &stored, &hash).await?;
    report.input = Some(input.clone());
    let calls = Calls { models, assignment, deadline: job.deadline, clock };
    let (output, reference) = output(stage, &prepared, &shape, &hash, &stored, &calls, report).await?;
    report.output = Some(reference.clone());
    report.gaps = shape.gaps(&output);
    let verdict = match &stage.judge {
        None => None,
        Some(judge) => {
            let judged = Judged { judge, prepared: &prepared, input: &assignment.batch.input, output: (&output, &reference) };
            Some(judged.verdict(&stored, &calls, report).await?)
        }
    };
    let verdict_reference = verdict.as_ref().map(|(_, reference)| reference.clone());
    let record = record(job, prepared.prompt_sha256, (input, reference, verdict_reference), report);
    let record = stored.put_json("the attempt's record", &record).await?;
    report.record = Some(stored.claim(NameKind::Record, record, None).await?);
    Ok(verdict.map(|(verdict, _)| verdict))
}

fn stage_of(job: &AttemptJob) -> Step<&ResolvedStage> {
    let (name, revision) = (&job.assignment.stage, &job.assignment.revision);
    job.revision.stage(name).ok_or_else(|| Failure::permanent("StageUnknown", format!("revision {revision} has no stage {name}")))
}

/// Stores what the model is given. Another request under this attempt's name ends the attempt before anybody is asked.
async fn store_input(job: &AttemptJob, prepared: &Prepared, stored: &Stored<'_>, hash: &str) -> Step<Reference> {
    let input = StageInput {
        contract: CONTRACT,
        batch: job.assignment.batch.input.clone(),
        stages: job.assignment.stages.clone(),
        target: None,
        feedback: prepared.feedback.clone(),
        system: prepared.rendered.system.clone(),
        user: prepared.rendered.user.clone(),
    };
    let reference = stored.put_json("the stage's input", &input).await?;
    stored.claim(NameKind::Input, reference, Some(hash)).await
}

/// The output of this attempt: the one that is stored, or a new one. It has its name before anything else is done with it.
async fn output(
    stage: &ResolvedStage,
    prepared: &Prepared,
    shape: &OutputShape,
    hash: &str,
    stored: &Stored<'_>,
    calls: &Calls<'_>,
    report: &mut Report,
) -> Step<(Value, Reference)> {
    if let Some(reference) = stored.left(NameKind::Output, hash).await? {
        tracing::info!("adopting the stored output");
        return Ok((stored.read("the stored output", &reference).await?, reference));
    }
    let output = generate(stage, &prepared.rendered, shape, calls, report).await?;
    let reference = stored.put(output_bytes(&output)?.into()).await?;
    let named = stored.claim(NameKind::Output, reference.clone(), Some(hash)).await?;
    if named == reference {
        return Ok((output, reference));
    }
    tracing::info!("another pod's output came first; adopting it");
    Ok((stored.read("the stored output", &named).await?, named))
}

fn record(
    job: &AttemptJob,
    prompt_sha256: String,
    documents: (Reference, Reference, Option<Reference>),
    report: &Report,
) -> AttemptRecord {
    let (input, output, verdict) = documents;
    AttemptRecord {
        contract: CONTRACT,
        stage: job.assignment.stage.clone(),
        attempt: job.assignment.attempt,
        try_: job.assignment.try_,
        revision: job.assignment.revision.clone(),
        prompt_sha256,
        input,
        output,
        verdict,
        tokens: report.tokens.clone(),
        calls: report.calls.clone(),
    }
}
