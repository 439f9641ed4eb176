//! The operator is killed at its k-th write to the API, and another takes over.

use crate::{Context, Outcome, Result, STEP, ensure, operator};
use futures::{StreamExt, TryStreamExt, stream};
use kube::ResourceExt;
use serde_json::json;
use std::collections::BTreeMap;
use trackway_crds::BatchRun;
use trackway_e2e::{
    HostOperator, Outline, Place,
    audit::writes,
    batch,
    operator::{KILLED, Kill, Mode},
    place::StoreKind,
    story,
    story::say,
};

/// Kills in all, and worlds in which they happen beside each other.
const KILLS: usize = 20;
const WORLDS: usize = 4;
const TRACK: &str = "crash";
const RULES: &str = "
- name: the first insights are too general
  when: {kind: judge, headers: {x-trackway-stage: insights}, attempt: 1}
  then: {scores: {relevance: 0.4, '*': 0.8}, feedback: Name the events.}
";

/// What a run came to: what is in its status, and what the model was asked.
#[derive(Debug, PartialEq)]
struct Course {
    outline: Outline,
    calls: BTreeMap<String, u64>,
}

#[test]
fn inv01_an_operator_killed_at_any_write_changes_nothing_of_a_run() -> Outcome {
    story("e2e-crash-0", async {
        let worlds: Vec<Place> = stream::iter(0..WORLDS).then(world).try_collect().await?;
        let (expected, most) = undisturbed(&worlds[0]).await?;
        let kills = drawn(most)?;
        say(&format!("an undisturbed run takes {most} writes"));
        let shares = worlds.iter().enumerate().map(|(share, place)| {
            let own: Vec<Kill> = kills.iter().copied().skip(share).step_by(WORLDS).collect();
            killed(place, own, &expected)
        });
        futures::future::try_join_all(shares).await?;
        say(&format!("{} kills, {} worlds: every run took the undisturbed course", kills.len(), worlds.len()));
        Ok(())
    })
}

async fn world(number: usize) -> Result<Place> {
    let place = Place::hosted(&format!("e2e-crash-{number}"), StoreKind::Nats).await?;
    place.rules(RULES)?;
    Ok(place)
}

/// Kills drawn from all there are, by a seed that is printed.
fn drawn(most: u64) -> Result<Vec<Kill>> {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number("TRACKWAY_E2E_SEED").unwrap_or_else(|| fastrand::u64(..));
    let wanted = number("TRACKWAY_E2E_KILLS").and_then(|kills| usize::try_from(kills).ok()).unwrap_or(KILLS);
    let all: Vec<Kill> =
        (1..=most).flat_map(|at_write| [Mode::Before, Mode::After].map(|mode| Kill { at_write, mode })).collect();
    let kills: Vec<Kill> = fastrand::Rng::with_seed(seed).choose_multiple(all.iter().copied(), wanted);
    say(&format!("TRACKWAY_E2E_SEED={seed}: {} of {} possible kills: {kills:?}", kills.len(), all.len()));
    ensure!(kills.len() == wanted, "there are only {} different kills, not {wanted}", all.len());
    Ok(kills)
}

/// The course of a run nobody disturbs, and how many writes it takes.
async fn undisturbed(place: &Place) -> Result<(Course, u64)> {
    let operator = HostOperator::start(operator(), place, "undisturbed", None)?;
    place.track(TRACK, &json!({})).await?;
    let before = operator_writes(place)?;
    let run = begin(place, "undisturbed").await?;
    let run = place.until_succeeded(&run.name_any()).await?;
    let most = operator_writes(place)? - before;
    operator.kill().await?;
    let course = course(place, &run);
    ensure!(course.calls["Generate insights/2"] == 1, "the story needs a retried stage: {course:?}");
    Ok((course, most))
}

fn operator_writes(place: &Place) -> Result<u64> {
    let all = writes(&place.cluster.audit_log, &place.namespace)?;
    Ok(all.iter().filter(|write| write.is_of_operator()).count() as u64)
}

/// Every run works on the same batch document, so the model answers every one alike.
async fn begin(place: &Place, name: &str) -> Result<BatchRun> {
    let batch = place.batch(&batch::document("crashes1", 3)).await?;
    place.start(&format!("{TRACK}-{name}"), TRACK, batch).await
}

fn course(place: &Place, run: &BatchRun) -> Course {
    Course { outline: Outline::of(run), calls: place.answered(run) }
}

async fn killed(place: &Place, kills: Vec<Kill>, expected: &Course) -> Result<()> {
    // The world of the undisturbed run has its Track already.
    let first = HostOperator::start(operator(), place, "first", None)?;
    place.track(TRACK, &json!({})).await?;
    first.kill().await?;
    for (number, kill) in kills.into_iter().enumerate() {
        let Kill { at_write, mode } = kill;
        one_kill(place, number, kill, expected).await.with_context(|| format!("killed at write {at_write}, mode {mode:?}"))?;
    }
    Ok(())
}

async fn one_kill(place: &Place, number: usize, kill: Kill, expected: &Course) -> Result<()> {
    let before = writes(&place.cluster.audit_log, &place.namespace)?.len();
    let run = begin(place, &number.to_string()).await?;
    let mut doomed = HostOperator::start(operator(), place, &format!("doomed-{number}"), Some(kill))?;
    // A run may take a write less than the undisturbed one: whether the last Job needs deleting is decided by the clock.
    let name = run.name_any();
    let met = tokio::select! {
        status = doomed.ended(STEP) => Some(status?),
        finished = place.until_finished(&name) => finished.map(|_| None)?,
    };
    match met {
        Some(status) => ensure!(status.code() == Some(KILLED), "the operator ended as {status}"),
        None => say(&format!("finished before {kill:?}")),
    }
    drop(doomed);
    let heir = HostOperator::start(operator(), place, &format!("heir-{number}"), None)?;
    let run = place.until_succeeded(&name).await?;
    heir.kill().await?;
    let found = course(place, &run);
    ensure!(found == *expected, "another course:\n{found:#?}\nthan undisturbed:\n{expected:#?}");
    created_once(place, before)
}

/// The API server made each Job once, of all that were made since the log had `before` writes.
fn created_once(place: &Place, before: usize) -> Result<()> {
    let mut created: BTreeMap<String, u32> = BTreeMap::new();
    for write in writes(&place.cluster.audit_log, &place.namespace)?.split_off(before) {
        if write.verb == "create" && write.object_ref.resource == "jobs" && write.was_done() {
            *created.entry(write.object_ref.name).or_default() += 1;
        }
    }
    // Two attempts at insights, one at each other stage.
    ensure!(created.len() == 4, "Jobs created: {created:?}");
    ensure!(created.values().all(|times| *times == 1), "a Job was created more than once: {created:?}");
    Ok(())
}
