//! `output`: what a stage or a target wrote, was given, or was judged, from the payload store.

mod composed;
mod show;

use crate::{
    args::{Global, OutputArgs},
    cluster::Cluster,
    exit::Outcome,
    payloads::{Document, Payloads},
    reach::Reach,
    screen::{Format, Screen},
    tree::keys,
};
use anyhow::{anyhow, bail};
use serde_json::Value;
use trackway_crds::{
    BatchRun,
    contracts::{NameKind, Revision},
    ledger::Ledger,
    status::{StageStatus, TargetsStatus, Verdict},
};

pub(crate) async fn run(global: &Global, args: &OutputArgs, screen: &mut Screen) -> anyhow::Result<Outcome> {
    let cluster = Cluster::connect(global).await?;
    let run = cluster.run(&args.run).await?;
    let revision = cluster.revision(&run.status.clone().unwrap_or_default()).await?;
    let kind = match (args.input, args.verdict, args.record) {
        (true, _, _) => NameKind::Input,
        (_, true, _) => NameKind::Verdict,
        (_, _, true) => NameKind::Record,
        _ => NameKind::Output,
    };
    let wanted = Wanted::of(&run, args)?;
    let reach = Reach::store(&cluster, &args.reach, screen).await?;
    let payloads = Payloads::of(&reach.store, &cluster.namespace, &run)?;
    let document = wanted.fetch(&payloads, &run, revision.as_ref(), kind, args.attempt).await?;
    match screen.format {
        Format::People => screen.say(&show::for_people(kind, &document)?)?,
        format => screen.data(format, &document)?,
    }
    Ok(Outcome::Good)
}

/// Whose document is wanted.
struct Wanted<'a> {
    run: &'a str,
    stage: &'a StageStatus,
    /// Key or index.
    target: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    fn of(run: &'a BatchRun, args: &'a OutputArgs) -> anyhow::Result<Self> {
        let (name, target) = match args.stage.split_once('/') {
            Some((stage, target)) => (stage, Some(target)),
            None => (args.stage.as_str(), None),
        };
        let stages = run.status.as_ref().map(|status| status.stages.as_slice()).unwrap_or_default();
        let Some(stage) = stages.iter().find(|stage| stage.name == name) else {
            let begun: Vec<_> = stages.iter().map(|stage| stage.name.as_str()).collect();
            let begun = if begun.is_empty() { "none".to_owned() } else { begun.join(", ") };
            bail!("stage {name} of run {} has not begun, or there is none; begun: {begun}", args.run);
        };
        if target.is_some() && stage.targets.is_none() {
            bail!("stage {name} is no fan-out, so it has no targets: say {name} alone");
        }
        Ok(Self { run: &args.run, stage, target })
    }

    async fn fetch(
        &self,
        payloads: &Payloads,
        run: &BatchRun,
        revision: Option<&Revision>,
        kind: NameKind,
        attempt: Option<u32>,
    ) -> anyhow::Result<Value> {
        let name = &self.stage.name;
        let (index, attempt) = match (&self.stage.targets, self.target) {
            (None, _) => (0, attempt.unwrap_or_else(|| default_attempt(self.stage))),
            (Some(targets), Some(target)) => {
                let index = self.index(payloads, run, revision, targets, target).await?;
                (index, attempt.map_or_else(|| last_attempt(targets, index), Ok)?)
            }
            (Some(targets), None) if kind == NameKind::Output && attempt.is_none() => {
                return composed::output(payloads, run, revision, self.stage, targets).await;
            }
            (Some(_), None) => bail!(
                "stage {name} is a fan-out: each of its targets has its own {} and attempts; say {name}/KEY or {name}/INDEX",
                kind.as_str()
            ),
        };
        let document = payloads.named(Document { stage: name, attempt, index, kind }).await?;
        document.ok_or_else(|| {
            let target = self.target.map(|target| format!("/{target}")).unwrap_or_default();
            anyhow!(
                "attempt {attempt} of {name}{target} has no {} (yet): kubectl trackway tree {} --all shows the attempts there are",
                kind.as_str(),
                self.run
            )
        })
    }

    /// The index of the target with this key, else with this index.
    async fn index(
        &self,
        payloads: &Payloads,
        run: &BatchRun,
        revision: Option<&Revision>,
        targets: &TargetsStatus,
        target: &str,
    ) -> anyhow::Result<u32> {
        let keys = keys(payloads, run, self.stage, revision).await?.unwrap_or_default();
        let by_key = keys.iter().position(|key| key == target).and_then(|index| u32::try_from(index).ok());
        let by_index = || target.parse().ok().filter(|index| *index < targets.total);
        by_key.or_else(by_index).ok_or_else(|| {
            let (name, total) = (&self.stage.name, targets.total);
            anyhow!(
                "stage {name} has {total} targets, and none with key or index {target}: kubectl trackway tree {} --all shows them",
                self.run
            )
        })
    }
}

/// The accepted attempt, else the last.
fn default_attempt(stage: &StageStatus) -> u32 {
    let accepted = stage.attempts.iter().find(|attempt| attempt.verdict == Some(Verdict::Advance));
    accepted.or(stage.attempts.last()).map_or(1, |attempt| attempt.attempt)
}

/// The attempt a target was accepted with, else its last.
fn last_attempt(targets: &TargetsStatus, index: u32) -> anyhow::Result<u32> {
    let ledger = Ledger::decode(&targets.ledger)?;
    let target = usize::try_from(index).ok().and_then(|index| ledger.0.get(index).copied());
    target.map(|target| target.attempt).ok_or_else(|| anyhow!("the ledger has no target {index}: say --attempt"))
}
