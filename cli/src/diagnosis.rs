//! `diagnosis`: what the debugger found out about a failed run.

use crate::{
    args::{DiagnosisArgs, Global, ReachArgs},
    cluster::Cluster,
    exit::Outcome,
    label::{labelled, labelled_all},
    payloads::Payloads,
    reach::Reach,
    screen::{Colour, Format, Screen, Style},
    tree::{counted, one_line},
};
use anyhow::{Context, bail};
use jiff::Timestamp;
use serde::Serialize;
use trackway_crds::{
    BatchRun, BatchRunStatus, Score,
    contracts::{Diagnosis, StoredDiagnosis},
    duration::for_people,
    status::Phase,
};

/// Longest quotation of a piece.
const QUOTE_CHARS: usize = 200;

/// A diagnosis: all of it, or as much as the status holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DiagnosisView {
    /// Why the run failed.
    pub root_cause: String,
    /// What to change.
    pub suggested_fix: String,
    /// A prompt that is complete by itself; its beginning, where `whole` is false.
    pub continuation_prompt: String,
    /// What shows it.
    pub evidence: Vec<EvidenceView>,
    /// Quotes that were not in the piece they were said to be from.
    pub dropped_evidence: u32,
    /// How sure the model says it is.
    pub confidence: Score,
    /// The model that answered.
    pub model: String,
    /// Whether this is all of it; the status holds texts cut, and no quotes.
    pub whole: bool,
}

/// A payload that shows something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EvidenceView {
    /// What it is, for example `verdict of attempt 3`.
    pub piece: String,
    /// The words of it; `None` where only the status was read.
    pub quote: Option<String>,
}

impl From<&Diagnosis> for DiagnosisView {
    fn from(diagnosis: &Diagnosis) -> Self {
        let evidence = diagnosis.evidence.iter().map(|one| EvidenceView { piece: one.piece.clone(), quote: None });
        Self {
            root_cause: diagnosis.root_cause.clone(),
            suggested_fix: diagnosis.suggested_fix.clone(),
            continuation_prompt: diagnosis.continuation_prompt.clone(),
            evidence: evidence.collect(),
            dropped_evidence: diagnosis.dropped_evidence,
            confidence: diagnosis.confidence,
            model: diagnosis.model.clone(),
            whole: false,
        }
    }
}

impl From<StoredDiagnosis> for DiagnosisView {
    fn from(stored: StoredDiagnosis) -> Self {
        let evidence = stored.evidence.into_iter().map(|one| EvidenceView { piece: one.piece, quote: Some(one.quote) });
        Self {
            root_cause: stored.root_cause,
            suggested_fix: stored.suggested_fix,
            continuation_prompt: stored.continuation_prompt,
            evidence: evidence.collect(),
            dropped_evidence: u32::try_from(stored.dropped_evidence.len()).unwrap_or(u32::MAX),
            confidence: stored.confidence,
            model: stored.call.model_answered.unwrap_or(stored.call.model_asked),
            whole: true,
        }
    }
}

impl DiagnosisView {
    /// All of it, from the payload store.
    pub(crate) async fn whole(payloads: &Payloads, diagnosis: &Diagnosis) -> anyhow::Result<Self> {
        let stored: StoredDiagnosis = payloads.blob_as(&diagnosis.full).await?;
        Ok(stored.into())
    }
}

pub(crate) async fn run(global: &Global, args: &DiagnosisArgs, screen: &mut Screen) -> anyhow::Result<Outcome> {
    let cluster = Cluster::connect(global).await?;
    let run = cluster.run(&args.run).await?;
    let status = run.status.clone().unwrap_or_default();
    let Some(diagnosis) = &status.diagnosis else {
        bail!("{}", none(&args.run, &status, Timestamp::now()));
    };
    let view = match whole(&cluster, &run, diagnosis, &args.reach, screen).await {
        Ok(view) => view,
        Err(error) if args.prompt => {
            return Err(error).context("the whole prompt is in the payload store; status.diagnosis has its beginning");
        }
        Err(error) => {
            screen.note(&format!("texts may be cut, quotes are missing: {error:#}"));
            diagnosis.into()
        }
    };
    match screen.format {
        Format::People if args.prompt => screen.say(&as_lines(&view.continuation_prompt))?,
        Format::People => screen.say(&described(&args.run, &view, screen.style))?,
        format if args.prompt => screen.data(format, &view.continuation_prompt)?,
        format => screen.data(format, &view)?,
    }
    Ok(Outcome::Good)
}

async fn whole(
    cluster: &Cluster,
    run: &BatchRun,
    diagnosis: &Diagnosis,
    args: &ReachArgs,
    screen: &mut Screen,
) -> anyhow::Result<DiagnosisView> {
    let reach = Reach::store(cluster, args, screen).await?;
    DiagnosisView::whole(&Payloads::of(&reach.store, &cluster.namespace, run)?, diagnosis).await
}

/// Why there is no diagnosis.
#[must_use]
pub fn none(run: &str, status: &BatchRunStatus, now: Timestamp) -> String {
    let phase = status.phase.unwrap_or(Phase::Pending);
    let said = status.conditions.iter().find(|condition| condition.type_ == "Diagnosed" && condition.status != "True");
    match (phase, &status.catch, said) {
        (Phase::Diagnosing, Some(catch), _) => {
            let left = u64::try_from(catch.deadline_at.0.as_millisecond() - now.as_millisecond()).unwrap_or(0);
            format!("run {run} has no diagnosis yet: the debugger is at work, for at most {} more", for_people(left))
        }
        (Phase::Failed, _, Some(said)) => {
            format!(
                "run {run} has no diagnosis: {}: {}; kubectl trackway why {run} shows what is known",
                said.reason,
                one_line(&said.message)
            )
        }
        (Phase::Failed, _, None) => {
            format!("run {run} has no diagnosis: its Track has no catch.debugger; kubectl trackway why {run} shows what is known")
        }
        (phase, _, _) => format!("run {run} has no diagnosis, because it has not failed: it is {}", phase.as_str()),
    }
}

fn described(run: &str, view: &DiagnosisView, style: Style) -> String {
    let mut text = lines(view, style);
    let size = view.continuation_prompt.chars().count();
    let size = if view.whole { format!("{size} characters") } else { "cut here".to_owned() };
    text.push_str(&labelled("prompt", &format!("kubectl trackway diagnosis {run} --prompt   ({size}; complete by itself)")));
    text
}

/// Root cause, evidence, fix and how sure the model is, each under its label.
pub(crate) fn lines(view: &DiagnosisView, style: Style) -> String {
    let mut text = labelled("root cause", &style.paint(Colour::Strong, &one_line(&view.root_cause)));
    let evidence = view.evidence.iter().map(|one| match &one.quote {
        Some(quote) => format!("{}: \"{}\"", one_line(&one.piece), cut(&one_line(quote))),
        None => one_line(&one.piece),
    });
    text.push_str(&labelled_all("evidence", evidence));
    text.push_str(&labelled("fix", &one_line(&view.suggested_fix)));
    let dropped = match view.dropped_evidence {
        0 => String::new(),
        count => format!("; {} left out, not found in the piece named", counted(count, "quote")),
    };
    text.push_str(&labelled("confidence", &format!("{} by {}{dropped}", view.confidence, one_line(&view.model))));
    text
}

fn cut(text: &str) -> String {
    if text.chars().count() <= QUOTE_CHARS {
        text.to_owned()
    } else {
        text.chars().take(QUOTE_CHARS).chain("..".chars()).collect()
    }
}

/// The prompt as it goes into a clipboard: nothing that could control a terminal, and a line end.
fn as_lines(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    format!("{}\n", text.trim_end())
}
