//! A thousand finished runs, to see what they cost the operator: stored as they would be, without having been run.

use super::place::Place;
use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use trackway_crds::{BatchRun, batch_run::TrackRef};

const AT_ONCE: usize = 8;

/// Stores `count` copies of the finished `run`, of a Track that is not there, so that nobody begins them.
pub(crate) async fn of_finished(place: &Place, run: &BatchRun, count: u32, mark: &str) -> anyhow::Result<()> {
    let namespace = run.namespace().context("a run without namespace")?;
    let api = Api::<BatchRun>::namespaced(place.client.clone(), &namespace);
    let copies = (0..count).map(|number| {
        let mut spec = run.spec.clone();
        spec.track_ref = TrackRef { name: "nobody".into() };
        let api = api.clone();
        let status = Patch::Merge(json!({"status": run.status}));
        let copy = BatchRun::new(&format!("nobody-{mark}{number:04}"), spec);
        async move {
            let created = api.create(&PostParams::default(), &copy).await?;
            api.patch_status(&created.name_any(), &PatchParams::default(), &status).await
        }
    });
    stream::iter(copies).buffer_unordered(AT_ONCE).try_for_each(|_| std::future::ready(Ok(()))).await?;
    Ok(())
}
