//! NATS is away for a while in the middle of runs.

use crate::{Context, Outcome, Result, ensure, operator};
use kube::ResourceExt;
use serde_json::json;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use trackway_crds::{BatchRun, status::StagePhase};
use trackway_e2e::{HostOperator, Outline, Place, batch, place::StoreKind, soak, story, story::say};
use trackway_scripted_llm::When;

const TRACK: &str = "outage";
const RUNS: usize = 2;
/// How soon every run goes on once NATS is back.
const BACK_LIMIT: Duration = Duration::from_secs(10);

/// How long NATS is away. What takes longer to be noticed than the short one is told by the long one.
fn away() -> Duration {
    Duration::from_secs(if soak() { 30 } else { 12 })
}

fn generations(stage: &str) -> Result<When> {
    Ok(serde_json::from_value(json!({"kind": "generate", "headers": {"x-trackway-stage": stage}}))?)
}

async fn begin(place: &Place, name: &str) -> Result<BatchRun> {
    let batch = place.batch(&batch::document("outages1", 3)).await?;
    place.start(&format!("{TRACK}-{name}"), TRACK, batch).await
}

/// Attempts, scores, outputs and calls of a run.
fn course(place: &Place, run: &BatchRun) -> (Outline, BTreeMap<String, u64>) {
    (Outline::of(run), place.answered(run))
}

fn stages_done(run: &BatchRun) -> usize {
    let stages = run.status.iter().flat_map(|status| &status.stages);
    stages.filter(|stage| stage.phase == StagePhase::Succeeded).count()
}

/// With the payloads elsewhere, termination messages carry a run through the outage.
#[test]
fn with_an_s3_store_runs_advance_while_nats_is_away() -> Outcome {
    story("e2e-outage-s3", async {
        let place = Place::hosted("e2e-outage-s3", StoreKind::S3).await?;
        let _operator = HostOperator::start(operator(), &place, "operator", None)?;
        place.track(TRACK, &json!({})).await?;
        let undisturbed = place.until_succeeded(&begin(&place, "undisturbed").await?.name_any()).await?;

        let hold = place.llm.hold_next(generations("insights")?, 1);
        let name = begin(&place, "disturbed").await?.name_any();
        place.until_held(TRACK).await?;
        let nats = &place.hosted.as_ref().context("hosted")?.nats;
        nats.lock().await.stop().await?;
        place.llm.release(&hold);
        let gone = Instant::now();
        let run = place.until(&name, "advances a stage without NATS", away(), |run| stages_done(run) >= 1).await?;
        say(&format!("stages done {:.1} s after NATS went: {}", gone.elapsed().as_secs_f64(), stages_done(&run)));
        // The outage itself is what is told: there is no condition to wait for but the time.
        tokio::time::sleep(away().saturating_sub(gone.elapsed())).await;
        nats.lock().await.restart().await?;
        let run = place.until_succeeded(&name).await?;
        ensure!(course(&place, &run) == course(&place, &undisturbed), "another course: {:#?}", course(&place, &run));
        Ok(())
    })
}

/// With the payloads in NATS nothing can be done without it, and nothing is lost.
#[test]
fn with_nats_as_store_every_run_goes_on_when_it_returns() -> Outcome {
    story("e2e-outage-nats", async {
        let place = Place::hosted("e2e-outage-nats", StoreKind::Nats).await?;
        let _operator = HostOperator::start(operator(), &place, "operator", None)?;
        place.track(TRACK, &json!({})).await?;
        let undisturbed = place.until_succeeded(&begin(&place, "undisturbed").await?.name_any()).await?;

        let hold = place.llm.hold_next(generations("insights")?, RUNS as u64);
        let mut names = Vec::new();
        for number in 0..RUNS {
            names.push(begin(&place, &number.to_string()).await?.name_any());
        }
        place.llm.until_held(RUNS).await;
        let nats = &place.hosted.as_ref().context("hosted")?.nats;
        nats.lock().await.stop().await?;
        place.llm.release(&hold);
        // The outage itself is what is told: there is no condition to wait for but the time.
        tokio::time::sleep(away()).await;
        nats.lock().await.restart().await?;
        let back = Instant::now();
        for name in &names {
            let left = BACK_LIMIT.saturating_sub(back.elapsed());
            place.until(name, "goes on after NATS returned", left, |run| stages_done(run) >= 1).await?;
        }
        say(&format!("every run went on {:.1} s after NATS was back", back.elapsed().as_secs_f64()));
        for name in &names {
            let run = place.until_succeeded(name).await?;
            ensure!(course(&place, &run) == course(&place, &undisturbed), "another course: {:#?}", course(&place, &run));
        }
        Ok(())
    })
}
