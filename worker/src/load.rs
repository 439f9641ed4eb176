//! What an attempt reads before it writes anything.

use std::collections::BTreeMap;

use serde_json::Value;
use trackway_crds::contracts::{BatchDocument, Feedback, NameKind, ResolvedStage, StoredVerdict};
use trackway_prompt::{Prompt, PromptContext, Rendered, TrackContext};

use crate::{
    AttemptJob, MAX_PROMPT_BYTES,
    failure::{Failure, Step},
    stored::{Stored, parsed},
};
use trackway_crds::contracts::ErrorClass;

/// An attempt with its prompt rendered.
pub(crate) struct Prepared {
    pub(crate) batch: BatchDocument,
    pub(crate) feedback: Option<Feedback>,
    pub(crate) prompt_sha256: String,
    pub(crate) rendered: Rendered,
}

/// Loads everything the stage's prompt may name and renders it.
pub(crate) async fn prepare(job: &AttemptJob, stage: &ResolvedStage, stored: &Stored<'_>) -> Step<Prepared> {
    let name = stage.prompt().ok_or_else(|| Failure::permanent("StageUnknown", "the stage asks no model".to_owned()))?;
    let prompt = Prompt::parse(name, file(job, "PromptMissing", name)?)?;
    let batch: BatchDocument = parsed("the batch document", &stored.batch(&job.assignment.batch.input).await?)?;
    let mut stages: BTreeMap<String, Value> = BTreeMap::new();
    for (name, reference) in &job.assignment.stages {
        stages.insert(name.clone(), stored.read(&format!("the output of stage {name}"), reference).await?);
    }
    let feedback = feedback(job, stored).await?;
    let track =
        TrackContext { name: job.revision.track.clone(), audience: job.revision.audience.clone(), vars: stage.vars.clone() };
    let rendered = prompt.render(&PromptContext {
        track: &track,
        batch: &batch.batch,
        events: &batch.events,
        context: &BTreeMap::new(),
        stages: &stages,
        feedback: feedback.as_ref(),
    })?;
    check_size(name, &rendered)?;
    Ok(Prepared { batch, feedback, prompt_sha256: prompt.sha256().to_owned(), rendered })
}

/// The file the revision calls `name`.
pub(crate) fn file<'a>(job: &'a AttemptJob, reason: &'static str, name: &str) -> Step<&'a str> {
    job.files.get(name).map(String::as_str).ok_or_else(|| {
        let message =
            format!("revision {} names {name} and does not hold it: its ConfigMap was changed", job.assignment.revision);
        Failure::permanent(reason, message)
    })
}

/// The verdict on the attempt before, in full: what made this attempt.
async fn feedback(job: &AttemptJob, stored: &Stored<'_>) -> Step<Option<Feedback>> {
    let Some(before) = job.assignment.attempt.checked_sub(1).filter(|before| *before > 0) else { return Ok(None) };
    let Some(name) = stored.of_attempt(before, NameKind::Verdict).await? else {
        let message = format!("the verdict on attempt {before} of stage {} is not in the payload store", job.assignment.stage);
        return Err(Failure::new(ErrorClass::Infrastructure, "PayloadNotFound", message));
    };
    let verdict: StoredVerdict = stored.read(&format!("the verdict on attempt {before}"), &name.reference).await?;
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
