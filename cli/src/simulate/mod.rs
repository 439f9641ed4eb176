//! `simulate`: a Track on a batch, on this machine. The planner and the worker are the cluster's own; what is not here is
//! Kubernetes and NATS.

mod engine;
mod inputs;
mod pods;

pub use engine::{Outfit, Simulated, simulate};

use crate::{
    args::SimulateArgs,
    exit::Outcome,
    payloads::Payloads,
    screen::{Format, Screen},
    tree::{Found, Picture, TreeInput, TreeStyle, Wanted, render_tree},
};
use anyhow::{Context, anyhow};
use engine::NAMESPACE;
use inputs::Inputs;
use jiff::Timestamp;
use std::{fs, path::Path};
use tempfile::TempDir;
use trackway_crds::status::Phase;
use trackway_store::PayloadStore;
use trackway_worker::{Access, Models};

pub(crate) async fn run(args: &SimulateArgs, screen: &mut Screen) -> anyhow::Result<Outcome> {
    let inputs = match Inputs::read(args)? {
        Ok(inputs) => inputs,
        Err(report) => {
            screen.say(&report.for_people(screen.style))?;
            return Ok(Outcome::Bad);
        }
    };
    let folder = Folder::open(args.keep.as_deref())?;
    let store = PayloadStore::open(&folder.url()?, None)?;
    let mut failed = false;
    for resolved in &inputs.tracks {
        let access = Access { api_key: args.llm_key.as_ref().map(|key| key.expose().into()), ca_bundle_pem: None };
        let models = Models::new(move |_, _| access.clone());
        let outfit =
            Outfit { store: store.clone(), models, containers: inputs.containers.clone(), answers: inputs.answers.clone() };
        let simulated = simulate(resolved, &inputs.batch, outfit, |note| screen.note(note)).await?;
        failed |= simulated.run.status.as_ref().and_then(|status| status.phase) != Some(Phase::Succeeded);
        show(&simulated, &store, args, screen).await?;
    }
    if args.keep.is_some() {
        screen.note(&format!("kept: {}", folder.path().display()));
    }
    Ok(Outcome::good_if(!failed))
}

async fn show(simulated: &Simulated, store: &PayloadStore, args: &SimulateArgs, screen: &mut Screen) -> anyhow::Result<()> {
    let Simulated { run, revision } = simulated;
    let payloads = Payloads::of(store, NAMESPACE, run)?;
    let wanted = if args.all { Wanted::All } else { Wanted::Short };
    let (found, error) = Found::gather(&payloads, run, Some(revision), wanted).await;
    if let Some(error) = error {
        screen.note(&format!("without some of what the payloads tell: {error:#}"));
    }
    let input = TreeInput { run, revision: Some(revision), waiting: None, found: Some(&found), now: Timestamp::now() };
    match screen.format {
        Format::People => {
            let style = TreeStyle { style: screen.style, all: args.all, wide: args.wide, offline: true };
            screen.say(&format!("\n{}", render_tree(&input, style)))
        }
        format => screen.data(format, &Picture::of(&input)),
    }
}

/// Where payloads go: a folder that is kept, or one that goes with the command.
enum Folder {
    Kept(std::path::PathBuf),
    Passing(TempDir),
}

impl Folder {
    fn open(keep: Option<&Path>) -> anyhow::Result<Self> {
        match keep {
            Some(path) => {
                fs::create_dir_all(path).with_context(|| format!("cannot make folder {}", path.display()))?;
                let path = path.canonicalize().with_context(|| format!("cannot use folder {}", path.display()))?;
                Ok(Self::Kept(path))
            }
            None => Ok(Self::Passing(TempDir::new().context("cannot make a folder for payloads")?)),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Passing(folder) => folder.path(),
        }
    }

    fn url(&self) -> anyhow::Result<String> {
        let path = self.path().to_str().ok_or_else(|| anyhow!("folder {} has no name in UTF-8", self.path().display()))?;
        Ok(format!("file://{path}"))
    }
}
