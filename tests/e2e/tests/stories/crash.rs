//! The operator is killed at its k-th write to the API, and another takes over.

use crate::{Context, Outcome, Result, STEP, ensure, operator};
use futures::{StreamExt, TryStreamExt, stream};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use trackway_crds::BatchRun;
use trackway_e2e::{
    HostOperator, Outline, Place,
    audit::writes,
    batch,
    fan::fan_out_patch,
    operator::{KILLED, Kill, Mode},
    place::StoreKind,
    soak, story,
    story::say,
};

const TRACK: &str = "crash";

/// What is disturbed, and how often.
struct Case {
    /// Begins the names of the worlds.
    name: &'static str,
    rules: &'static str,
    /// What is merged into the small Track, and its prompts.
    track: (Value, Value),
    /// Kills in all, and worlds in which they happen beside each other.
    kills: usize,
    worlds: usize,
    /// Something the model must have been asked, or the story tells nothing.
    asked: &'static str,
    /// How many Jobs there are; `None` where that depends on the clock.
    jobs: Option<usize>,
}

/// What a run came to: what is in its status, and what the model was asked.
#[derive(Debug, PartialEq)]
struct Course {
    outline: Outline,
    calls: BTreeMap<String, u64>,
}

#[test]
fn inv01_an_operator_killed_at_any_write_changes_nothing_of_a_run() -> Outcome {
    let case = Case {
        name: "e2e-crash",
        rules: "
- name: the first insights are too general
  when: {kind: judge, headers: {x-trackway-stage: insights}, attempt: 1}
  then: {scores: {relevance: 0.4, '*': 0.8}, feedback: Name the events.}
",
        track: (json!({}), json!({})),
        kills: 20,
        worlds: 4,
        asked: "Generate insights/2",
        // Two attempts at insights, one at each other stage.
        jobs: Some(4),
    };
    story("e2e-crash-0", told(case))
}

#[test]
fn inv01_inv03_an_operator_killed_at_any_write_changes_nothing_of_a_fan_out() -> Outcome {
    story("e2e-crash-fan-0", async {
        let stage = json!({"forEach": {"targetsPerPod": 2, "toleratedFailures": 1}, "retry": {"quality": {"maxAttempts": 2}}});
        let case = Case {
            name: "e2e-crash-fan",
            rules: "
- {name: six, when: {kind: generate, headers: {x-trackway-stage: list}}, then: {targets: 6}}
- name: one is never good enough
  when: {kind: judge, headers: {x-trackway-stage: notices, x-trackway-index: '2'}}
  then: {scores: {'*': 0.5}}
- name: a third is too thin at first
  when: {kind: judge, headers: {x-trackway-stage: notices}, attempt: 1, share: 0.34}
  then: {scores: {'*': 0.5}, feedback: Name the events.}
",
            track: fan_out_patch(&stage, &json!({}))?,
            kills: if soak() { 50 } else { 8 },
            worlds: 2,
            asked: "Generate notices/2#2",
            jobs: None,
        };
        told(case).await
    })
}

async fn told(case: Case) -> Result<()> {
    let worlds: Vec<Place> = stream::iter(0..case.worlds).then(|number| world(&case, number)).try_collect().await?;
    let (expected, most) = undisturbed(&worlds[0], &case).await?;
    let kills = drawn(most, case.kills)?;
    say(&format!("an undisturbed run takes {most} writes"));
    let shares = worlds.iter().enumerate().map(|(share, place)| {
        let own: Vec<Kill> = kills.iter().copied().skip(share).step_by(case.worlds).collect();
        killed(place, &case, own, &expected)
    });
    futures::future::try_join_all(shares).await?;
    say(&format!("{} kills, {} worlds: every run took the undisturbed course", kills.len(), worlds.len()));
    Ok(())
}

async fn world(case: &Case, number: usize) -> Result<Place> {
    let place = Place::hosted(&format!("{}-{number}", case.name), StoreKind::Nats).await?;
    place.rules(case.rules)?;
    Ok(place)
}

/// Kills drawn from all there are, by a seed that is printed.
fn drawn(most: u64, usual: usize) -> Result<Vec<Kill>> {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let seed = number("TRACKWAY_E2E_SEED").unwrap_or_else(|| fastrand::u64(..));
    let wanted = number("TRACKWAY_E2E_KILLS").and_then(|kills| usize::try_from(kills).ok()).unwrap_or(usual);
    let all: Vec<Kill> =
        (1..=most).flat_map(|at_write| [Mode::Before, Mode::After].map(|mode| Kill { at_write, mode })).collect();
    let wanted = wanted.min(all.len());
    let kills: Vec<Kill> = fastrand::Rng::with_seed(seed).choose_multiple(all.iter().copied(), wanted);
    say(&format!("TRACKWAY_E2E_SEED={seed}: {} of {} possible kills: {kills:?}", kills.len(), all.len()));
    Ok(kills)
}

async fn track(place: &Place, case: &Case) -> Result<()> {
    place.track_with(TRACK, &case.track.0, &case.track.1).await.map(drop)
}

/// The course of a run nobody disturbs, and how many writes it takes.
async fn undisturbed(place: &Place, case: &Case) -> Result<(Course, u64)> {
    let operator = HostOperator::start(operator(), place, "undisturbed", None)?;
    track(place, case).await?;
    let before = operator_writes(place)?;
    let run = begin(place, "undisturbed").await?;
    let run = place.until_succeeded(&run.name_any()).await?;
    let most = operator_writes(place)? - before;
    operator.kill().await?;
    let course = course(place, &run);
    ensure!(course.calls.get(case.asked) == Some(&1), "the story needs {}: {course:?}", case.asked);
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

async fn killed(place: &Place, case: &Case, kills: Vec<Kill>, expected: &Course) -> Result<()> {
    // The world of the undisturbed run has its Track already.
    let first = HostOperator::start(operator(), place, "first", None)?;
    track(place, case).await?;
    first.kill().await?;
    for (number, kill) in kills.into_iter().enumerate() {
        let Kill { at_write, mode } = kill;
        let told = one_kill(place, case, number, kill, expected).await;
        told.with_context(|| format!("killed at write {at_write}, mode {mode:?}"))?;
    }
    Ok(())
}

async fn one_kill(place: &Place, case: &Case, number: usize, kill: Kill, expected: &Course) -> Result<()> {
    let before = writes(&place.cluster.audit_log, &place.namespace)?.len();
    let run = begin(place, &number.to_string()).await?;
    let mut doomed = HostOperator::start(operator(), place, &format!("doomed-{number}"), Some(kill))?;
    // A run may take a write less than the undisturbed one: what is joined in one write is decided by the clock.
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
    created_once(place, case, before)
}

/// The API server made each Job once, of all that were made since the log had `before` writes.
fn created_once(place: &Place, case: &Case, before: usize) -> Result<()> {
    let mut created: BTreeMap<String, u32> = BTreeMap::new();
    for write in writes(&place.cluster.audit_log, &place.namespace)?.split_off(before) {
        if write.verb == "create" && write.object_ref.resource == "jobs" && write.was_done() {
            *created.entry(write.object_ref.name).or_default() += 1;
        }
    }
    ensure!(case.jobs.is_none_or(|jobs| created.len() == jobs), "Jobs created: {created:?}");
    ensure!(created.values().all(|times| *times == 1), "a Job was created more than once: {created:?}");
    Ok(())
}
