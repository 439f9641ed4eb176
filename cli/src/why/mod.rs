//! `why`: what went wrong, in the order one would ask.

mod target;
mod text;

pub use target::explain_target;
pub use text::{Why, explain};

use crate::{
    args::{Global, WhyArgs},
    cluster::Cluster,
    diagnosis::DiagnosisView,
    exit::Outcome,
    payloads::Payloads,
    reach::{Reach, soon},
    screen::{Format, Screen},
    tree::{Found, Picture, StagePicture, TargetPhase, TargetPicture, TreeInput, keys},
};
use anyhow::{anyhow, bail};
use jiff::Timestamp;
use trackway_crds::{
    BatchRun,
    contracts::Revision,
    status::{Phase, StageStatus},
};

pub(crate) async fn run(global: &Global, args: &WhyArgs, screen: &mut Screen) -> anyhow::Result<Outcome> {
    let cluster = Cluster::connect(global).await?;
    let run = cluster.run(&args.run).await?;
    let status = run.status.clone().unwrap_or_default();
    let revision = cluster.revision(&status).await?;
    if let Some((stage, target)) = args.stage.as_deref().and_then(|asked| asked.split_once('/')) {
        return one_target(&cluster, &run, revision.as_ref(), (stage, target), args, screen).await;
    }
    let waiting = if status.stages.is_empty() { cluster.track_complaint(&run.spec.track_ref.name).await? } else { None };
    let picture = picture_of(&run, revision.as_ref(), waiting.as_deref(), &Found::default());
    if let Some(name) = &args.stage {
        stage_of(&picture, name)?;
    }
    let diagnosis = diagnosis(&cluster, &run, args, screen).await;
    match screen.format {
        Format::People => {
            let why = Why { picture: &picture, revision: revision.as_ref(), diagnosis: diagnosis.as_ref() };
            screen.say(&explain(&why, args.stage.as_deref(), screen.style))?;
        }
        format => screen.data(format, &picture)?,
    }
    Ok(Outcome::good_if(status.phase != Some(Phase::Failed)))
}

fn picture_of(run: &BatchRun, revision: Option<&Revision>, waiting: Option<&str>, found: &Found) -> Picture {
    Picture::of(&TreeInput { run, revision, waiting, found: Some(found), now: Timestamp::now() })
}

fn stage_of<'a>(picture: &'a Picture, name: &str) -> anyhow::Result<&'a StagePicture> {
    picture.stages.iter().find(|stage| stage.name == name).ok_or_else(|| {
        let names: Vec<_> = picture.stages.iter().map(|stage| stage.name.as_str()).collect();
        anyhow!("run {} has no stage {name}; it has {}", picture.run, names.join(", "))
    })
}

/// The diagnosis, with its quotes where the payload store can be read.
async fn diagnosis(cluster: &Cluster, run: &BatchRun, args: &WhyArgs, screen: &mut Screen) -> Option<DiagnosisView> {
    let diagnosis = run.status.as_ref()?.diagnosis.as_ref()?;
    let whole = async {
        let reach = Reach::store_soon(cluster, &args.reach).await?;
        DiagnosisView::whole(&Payloads::of(&reach.store, &cluster.namespace, run)?, diagnosis).await
    };
    match soon(whole).await {
        Ok(whole) => Some(whole),
        Err(error) => {
            screen.note(&format!("without what the payload store would add: {error:#}"));
            Some(diagnosis.into())
        }
    }
}

async fn one_target(
    cluster: &Cluster,
    run: &BatchRun,
    revision: Option<&Revision>,
    (stage, target): (&str, &str),
    args: &WhyArgs,
    screen: &mut Screen,
) -> anyhow::Result<Outcome> {
    let bare = picture_of(run, revision, None, &Found::default());
    stage_of(&bare, stage)?;
    let stages = run.status.as_ref().map(|status| status.stages.as_slice()).unwrap_or_default();
    let Some(begun) = stages.iter().find(|begun| begun.name == stage && begun.targets.is_some()) else {
        bail!("stage {stage} of run {} has no targets (yet): it is no fan-out, or has not begun", bare.run);
    };
    let found = match soon(look(cluster, run, revision, begun, target, args)).await {
        Ok(found) => found,
        Err(error) => {
            screen.note(&format!("without what the payload store would add: {error:#}"));
            Found::default()
        }
    };
    let picture = picture_of(run, revision, None, &found);
    let stage = stage_of(&picture, stage)?;
    let target = target_of(&picture, stage, target)?;
    match screen.format {
        Format::People => screen.say(&explain_target(&picture.run, stage, target, screen.style))?,
        format => screen.data(format, target)?,
    }
    Ok(Outcome::good_if(target.phase != TargetPhase::Failed))
}

/// Keys, and the verdicts of the target that is meant.
async fn look(
    cluster: &Cluster,
    run: &BatchRun,
    revision: Option<&Revision>,
    stage: &StageStatus,
    target: &str,
    args: &WhyArgs,
) -> anyhow::Result<Found> {
    let reach = Reach::store_soon(cluster, &args.reach).await?;
    let payloads = Payloads::of(&reach.store, &cluster.namespace, run)?;
    let mut found = Found::default();
    found.keys.extend(keys(&payloads, run, stage, revision).await?.map(|keys| (stage.name.clone(), keys)));
    let picture = picture_of(run, revision, None, &found);
    let index = target_of(&picture, stage_of(&picture, &stage.name)?, target)?.index;
    found.add_target(&payloads, stage, index).await?;
    Ok(found)
}

/// The target that `name`, a key or an index, means.
fn target_of<'a>(picture: &Picture, stage: &'a StagePicture, name: &str) -> anyhow::Result<&'a TargetPicture> {
    let targets = stage.targets.as_ref();
    targets.and_then(|targets| targets.named(name)).ok_or_else(|| {
        let total = targets.map_or(0, |targets| targets.total);
        anyhow!(
            "stage {} has {total} targets, and none with key or index {name}: kubectl trackway tree {} --all shows them",
            stage.name,
            picture.run
        )
    })
}
