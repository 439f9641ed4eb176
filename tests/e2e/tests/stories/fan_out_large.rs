//! Fan-outs of hundreds of targets, with an operator that is killed meanwhile.

use crate::{Context, Outcome, Result, ensure, operator};
use futures::TryStreamExt;
use kube::{ResourceExt, runtime::watcher};
use serde_json::{Value, json};
use std::{pin::pin, time::Duration};
use trackway_crds::{
    BatchRun,
    ledger::TargetState,
    status::{MAX_STATUS_BYTES, Phase},
};
use trackway_e2e::{
    HostOperator, Place,
    fan::{done, ledger, targets},
    place::{StoreKind, phase},
    soak, story,
    story::say,
};

const TRACK: &str = "large";
/// How often the operator is killed.
const KILLS: u32 = 3;
const LIMIT: Duration = Duration::from_secs(900);

fn rules(count: u32, failing: &str) -> String {
    format!(
        "- {{name: many, when: {{kind: generate, headers: {{x-trackway-stage: list}}}}, then: {{targets: {count}}}}}\n\
         - {{name: thin, when: {{kind: judge, headers: {{x-trackway-stage: notices}}, {failing}}}, then: {{scores: {{'*': 0.5}}, feedback: More.}}}}\n"
    )
}

/// Follows a run until it has ended; the largest its stored status has been, as JSON.
async fn largest(place: &Place, name: &str) -> Result<usize> {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = pin!(watcher::watcher(place.api::<BatchRun>(), config));
    let mut most = 0;
    while let Some(event) = events.try_next().await? {
        if let watcher::Event::Apply(run) | watcher::Event::InitApply(run) = event {
            most = most.max(serde_json::to_vec(&run.status)?.len());
            if phase(&run).is_some_and(Phase::is_finished) {
                return Ok(most);
            }
        }
    }
    anyhow::bail!("the watch ended before the run")
}

/// Kills the operator whenever another quarter of the targets is done, and starts the next.
async fn killed_on_the_way(place: &Place, name: &str, total: u32) -> Result<()> {
    let mut operator_now = HostOperator::start(operator(), place, "first", None)?;
    place.fan_out_track(TRACK, &wide(), &json!({})).await?;
    for kill in 1..=KILLS {
        let least = total * kill / (KILLS + 1);
        let run = place.until(name, "another quarter of the targets is done", LIMIT, |run| done(run) >= least).await?;
        say(&format!("kill {kill} with {} of {total} targets done", done(&run)));
        operator_now.kill().await?;
        operator_now = HostOperator::start(operator(), place, &format!("heir-{kill}"), None)?;
    }
    place.until(name, "has ended", LIMIT, |run| phase(run).is_some_and(Phase::is_finished)).await?;
    operator_now.kill().await
}

fn wide() -> Value {
    json!({"forEach": {"maxConcurrency": 256, "targetsPerPod": 32}, "retry": {"quality": {"maxAttempts": 5}}})
}

/// 200 targets (soak: 1,000) of which a third needs two attempts (soak: all need five).
#[test]
fn inv04_an_operator_killed_amid_many_targets_loses_none_and_keeps_the_status_bounded() -> Outcome {
    let namespace = "e2e-fan-large";
    story(namespace, async {
        let place = Place::hosted(namespace, StoreKind::Nats).await?;
        let (total, retries) = if soak() { (1000, 4000) } else { (200, 60) };
        let failing: Vec<String> = if soak() {
            (1..=4).map(|attempt| format!("attempt: {attempt}")).collect()
        } else {
            vec!["attempt: 1, share: 0.3".to_owned()]
        };
        place.rules(&failing.iter().map(|one| rules(total, one)).collect::<String>())?;
        let batch = place.batch(&trackway_e2e::batch::document("large001", 3)).await?;
        let run = place.start(&format!("{TRACK}-{}", trackway_e2e::batch::fresh_id()), TRACK, batch).await?;
        let name = run.name_any();
        let (most, ()) = tokio::try_join!(largest(&place, &name), killed_on_the_way(&place, &name, total))?;

        let run = place.until_succeeded(&name).await?;
        let all = targets(&run)?;
        ensure!((all.total, all.succeeded, all.failed, all.retries) == (total, total, 0, retries), "{all:?}");
        ensure!(ledger(&run)?.0.iter().all(|target| target.state == TargetState::Succeeded), "not all succeeded");
        let asked = place.asked(&run);
        let twice: Vec<_> = asked.iter().filter(|(_, counts)| counts.1 != 1).collect();
        ensure!(twice.is_empty(), "generated more or less than once: {twice:?}");
        ensure!(asked.len() == usize::try_from(total + retries)?, "{} generations", asked.len());
        ensure!(most <= MAX_STATUS_BYTES, "the status has been {most} bytes");
        let output = place.fan_out_output(&run).await.context("the output of all targets")?;
        ensure!(output.items.len() == usize::try_from(total)?, "{} items", output.items.len());
        let status = run.status.context("no status")?;
        say(&format!(
            "{total} targets, {retries} retries, {KILLS} kills: the status was at most {most} bytes; {:?}",
            status.summary
        ));
        Ok(())
    })
}
