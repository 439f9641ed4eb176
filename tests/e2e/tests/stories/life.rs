//! What people do to runs: hold them, let them go on, stop them, delete them, edit their Track meanwhile.

use crate::{Context, Outcome, Result, STEP, ensure};
use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap, core::v1::Pod};
use kube::{
    Api, Resource, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
    core::NamespaceResourceScope,
};
use serde::de::DeserializeOwned;
use serde_json::json;
use std::{fmt::Debug, time::Duration};
use trackway_crds::{BatchRun, status::Phase};
use trackway_e2e::{Place, place::phase, story};
use trackway_scripted_llm::When;
use trackway_test_support::until;

const NAMESPACE: &str = "e2e-life";

/// Answers of `kind` to runs of `track`.
fn calls(kind: &str, track: &str) -> Result<When> {
    Ok(serde_json::from_value(json!({"kind": kind, "headers": {"x-trackway-run-name": format!("{track}-*")}}))?)
}

fn of_run(run: &BatchRun) -> ListParams {
    ListParams::default().labels(&format!("trackway.dev/run={}", run.name_any()))
}

/// Waits until `run` has no object of this kind left.
async fn until_none<K>(api: Api<K>, run: &BatchRun) -> Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let what = format!("{} has no {} any more", run.name_any(), K::kind(&()));
    let none = || async { api.list(&of_run(run)).await.ok().filter(|found| found.items.is_empty()) };
    until(&what, STEP, none).await.map(drop)
}

#[test]
fn a_suspended_run_finishes_its_attempt_and_goes_on_when_resumed() -> Outcome {
    story(NAMESPACE, async {
        let place = Place::bound(NAMESPACE).await?;
        place.track("suspended", &json!({})).await?;
        let hold = place.llm.hold_next(calls("generate", "suspended")?, 1);
        let name = place.start_fresh("suspended").await?.name_any();
        place.until_held("suspended").await?;

        place.patch(&name, &json!({"spec": {"suspend": true}})).await?;
        place.llm.release(&hold);
        let run = place.until(&name, "is suspended", STEP, |run| phase(run) == Some(Phase::Suspended)).await?;
        let status = run.status.context("no status")?;
        ensure!(status.stages.len() == 1 && status.stages[0].output.is_some(), "the open attempt was not finished: {status:?}");

        place.patch(&name, &json!({"spec": {"suspend": false}})).await?;
        let run = place.until_succeeded(&name).await?;
        let paused = run.status.context("no status")?.stages[1].millis.paused;
        ensure!(paused > 0, "the pause is in no account");
        Ok(())
    })
}

#[test]
fn a_cancelled_run_stops_its_work_and_stays_cancelled() -> Outcome {
    story(NAMESPACE, async {
        let place = Place::bound(NAMESPACE).await?;
        place.track("cancelled", &json!({})).await?;
        place.llm.hold(calls("generate", "cancelled")?);
        let name = place.start_fresh("cancelled").await?.name_any();
        place.until_held("cancelled").await?;

        place.patch(&name, &json!({"spec": {"cancel": true}})).await?;
        let run = place.until(&name, "is cancelled", STEP, |run| phase(run) == Some(Phase::Cancelled)).await?;
        until_none(place.api::<Pod>(), &run).await?;
        let status = run.status.context("no status")?;
        let failed = status.conditions.iter().find(|condition| condition.type_ == "Failed").context("no condition Failed")?;
        ensure!(failed.status == "True" && failed.reason == "Cancelled", "{failed:?}");
        Ok(())
    })
}

#[test]
fn a_deleted_run_takes_its_jobs_and_pods_with_it() -> Outcome {
    story(NAMESPACE, async {
        let place = Place::bound(NAMESPACE).await?;
        place.track("deleted", &json!({})).await?;
        place.llm.hold(calls("generate", "deleted")?);
        let run = place.start_fresh("deleted").await?;
        place.until_held("deleted").await?;

        place.api::<BatchRun>().delete(&run.name_any(), &DeleteParams::background()).await?;
        until_none(place.api::<Job>(), &run).await?;
        until_none(place.api::<Pod>(), &run).await
    })
}

#[test]
fn inv05_a_finished_run_refuses_every_change() -> Outcome {
    story(NAMESPACE, async {
        let place = Place::bound(NAMESPACE).await?;
        place.track("finished", &json!({})).await?;
        let name = place.start_fresh("finished").await?.name_any();
        let before = place.until_succeeded(&name).await?;

        let api = place.api::<BatchRun>();
        let spec = Patch::Merge(json!({"spec": {"suspend": true}}));
        let refused = api.patch(&name, &PatchParams::default(), &spec).await;
        ensure!(refused.is_err_and(|error| error.to_string().contains("the run is finished")), "spec was changed");
        let status = Patch::Merge(json!({"status": {"activeMillis": 1}}));
        let refused = api.patch_status(&name, &PatchParams::default(), &status).await;
        ensure!(refused.is_err_and(|error| error.to_string().contains("the run is finished")), "status was changed");
        let after = api.get(&name).await?;
        ensure!((before.spec, before.status) == (after.spec, after.status), "it is another now");
        Ok(())
    })
}

#[test]
fn inv06_a_run_keeps_the_revision_it_started_with() -> Outcome {
    story(NAMESPACE, async {
        let place = Place::bound(NAMESPACE).await?;
        let track = place.track("edited", &json!({})).await?;
        let old = track.status.and_then(|status| status.revision).context("no revision")?;
        let hold = place.llm.hold_next(calls("generate", "edited")?, 1);
        let name = place.start_fresh("edited").await?.name_any();
        place.until_held("edited").await?;

        let prompts = Patch::Merge(json!({"data": {"summary.md": "Write a poem about {{ stages.plan.text }}"}}));
        place.api::<ConfigMap>().patch("edited-prompts", &PatchParams::default(), &prompts).await?;
        let renewed =
            |track: &trackway_crds::Track| track.status.as_ref().is_some_and(|status| status.revision.as_ref() != Some(&old));
        place.until_track("edited", "has a new revision", renewed).await?;
        place.llm.release(&hold);

        let run = place.until_succeeded(&name).await?;
        ensure!(
            run.status.as_ref().is_some_and(|status| status.revision.as_ref() == Some(&old)),
            "another revision: {:?}",
            run.status
        );
        let texts = trackway_e2e::references::fetch_all(&place, &run).await?;
        let texts: Vec<_> = texts.iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
        ensure!(
            texts.iter().any(|text| text.contains("Sum up:")) && !texts.iter().any(|text| text.contains("poem")),
            "the new prompt was used"
        );
        Ok(())
    })
}

/// Nothing waits for a model here, so nothing should take long.
#[test]
fn a_run_that_waits_for_its_track_starts_when_the_track_comes() -> Outcome {
    story(NAMESPACE, async {
        let place = Place::bound(NAMESPACE).await?;
        let name = place.start_fresh("late").await?.name_any();
        let waiting = place.until(&name, "is pending", STEP, |run| phase(run) == Some(Phase::Pending)).await?;
        let reconciling =
            waiting.status.iter().flat_map(|status| &status.conditions).find(|condition| condition.type_ == "Reconciling");
        ensure!(reconciling.is_some_and(|condition| condition.message.contains("there is no Track late")), "{reconciling:?}");
        place.track("late", &json!({})).await?;
        place.until(&name, "succeeded", Duration::from_secs(60), |run| phase(run) == Some(Phase::Succeeded)).await.map(drop)
    })
}
