//! Explaining a failure.
//!
//! ```text
//! name `output` of the debugger there? adopt :
//!    gather named pieces ─▶ ask the model, one repair turn ─▶ drop quotes that are in no piece
//!    ─▶ put the continuation prompt together ─▶ create name `output`
//! ─▶ StageResult with the bounded diagnosis
//! ```
//!
//! The model reads texts of tenants and of other models. All of it is data to it: it has no tools, its answer has a fixed shape,
//! and what it quotes is looked up by us.

mod answer;
mod continuation;
mod evidence;
mod gather;
mod pieces;
mod question;

use std::collections::BTreeSet;

use trackway_crds::{
    contracts::{
        AttemptRecord, CONTRACT, Diagnosis, ErrorClass, Evidence, FailureAssignment, MAX_CAUSE_BYTES, MAX_CONTINUATION_BYTES,
        MAX_EVIDENCE, NameKind, Piece, Reference, ResolvedDebugger, StageInput, StageResult, StoredDiagnosis,
    },
    names::sha256_hex,
    text::cut,
};
use trackway_llm::Message;

use crate::{
    AttemptJob, Use,
    calls::{Calls, Taken},
    conclude::conclude,
    failure::{Failure, Step},
    job::{Env, Task},
    report::Report,
    stored::Stored,
};
use pieces::Pieces;

pub use question::DEBUGGER_INSTRUCTION;

const MAX_NAME_BYTES: usize = 64;
const MAX_MODEL_BYTES: usize = 128;

/// Explains the failure that `job` names, to its result. Never fails: what goes wrong is a result of phase `Error`. Safe to run
/// again and beside itself: a diagnosis that is stored already is adopted.
pub(crate) async fn debug(job: &AttemptJob, env: Env<'_>) -> StageResult {
    let mut report = Report::default();
    let task = Task::of(job);
    let outcome = run(task, env, &mut report).await;
    conclude(task, env, report, outcome.map(|()| None)).await
}

async fn run(task: Task<'_>, env: Env<'_>, report: &mut Report) -> Step<()> {
    let job = task.job;
    let revision = &job.assignment.revision;
    let failure = job.assignment.failure.as_ref().ok_or_else(|| {
        Failure::permanent(
            "FailureMissing",
            "the debugger was given no failure to explain: use operator and worker of one release",
        )
    })?;
    let debugger = job
        .revision
        .debugger
        .as_ref()
        .ok_or_else(|| Failure::permanent("DebuggerUnknown", format!("revision {revision} has no catch.debugger")))?;
    let stored = Stored::new(env.store, task)?;
    if let Some(named) = stored.named(&stored.name_of(task.part.attempt, NameKind::Output)).await? {
        tracing::info!("adopting the stored diagnosis");
        let diagnosis: StoredDiagnosis = stored.read("the stored diagnosis", &named.reference).await?;
        tell(&diagnosis, named.reference, report);
        return Ok(());
    }
    // Made before anything is read, so that the key is known wherever it turns up.
    env.outside.models.client(Use::Debug, &debugger.model)?;
    let pieces = gather::gather(job, failure, &stored, env).await?;
    let (input, messages) = store_input(job, &pieces, &stored).await?;
    report.input = Some(input.clone());
    let taken = ask(debugger, messages, &pieces, &Calls::new(env, task), report).await?;
    let diagnosis = diagnosis(job, failure, &pieces, taken, &stored, env).await?;
    let reference = stored.put_json("the diagnosis", &diagnosis).await?;
    let named = stored.claim(NameKind::Output, reference.clone(), None).await?;
    record(task, input, named.clone(), &stored, report).await?;
    if named == reference {
        tell(&diagnosis, named, report);
    } else {
        tracing::info!("another pod's diagnosis came first; adopting it");
        tell(&stored.read("the stored diagnosis", &named).await?, named, report);
    }
    Ok(())
}

/// Stores what the model is given.
async fn store_input(job: &AttemptJob, pieces: &Pieces, stored: &Stored<'_>) -> Step<(Reference, Vec<Message>)> {
    let user = question::question(&job.assignment, pieces);
    let input = StageInput {
        contract: CONTRACT,
        batch: job.assignment.batch.input.clone(),
        stages: job.assignment.stages.clone(),
        target: None,
        feedback: None,
        context: std::collections::BTreeMap::new(),
        retrieved: Vec::new(),
        system: Some(DEBUGGER_INSTRUCTION.to_owned()),
        user,
    };
    let messages = vec![Message::system(DEBUGGER_INSTRUCTION), Message::user(&input.user)];
    let reference = stored.put_json("the debugger's input", &input).await?;
    Ok((stored.claim(NameKind::Input, reference, None).await?, messages))
}

async fn ask(
    debugger: &ResolvedDebugger,
    messages: Vec<Message>,
    pieces: &Pieces,
    calls: &Calls<'_>,
    report: &mut Report,
) -> Step<Taken<answer::Read>> {
    let question = (messages, question::schema(pieces));
    let answer = calls.ask(Use::Debug, &debugger.model, question, report, answer::read).await?;
    answer.map_err(|fault| fault.failure(ErrorClass::Model))
}

/// The diagnosis as it is stored, with everything the model was shown.
async fn diagnosis(
    job: &AttemptJob,
    failure: &FailureAssignment,
    pieces: &Pieces,
    taken: Taken<answer::Read>,
    stored: &Stored<'_>,
    env: Env<'_>,
) -> Step<StoredDiagnosis> {
    let Taken { answer, call } = taken;
    let answer = answer.scrubbed(|text| env.outside.scrubbed(text));
    let (evidence, dropped_evidence) = evidence::sorted(answer.evidence, pieces);
    let mut shown = Vec::new();
    for piece in pieces.iter() {
        let reference = stored.put(piece.text.clone().into()).await?;
        shown.push(Piece { name: piece.name.clone(), reference });
    }
    let found = continuation::Found {
        root_cause: &answer.root_cause,
        suggested_fix: &answer.suggested_fix,
        continuation: &answer.continuation_prompt,
        evidence: &evidence,
    };
    Ok(StoredDiagnosis {
        contract: CONTRACT,
        continuation_prompt: env.outside.scrubbed(&continuation::prompt(job, failure, pieces, &found)),
        root_cause: answer.root_cause,
        suggested_fix: answer.suggested_fix,
        evidence,
        dropped_evidence,
        confidence: answer.confidence,
        pieces: shown,
        call,
    })
}

async fn record(task: Task<'_>, input: Reference, output: Reference, stored: &Stored<'_>, report: &mut Report) -> Step<()> {
    let record = AttemptRecord {
        contract: CONTRACT,
        stage: task.job.assignment.stage.clone(),
        attempt: task.part.attempt,
        try_: task.part.try_,
        revision: task.job.assignment.revision.clone(),
        prompt_sha256: sha256_hex(DEBUGGER_INSTRUCTION.as_bytes()),
        input,
        output,
        verdict: None,
        tokens: report.tokens.clone(),
        calls: report.calls.clone(),
    };
    let record = stored.put_json("the debugger's record", &record).await?;
    report.record = Some(stored.claim(NameKind::Record, record, None).await?);
    Ok(())
}

/// Puts the diagnosis into the result, cut to what a status holds.
fn tell(stored: &StoredDiagnosis, full: Reference, report: &mut Report) {
    let quoted: BTreeSet<&str> = stored.evidence.iter().map(|quote| quote.piece.as_str()).collect();
    let evidence = stored.pieces.iter().filter(|piece| quoted.contains(piece.name.as_str())).take(MAX_EVIDENCE).map(|piece| {
        let Reference { sha256, bytes } = piece.reference.clone();
        Evidence { piece: cut(&piece.name, MAX_NAME_BYTES), sha256, bytes }
    });
    let call = &stored.call;
    report.diagnosis = Some(Diagnosis {
        root_cause: cut(&stored.root_cause, MAX_CAUSE_BYTES),
        suggested_fix: cut(&stored.suggested_fix, MAX_CAUSE_BYTES),
        continuation_prompt: cut(&stored.continuation_prompt, MAX_CONTINUATION_BYTES),
        evidence: evidence.collect(),
        dropped_evidence: u32::try_from(stored.dropped_evidence.len()).unwrap_or(u32::MAX),
        confidence: stored.confidence,
        model: cut(call.model_answered.as_deref().unwrap_or(&call.model_asked), MAX_MODEL_BYTES),
        full: full.clone(),
    });
    report.output = Some(full);
}
