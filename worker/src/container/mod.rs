//! Stages that run a program of the user's, which gets no credentials: what it needs is fetched before it, and what it leaves is
//! reported after it.
//!
//! ```text
//! fetch:   load batch, earlier outputs, feedback ─▶ create name `input` ─▶ input.json
//! (the program: input.json ─▶ output.json)
//! report:  name `output` there? adopt : read output.json, check it, store, create name `output`
//!    ─▶ judge and record as any other stage ─▶ StageResult
//! ```

mod asked;
mod document;
mod folder;

use std::path::Path;

use jiff::Timestamp;
use trackway_crds::contracts::{
    CONTRACT, ErrorClass, NameKind, Reference, ResolvedStage, ResolvedWork, StageInput, StageResult, StoredVerdict,
};
use trackway_store::PayloadStore;

use crate::{
    AttemptJob, Outside,
    attempt::{Made, adopted, judge_output, kept, stage_of},
    calls::Calls,
    conclude::conclude,
    context::answers,
    failure::{Failure, Step},
    generate::OutputShape,
    job::{Env, Task},
    load::{Loaded, context_of, feedback, load},
    report::Report,
    stored::Stored,
};
use asked::asked;
use document::Document;
use folder::Folder;

/// Writes `input.json` into `folder` for the program of `job`'s stage. `Some` is the result of a try that ends here: the program
/// must not run.
pub async fn fetch(
    job: &AttemptJob,
    store: &PayloadStore,
    outside: &Outside<'_>,
    clock: fn() -> Timestamp,
    folder: &Path,
) -> Option<StageResult> {
    let env = Env { store, outside, clock };
    let task = Task::of(job);
    let fetched = async {
        let started = Started::read(task, env).await?;
        started.claim_input().await?;
        Folder(folder).write_input(&started.document.bytes)
    };
    match fetched.await {
        Ok(()) => None,
        Err(failure) => Some(conclude(task, env, Report::default(), Err(failure)).await),
    }
}

/// Takes the `output.json` that the program of `job`'s stage left in `folder` to a result. Never fails: what goes wrong is a
/// result of phase `Error`. Safe to run again and beside itself: an output that is stored already is adopted.
pub async fn report(
    job: &AttemptJob,
    store: &PayloadStore,
    outside: &Outside<'_>,
    clock: fn() -> Timestamp,
    folder: &Path,
) -> StageResult {
    let env = Env { store, outside, clock };
    let task = Task::of(job);
    let mut report = Report::default();
    let outcome = run(task, env, Folder(folder), &mut report).await;
    conclude(task, env, report, outcome).await
}

/// The failure of a stage that runs a program, where none can be run.
pub(crate) fn not_here(stage: &ResolvedStage) -> Failure {
    let message = format!(
        "stage {} runs a program in a container; its pod does `trackway-worker fetch` before and `trackway-worker report` after it. \
         Without a cluster it cannot be run",
        stage.name
    );
    Failure::permanent("ContainerNeeded", message)
}

/// What both halves begin with: the same for both, so that they speak of one request.
struct Started<'a> {
    task: Task<'a>,
    stage: &'a ResolvedStage,
    stored: Stored<'a>,
    loaded: Loaded,
    document: Document,
    hash: String,
}

impl<'a> Started<'a> {
    async fn read(task: Task<'a>, env: Env<'a>) -> Step<Self> {
        let job = task.job;
        let stage = stage_of(job)?;
        if !matches!(stage.work, ResolvedWork::Container { .. }) {
            return Err(Failure::permanent("StageUnknown", format!("stage {} runs no program", stage.name)));
        }
        let stored = Stored::new(env.store, task)?;
        let mut loaded = load(job, env.store).await?;
        loaded.context = Some(answers(job, env).await?);
        let feedback = feedback(task, &stored).await?;
        let context = context_of(task, &loaded, &stored).await?;
        let document = Document::of(job, stage, &loaded, feedback, context)?;
        let hash = document.request_hash(job, stage);
        Ok(Self { task, stage, stored, loaded, document, hash })
    }

    /// Puts on record what the program is given. Another request under this attempt's name ends the attempt.
    async fn claim_input(&self) -> Step<Reference> {
        let input = StageInput {
            contract: CONTRACT,
            batch: self.task.job.assignment.batch.input.clone(),
            stages: self.loaded.references.clone(),
            target: None,
            feedback: self.document.feedback.clone(),
            context: self.document.context.clone(),
            retrieved: Vec::new(),
            system: None,
            user: self.document.told(),
        };
        let reference = self.stored.put_json("the stage's input", &input).await?;
        self.stored.claim(NameKind::Input, reference, Some(&self.hash)).await
    }
}

async fn run(task: Task<'_>, env: Env<'_>, folder: Folder<'_>, report: &mut Report) -> Step<Option<StoredVerdict>> {
    let started = Started::read(task, env).await?;
    let Started { stage, stored, loaded, document, hash, .. } = &started;
    let shape = OutputShape::of(task.job, stage)?;
    let input = started.claim_input().await?;
    report.input = Some(input.clone());
    report.worked(folder.ran());
    let (output, reference) = match adopted(hash, stored).await? {
        Some(found) => found,
        None => {
            let output = folder.read_output()?;
            shape.check(&output).map_err(|fault| folder.invalid(&fault.for_people))?;
            kept(output, hash, stored).await?
        }
    };
    report.output = Some(reference.clone());
    shape.tell(&output, report)?;
    let asked = asked(stage, document);
    let prompt_sha256 = document.sha256();
    let made = Made { prompt_sha256: &prompt_sha256, asked: &asked, loaded, input, output: &output, reference };
    judge_output(stage, task, made, stored, &Calls::new(env, task), report).await
}

/// A fault of the program's, which running it again on the same input does not mend.
#[track_caller]
fn fault(reason: &'static str, message: String) -> Failure {
    Failure::new(ErrorClass::Permanent, reason, message)
}
