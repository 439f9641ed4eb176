//! `output`: what a stage wrote, was given, or was judged, from the payload store.

use crate::{
    args::{Global, OutputArgs},
    cluster::{Cluster, identity},
    exit::Outcome,
    reach::Reach,
    screen::{Format, Screen},
};
use anyhow::{Context, bail};
use serde_json::Value;
use trackway_crds::{
    BatchRun,
    contracts::{NameKind, StageInput, StoredVerdict},
    status::{StageStatus, Verdict},
};
use trackway_store::{Name, Scope};

pub(crate) async fn run(global: &Global, args: &OutputArgs, screen: &mut Screen) -> anyhow::Result<Outcome> {
    let cluster = Cluster::connect(global).await?;
    let run = cluster.run(&args.run).await?;
    let attempt = match args.attempt {
        Some(attempt) => attempt,
        None => default_attempt(stage_of(&run, args)?),
    };
    let kind = match (args.input, args.verdict, args.record) {
        (true, _, _) => NameKind::Input,
        (_, true, _) => NameKind::Verdict,
        (_, _, true) => NameKind::Record,
        _ => NameKind::Output,
    };
    let document = fetch(&cluster, &run, args, attempt, kind, screen).await?;
    match screen.format {
        Format::People => {
            let text = for_people(kind, &document)?;
            screen.say(&text)?;
        }
        format => screen.data(format, &document)?,
    }
    Ok(Outcome::Good)
}

async fn fetch(
    cluster: &Cluster,
    run: &BatchRun,
    args: &OutputArgs,
    attempt: u32,
    kind: NameKind,
    screen: &mut Screen,
) -> anyhow::Result<Value> {
    let reach = Reach::store(cluster, &args.reach, screen).await?;
    let scope = Scope::run(&cluster.namespace, identity(run)?.1)?;
    let name = Name { stage: args.stage.clone(), attempt, index: 0, kind };
    let Some(stored) = reach.store.get_name(&scope, &name).await? else {
        bail!(
            "attempt {attempt} of {} has no {} (yet): kubectl trackway tree {} --all shows the attempts there are",
            args.stage,
            kind.as_str(),
            args.run
        );
    };
    let bytes = reach.store.get_blob(&scope, &stored.reference).await?;
    serde_json::from_slice(&bytes).with_context(|| format!("the {} of attempt {attempt} is not JSON", kind.as_str()))
}

fn stage_of<'a>(run: &'a BatchRun, args: &OutputArgs) -> anyhow::Result<&'a StageStatus> {
    let stages = run.status.as_ref().map(|status| status.stages.as_slice()).unwrap_or_default();
    if let Some(stage) = stages.iter().find(|stage| stage.name == args.stage) {
        return Ok(stage);
    }
    let begun: Vec<_> = stages.iter().map(|stage| stage.name.as_str()).collect();
    let begun = if begun.is_empty() { "none".to_owned() } else { begun.join(", ") };
    bail!("stage {} of run {} has not begun, or there is none; begun: {begun}", args.stage, args.run)
}

/// The accepted attempt, else the last.
fn default_attempt(stage: &StageStatus) -> u32 {
    let accepted = stage.attempts.iter().find(|attempt| attempt.verdict == Some(Verdict::Advance));
    accepted.or(stage.attempts.last()).map_or(1, |attempt| attempt.attempt)
}

/// Texts as text, everything else as JSON.
fn for_people(kind: NameKind, document: &Value) -> anyhow::Result<String> {
    let json = || serde_json::to_string_pretty(document).map(|text| text + "\n").context("cannot write JSON");
    match kind {
        NameKind::Output => match document.as_object().filter(|object| object.len() == 1).and_then(|object| object.get("text")) {
            Some(Value::String(text)) => Ok(harmless(text)),
            _ => json(),
        },
        NameKind::Input => {
            // One of another version is shown as it is.
            let Ok(input) = serde_json::from_value::<StageInput>(document.clone()) else { return json() };
            let system = input.system.map(|system| format!("--- system\n{}", harmless(&system))).unwrap_or_default();
            Ok(format!("{system}--- user\n{}", harmless(&input.user)))
        }
        NameKind::Verdict => {
            let Ok(verdict) = serde_json::from_value::<StoredVerdict>(document.clone()) else { return json() };
            let dimensions =
                verdict.dimensions.iter().map(|one| format!("{}  {}: {}\n", one.score, one.name, harmless(&one.why).trim_end()));
            let dimensions: String = dimensions.collect();
            Ok(format!("{}  overall\n{dimensions}\n{}", verdict.score, harmless(&verdict.feedback)))
        }
        NameKind::Record | NameKind::Delivery => json(),
    }
}

/// A model's text with a line end, and without what could control a terminal.
fn harmless(text: &str) -> String {
    let mut text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}
