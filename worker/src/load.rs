//! What an attempt reads before it writes anything.

use std::collections::BTreeMap;

use serde_json::Value;
use trackway_crds::{
    contracts::{BatchDocument, Feedback, NameKind, Reference, ResolvedStage, RetrievedEvent, StoredVerdict},
    ledger::Ledger,
};
use trackway_prompt::{Prompt, PromptContext, Rendered, TrackContext};
use trackway_store::PayloadStore;

use crate::{
    AttemptJob, MAX_PROMPT_BYTES,
    attempt::stage_of,
    context::{self, Context},
    failure::{Failure, Step},
    fan_out::compose,
    job::{Env, Task},
    retrieve::retrieved,
    stored::Stored,
};

/// What every target of a pod is given alike, read once.
pub(crate) struct Loaded {
    pub(crate) batch: BatchDocument,
    /// Accepted outputs of the stages before, those of fan-outs put together.
    pub(crate) stages: BTreeMap<String, Value>,
    /// The same by reference.
    pub(crate) references: BTreeMap<String, Reference>,
    /// What the tenant has answered so far, where the stage sees it.
    pub(crate) context: Option<Context>,
}

/// Reads the batch and the outputs of the stages before.
pub(crate) async fn load(job: &AttemptJob, store: &PayloadStore) -> Step<Loaded> {
    let stored = Stored::new(store, Task::of(job))?;
    let batch = stored.batch(&job.assignment.batch.input).await?;
    let mut loaded = Loaded { batch, stages: BTreeMap::new(), references: job.assignment.stages.clone(), context: None };
    for (name, reference) in &job.assignment.stages {
        loaded.stages.insert(name.clone(), stored.read(&format!("the output of stage {name}"), reference).await?);
    }
    // In the revision's order, because one fan-out may go over another's output.
    for stage in &job.revision.stages {
        let Some(state) = job.assignment.fan_outs.get(&stage.name) else { continue };
        let (output, reference) = whole_output(job, store, stage, &state.ledger, &loaded).await?;
        loaded.stages.insert(stage.name.clone(), output);
        loaded.references.insert(stage.name.clone(), reference);
    }
    Ok(loaded)
}

async fn whole_output(
    job: &AttemptJob,
    store: &PayloadStore,
    stage: &ResolvedStage,
    ledger: &str,
    loaded: &Loaded,
) -> Step<(Value, Reference)> {
    let ledger = Ledger::decode(ledger)
        .map_err(|error| Failure::permanent("LedgerInvalid", format!("targets of stage {}: {error}", stage.name)))?;
    let source = stage.for_each.as_ref().and_then(|for_each| loaded.stages.get(&for_each.stage)).unwrap_or(&Value::Null);
    let (output, reference) = compose(store, &job.assignment.run, stage, &ledger, source, job.deadline).await?;
    let output = serde_json::to_value(output)
        .map_err(|error| Failure::permanent("DocumentInvalid", format!("the output of stage {}: {error}", stage.name)))?;
    Ok((output, reference))
}

/// What one attempt is given beyond that.
pub(crate) struct Prepared {
    pub(crate) feedback: Option<Feedback>,
    /// Past events, where the stage retrieves.
    pub(crate) retrieved: Option<Vec<RetrievedEvent>>,
    /// The tenant's answers; empty where the stage does not see them.
    pub(crate) context: Context,
    pub(crate) rendered: Rendered,
}

/// The prompt of `stage`.
pub(crate) fn prompt_of(job: &AttemptJob, stage: &ResolvedStage) -> Step<Prompt> {
    let name = stage
        .prompt()
        .ok_or_else(|| Failure::permanent("StageUnknown", format!("stage {} asks no model, so it has no prompt", stage.name)))?;
    Ok(Prompt::parse(name, file(job, "PromptMissing", name)?)?)
}

/// Reads the judge's words on the attempt before, finds past events and renders the prompt.
pub(crate) async fn prepare(
    task: Task<'_>,
    stage: &ResolvedStage,
    prompt: &Prompt,
    loaded: &Loaded,
    stored: &Stored<'_>,
    env: Env<'_>,
) -> Step<Prepared> {
    let feedback = feedback(task, stored).await?;
    let retrieved = retrieved(task, stage, loaded, stored, env).await?;
    let context = context_of(task, loaded, stored).await?;
    let revision = &task.job.revision;
    let track = TrackContext { name: revision.track.clone(), audience: revision.audience.clone(), vars: stage.vars.clone() };
    let rendered = prompt.render(&PromptContext {
        track: &track,
        batch: &loaded.batch.batch,
        events: &loaded.batch.events,
        context: &context,
        stages: &loaded.stages,
        target: task.target.map(|target| &target.value),
        feedback: feedback.as_ref(),
        retrieved: retrieved.as_deref(),
    })?;
    check_size(stage.prompt().unwrap_or_default(), &rendered)?;
    Ok(Prepared { feedback, retrieved, context, rendered })
}

/// The tenant's answers as this attempt sees them.
pub(crate) async fn context_of(task: Task<'_>, loaded: &Loaded, stored: &Stored<'_>) -> Step<Context> {
    match &loaded.context {
        Some(now) => context::adopted(now, stored, task.part.attempt).await,
        None => Ok(Context::new()),
    }
}

/// The file the revision calls `name`.
pub(crate) fn file<'a>(job: &'a AttemptJob, reason: &'static str, name: &str) -> Step<&'a str> {
    job.files.get(name).map(String::as_str).ok_or_else(|| {
        let message =
            format!("revision {} names {name} and does not hold it: its ConfigMap was changed", job.assignment.revision);
        Failure::permanent(reason, message)
    })
}

/// The verdict on the attempt before, in full: what made this attempt. `None` also when it was answers that did.
pub(crate) async fn feedback(task: Task<'_>, stored: &Stored<'_>) -> Step<Option<Feedback>> {
    let Some(judge) = &stage_of(task.job)?.judge else { return Ok(None) };
    let Some(before) = task.part.attempt.checked_sub(1).filter(|before| *before > 0) else { return Ok(None) };
    let reference = stored.wanted(&stored.name_of(before, NameKind::Verdict)).await?;
    let verdict: StoredVerdict = stored.read(&format!("the verdict on attempt {before}"), &reference).await?;
    let scores = verdict.dimensions.iter().map(|one| (one.name.clone(), one.score)).collect();
    if judge.accepts(verdict.score, &scores) {
        return Ok(None);
    }
    Ok(Some(Feedback { score: verdict.score, text: verdict.feedback, dimensions: verdict.dimensions }))
}

fn check_size(prompt: &str, rendered: &Rendered) -> Step<()> {
    if rendered.user.is_empty() {
        return Err(Failure::permanent("PromptEmpty", format!("{prompt} renders to nothing for this batch")));
    }
    let bytes = rendered.bytes();
    if bytes <= MAX_PROMPT_BYTES {
        return Ok(());
    }
    let message = format!(
        "{prompt} renders to {bytes} bytes; at most {MAX_PROMPT_BYTES} are sent. Loop over fewer events, or cut long texts: {{{{ event.data.body | truncate(2000) }}}}"
    );
    Err(Failure::permanent("PromptTooLarge", message))
}
