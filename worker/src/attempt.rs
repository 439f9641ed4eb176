//! The order of an attempt.

use serde_json::Value;
use trackway_crds::contracts::{
    AttemptRecord, CONTRACT, ErrorClass, NameKind, Reference, ResolvedStage, ResolvedWork, StageInput, StageResult, StoredVerdict,
};
use trackway_prompt::{Prompt, Rendered};

use crate::{
    AttemptJob,
    calls::Calls,
    conclude::conclude,
    context::answers,
    failure::{Failure, Step},
    fan_out::{Target, targets},
    generate::{OutputShape, generate, output_bytes, request_hash, request_hash_but_for_found},
    job::{Env, Task},
    judge::Judged,
    load::{Loaded, Prepared, load, prepare, prompt_of},
    report::Report,
    stored::Stored,
};

/// The work of a stage that asks a model: what all targets of a pod share.
pub(crate) struct Work<'a> {
    stage: &'a ResolvedStage,
    shape: OutputShape,
    prompt: Prompt,
    loaded: Loaded,
    /// The whole list, in a fan-out.
    pub(crate) targets: Vec<Target>,
}

impl<'a> Work<'a> {
    /// Reads what the pod of `job` needs, once for all its targets.
    pub(crate) async fn load(job: &'a AttemptJob, env: Env<'_>) -> Step<Self> {
        let stage = stage_of(job)?;
        let shape = OutputShape::of(job, stage)?;
        let prompt = prompt_of(job, stage)?;
        let mut loaded = load(job, env.store).await?;
        if prompt.names("context") || matches!(stage.work, ResolvedWork::ValidateContext { .. }) {
            loaded.context = Some(answers(job, env).await?);
        }
        let targets = if job.assignment.wave.is_some() { list_of(stage, &loaded)? } else { Vec::new() };
        Ok(Self { stage, shape, prompt, loaded, targets })
    }
}

/// Runs one try of one attempt to its result. Never fails: what goes wrong is a result of phase `Error`. Safe to run again and
/// beside itself: what is stored already is adopted.
pub(crate) async fn attempt(work: &Work<'_>, task: Task<'_>, env: Env<'_>) -> StageResult {
    let mut report = Report::default();
    let outcome = run(work, task, env, &mut report).await;
    conclude(task, env, report, outcome).await
}

async fn run(work: &Work<'_>, task: Task<'_>, env: Env<'_>, report: &mut Report) -> Step<Option<StoredVerdict>> {
    let Work { stage, shape, prompt, loaded, .. } = work;
    if let (Some(_), None) = (&task.job.assignment.wave, task.target) {
        let message = format!("stage {} has {} targets, none with index {}", stage.name, work.targets.len(), task.part.index);
        return Err(Failure::permanent("TargetUnknown", message));
    }
    let stored = Stored::new(env.store, task)?;
    let calls = Calls::new(env, task);
    let prepared = prepare(task, stage, prompt, loaded, &stored, env).await?;
    let input = stage_input(task, loaded, prepared);
    let revision = &task.job.assignment.revision;
    let hash = if stage.retrieves().is_some() || loaded.context.is_some() {
        request_hash_but_for_found(revision, stage, (&input, prompt.sha256()), shape)
    } else {
        request_hash(revision, stage, &asked_by(&input), shape)
    };
    let (input, asked) = store_input(&input, &stored, &hash).await?;
    report.input = Some(input.clone());
    let (output, reference) = match adopted(&hash, &stored).await? {
        Some(found) => found,
        None => {
            let output = generate(stage, &asked, shape, &calls, report).await?;
            kept(output, &hash, &stored).await?
        }
    };
    report.output = Some(reference.clone());
    shape.tell(&output, report)?;
    let made = Made { prompt_sha256: prompt.sha256(), asked: &asked, loaded, input, output: &output, reference };
    judge_output(stage, task, made, &stored, &calls, report).await
}

/// The stage of `job`.
pub(crate) fn stage_of(job: &AttemptJob) -> Step<&ResolvedStage> {
    let (name, revision) = (&job.assignment.stage, &job.assignment.revision);
    job.revision.stage(name).ok_or_else(|| Failure::permanent("StageUnknown", format!("revision {revision} has no stage {name}")))
}

fn list_of(stage: &ResolvedStage, loaded: &Loaded) -> Step<Vec<Target>> {
    let for_each = stage.for_each.as_ref().ok_or_else(|| {
        Failure::permanent("StageUnknown", format!("stage {} has no forEach, and was given targets", stage.name))
    })?;
    let source = loaded.stages.get(&for_each.stage).ok_or_else(|| {
        let message = format!("stage {} goes over {}.{}, and has no output of it", stage.name, for_each.stage, for_each.field);
        Failure::permanent("TargetsInvalid", message)
    })?;
    targets(source, for_each).map_err(|fault| fault.failure(ErrorClass::Permanent))
}

/// What the model is given.
fn stage_input(task: Task<'_>, loaded: &Loaded, prepared: Prepared) -> StageInput {
    let Prepared { feedback, retrieved, context, rendered } = prepared;
    StageInput {
        contract: CONTRACT,
        batch: task.job.assignment.batch.input.clone(),
        stages: loaded.references.clone(),
        target: task.target.map(|target| target.value.clone()),
        feedback,
        context,
        retrieved: retrieved.unwrap_or_default(),
        system: rendered.system,
        user: rendered.user,
    }
}

/// The prompt as it stands in `input`.
fn asked_by(input: &StageInput) -> Rendered {
    Rendered { system: input.system.clone(), user: input.user.clone() }
}

/// Puts on record what the model is given, and returns what it is asked: of several pods of this attempt the first decides. Another
/// request under this attempt's name ends the attempt before anybody is asked.
async fn store_input(input: &StageInput, stored: &Stored<'_>, hash: &str) -> Step<(Reference, Rendered)> {
    let reference = stored.put_json("the stage's input", input).await?;
    let named = stored.claim(NameKind::Input, reference.clone(), Some(hash)).await?;
    if named == reference {
        return Ok((named, asked_by(input)));
    }
    let first: StageInput = stored.read("the stage's input", &named).await?;
    Ok((named, asked_by(&first)))
}

/// The output an earlier pod left, made by the same request.
pub(crate) async fn adopted(hash: &str, stored: &Stored<'_>) -> Step<Option<(Value, Reference)>> {
    let Some(reference) = stored.left(NameKind::Output, hash).await? else { return Ok(None) };
    tracing::info!("adopting the stored output");
    Ok(Some((stored.read("the stored output", &reference).await?, reference)))
}

/// Stores a new output and gives it its name, before anything else is done with it. Of several the first stays, and is returned.
pub(crate) async fn kept(output: Value, hash: &str, stored: &Stored<'_>) -> Step<(Value, Reference)> {
    let reference = stored.put(output_bytes(&output)?.into()).await?;
    let named = stored.claim(NameKind::Output, reference.clone(), Some(hash)).await?;
    if named == reference {
        return Ok((output, reference));
    }
    tracing::info!("another pod's output came first; adopting it");
    Ok((stored.read("the stored output", &named).await?, named))
}

/// An output that has its name, and what it was made of.
pub(crate) struct Made<'a> {
    /// SHA-256 of the prompt file, or of what stands for it.
    pub(crate) prompt_sha256: &'a str,
    /// What its writer was asked, for the judge.
    pub(crate) asked: &'a Rendered,
    pub(crate) loaded: &'a Loaded,
    /// The stored [`StageInput`].
    pub(crate) input: Reference,
    pub(crate) output: &'a Value,
    pub(crate) reference: Reference,
}

/// Judges an output, if its stage has a judge, and puts the attempt on record.
pub(crate) async fn judge_output(
    stage: &ResolvedStage,
    task: Task<'_>,
    made: Made<'_>,
    stored: &Stored<'_>,
    calls: &Calls<'_>,
    report: &mut Report,
) -> Step<Option<StoredVerdict>> {
    let assignment = &task.job.assignment;
    let verdict = match &stage.judge {
        None => None,
        Some(judge) => {
            let batch = (&made.loaded.batch, &assignment.batch.input);
            let judged = Judged { judge, asked: made.asked, batch, output: (made.output, &made.reference) };
            Some(judged.verdict(stored, calls, report).await?)
        }
    };
    let record = AttemptRecord {
        contract: CONTRACT,
        stage: assignment.stage.clone(),
        attempt: task.part.attempt,
        try_: task.part.try_,
        revision: assignment.revision.clone(),
        prompt_sha256: made.prompt_sha256.to_owned(),
        input: made.input,
        output: made.reference,
        verdict: verdict.as_ref().map(|(_, reference)| reference.clone()),
        tokens: report.tokens.clone(),
        calls: report.calls.clone(),
    };
    let record = stored.put_json("the attempt's record", &record).await?;
    report.record = Some(stored.claim(NameKind::Record, record, None).await?);
    Ok(verdict.map(|(verdict, _)| verdict))
}
