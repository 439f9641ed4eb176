//! `tree`: a run as a picture.

mod found;
mod notes;
mod picture;
mod rows;
mod targets;
mod text;

pub use found::{Approvals, Found};
pub use picture::{AttemptPicture, Picture, StagePhase, StagePicture, TreeInput, WorkKind};
pub use targets::{TargetAttempt, TargetPhase, TargetPicture, TargetsPicture};
pub use text::TreeStyle;

pub(crate) use found::{Wanted, keys, worth_asking};
pub(crate) use notes::{counted, one_line};
pub(crate) use rows::target_note;

use crate::{
    args::{Global, ReachArgs, TreeArgs},
    cluster::Cluster,
    exit::Outcome,
    payloads::Payloads,
    reach::{Reach, soon},
    screen::{Format, Screen},
};
use jiff::Timestamp;
use trackway_crds::{BatchRun, contracts::Revision, status::Phase};

/// The whole picture as text. Pure.
#[must_use]
pub fn render_tree(input: &TreeInput<'_>, style: TreeStyle) -> String {
    text::render(&Picture::of(input), style)
}

pub(crate) async fn run(global: &Global, args: &TreeArgs, screen: &mut Screen) -> anyhow::Result<Outcome> {
    let cluster = Cluster::connect(global).await?;
    let run = cluster.run(&args.run).await?;
    let status = run.status.clone().unwrap_or_default();
    let revision = cluster.revision(&status).await?;
    let pending = !status.phase.is_some_and(|phase| phase != Phase::Pending);
    let waiting = if pending { cluster.track_complaint(&run.spec.track_ref.name).await? } else { None };
    let wanted = if args.all { Wanted::All } else { Wanted::Short };
    let found = look(&cluster, &run, revision.as_ref(), wanted, &args.reach, screen).await;
    let input = TreeInput {
        run: &run,
        revision: revision.as_ref(),
        waiting: waiting.as_deref(),
        found: Some(&found),
        now: Timestamp::now(),
    };
    match screen.format {
        Format::People => {
            let style = TreeStyle { style: screen.style, all: args.all, wide: args.wide, offline: false };
            screen.say(&render_tree(&input, style))?;
        }
        format => screen.data(format, &Picture::of(&input))?,
    }
    Ok(Outcome::good_if(status.phase != Some(Phase::Failed)))
}

/// What the payload store adds; nothing, and a word about it, when it is out of reach.
async fn look(
    cluster: &Cluster,
    run: &BatchRun,
    revision: Option<&Revision>,
    wanted: Wanted,
    reach: &ReachArgs,
    screen: &mut Screen,
) -> Found {
    if !worth_asking(run, revision, wanted) {
        return Found::default();
    }
    let gathered = async {
        let reach = Reach::store_soon(cluster, reach).await?;
        let payloads = Payloads::of(&reach.store, &cluster.namespace, run)?;
        anyhow::Ok(Found::gather(&payloads, run, revision, wanted).await)
    };
    let (found, error) = soon(gathered).await.unwrap_or_else(|error| (Found::default(), Some(error)));
    if let Some(error) = error {
        screen.note(&format!("without what the payload store would add: {error:#}"));
    }
    found
}
