//! `tree`: a run as a picture.

mod notes;
mod picture;
mod text;

pub use picture::{AttemptPicture, Picture, StagePhase, StagePicture, TreeInput};
pub use text::TreeStyle;

pub(crate) use notes::one_line;

use crate::{
    args::{Global, TreeArgs},
    cluster::Cluster,
    exit::Outcome,
    screen::{Format, Screen},
};
use jiff::Timestamp;
use trackway_crds::status::Phase;

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
    let input = TreeInput { run: &run, revision: revision.as_ref(), waiting: waiting.as_deref(), now: Timestamp::now() };
    match screen.format {
        Format::People => {
            let style = TreeStyle { style: screen.style, all: args.all, wide: args.wide, offline: false };
            screen.say(&render_tree(&input, style))?;
        }
        format => screen.data(format, &Picture::of(&input))?,
    }
    Ok(Outcome::good_if(status.phase != Some(Phase::Failed)))
}
