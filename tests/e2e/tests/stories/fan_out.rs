//! A stage done once for each target: every target has its own attempts, losses harm only whom they hit, all of it is known to the
//! next stage.

use crate::{Context, Outcome, Result, STEP, ensure};
use k8s_openapi::api::{batch::v1::Job, core::v1::Event};
use kube::{ResourceExt, api::ListParams};
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::OnceCell;
use trackway_crds::{
    BatchRun,
    contracts::{ErrorClass, FanOutPhase},
    ledger::{Target, TargetState},
    status::{Phase, StagePhase},
};
use trackway_e2e::{
    Place,
    fan::{ledger, notices, targets},
    place::phase,
    story,
    story::say,
};
use trackway_scripted_llm::{CallRecord, Kind, When};

const NAMESPACE: &str = "e2e-fan";
/// What the model says to the stories of this file, told apart by the names of their Tracks.
const RULES: &str = "
- {name: 20 targets, when: {kind: generate, headers: {x-trackway-stage: list, x-trackway-run-name: overlap-*}}, then: {targets: 20}}
- {name: none, when: {kind: generate, headers: {x-trackway-stage: list, x-trackway-run-name: empty-*}}, then: {targets: 0}}
- {name: four, when: {kind: generate, headers: {x-trackway-stage: list}}, then: {targets: 4}}
- name: a third is too thin at first
  when: {kind: judge, headers: {x-trackway-stage: notices, x-trackway-run-name: overlap-*}, attempt: 1, share: 0.3}
  then: {scores: {relevance: 0.4, '*': 0.6}, feedback: Name the events.}
- name: one is never good enough
  when: {kind: judge, headers: {x-trackway-stage: notices, x-trackway-run-name: tolerated-*, x-trackway-index: '2'}}
  then: {scores: {'*': 0.5}}
- name: two are never good enough
  when: {kind: judge, headers: {x-trackway-stage: notices, x-trackway-run-name: exceeded-*}, share: 0.5}
  then: {scores: {'*': 0.5}}
";

async fn place() -> Result<Arc<Place>> {
    static RULED: OnceCell<()> = OnceCell::const_new();
    let place = Place::bound(NAMESPACE).await?;
    RULED.get_or_try_init(|| async { place.rules(RULES) }).await?;
    Ok(place)
}

/// Calls of `kind` for targets of runs of `track`; of the one with `index`, if it is given.
fn calls(kind: &str, track: &str, index: Option<u32>) -> Result<When> {
    let mut headers = json!({"x-trackway-run-name": format!("{track}-*"), "x-trackway-stage": "notices"});
    if let Some(index) = index {
        headers["x-trackway-index"] = json!(index.to_string());
    }
    Ok(serde_json::from_value(json!({"kind": kind, "headers": headers}))?)
}

/// Whether `call` is about target `index` of a run of `track`.
fn is_about(call: &CallRecord, track: &str, index: u32) -> bool {
    call.trackway.index == index.to_string() && call.trackway.run_name.starts_with(&format!("{track}-"))
}

fn quality_attempts(attempts: u32) -> serde_json::Value {
    json!({"retry": {"quality": {"maxAttempts": attempts}}})
}

/// The first verdict of one target comes only after another target has begun its second attempt: if retries waited for their wave,
/// this would never end.
#[test]
fn retries_of_some_targets_overlap_with_first_attempts_of_others() -> Outcome {
    story(NAMESPACE, async {
        let place = place().await?;
        place.fan_out_track("overlap", &json!({}), &json!({})).await?;
        let hold = place.llm.hold_next(calls("judge", "overlap", Some(0))?, 1);
        let name = place.start_fresh("overlap").await?.name_any();
        place.until_call_held("the first verdict on target 0", |call| is_about(call, "overlap", 0)).await?;
        let begun = |calls: &[CallRecord]| {
            let again = |call: &CallRecord| call.kind == Kind::Generate && call.trackway.attempt == "2";
            calls.iter().any(|call| call.trackway.run_name == name && again(call))
        };
        tokio::time::timeout(STEP, place.llm.until_calls(begun)).await.context("no second attempt while target 0 is open")?;
        place.llm.release(&hold);

        let run = place.until_succeeded(&name).await?;
        place.say_timeline(&run);
        say_jobs(&place, &run).await?;
        let all = targets(&run)?;
        ensure!((all.total, all.succeeded, all.failed, all.running) == (20, 20, 0, 0), "{all:?}");
        // 0.3 of 20, spread evenly.
        ensure!(all.retries == 6, "{} retries", all.retries);
        let summary = run.status.as_ref().and_then(|status| status.summary.clone()).context("no summary")?;
        ensure!(summary.retries == 6 && summary.progress.starts_with("3/3"), "{summary:?}");
        ensure!(all.lowest.is_some() && all.lowest >= summary.score, "lowest {:?}, score {:?}", all.lowest, summary.score);
        ensure!(all.waves.is_empty(), "waves after the end: {:?}", all.waves);
        ensure!(notices(&run)?.attempts.is_empty(), "a fan-out has no attempts of its own");
        each_asked_once(&place, &run)?;
        let output = place.fan_out_output(&run).await?;
        ensure!((output.counts.total, output.counts.succeeded, output.counts.failed) == (20, 20, 0), "{:?}", output.counts);
        let keys: BTreeSet<_> = output.items.iter().map(|item| item.key.clone()).collect();
        ensure!(keys.len() == 20 && output.items.iter().all(|item| item.output["text"].is_string()), "{:?}", output.items);
        Ok(())
    })
}

/// Nothing was generated twice, and nothing was left out.
fn each_asked_once(place: &Place, run: &BatchRun) -> Result<()> {
    let asked = place.asked(run);
    for (index, target) in ledger(run)?.0.iter().enumerate() {
        for attempt in 1..=target.attempt {
            let counts = asked.get(&(u32::try_from(index)?, attempt));
            ensure!(counts == Some(&(1, 1)), "target {index}, attempt {attempt} was asked for {counts:?} times");
        }
    }
    Ok(())
}

/// Prints the Jobs of the fan-out with their times.
async fn say_jobs(place: &Place, run: &BatchRun) -> Result<()> {
    let of_stage = ListParams::default().labels(&format!("trackway.dev/run={},trackway.dev/stage=notices", run.name_any()));
    for job in place.api::<Job>().list(&of_stage).await? {
        let wave = job.labels().get("trackway.dev/wave").cloned().unwrap_or_default();
        let pods = job.spec.as_ref().and_then(|spec| spec.completions).unwrap_or_default();
        let status = job.status.unwrap_or_default();
        let at = |time: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| time.map(|time| time.0.to_string());
        say(&format!("wave {wave}: {pods} pods, {:?} to {:?}", at(status.start_time), at(status.completion_time)));
    }
    Ok(())
}

#[test]
fn a_target_that_is_never_good_enough_is_tolerated_and_told_to_the_next_stage() -> Outcome {
    story(NAMESPACE, async {
        let place = place().await?;
        let stage = json!({"forEach": {"toleratedFailures": 1}, "retry": {"quality": {"maxAttempts": 3}}});
        place.fan_out_track("tolerated", &stage, &json!({})).await?;
        let name = place.start_fresh("tolerated").await?.name_any();
        let run = place.until_succeeded(&name).await?;

        let all = targets(&run)?;
        ensure!((all.succeeded, all.failed, all.retries) == (3, 1, 2), "{all:?}");
        let failed = ledger(&run)?.0[2];
        let expected = Target { state: TargetState::FailedQuality, attempt: 3, best: Some(50), ..Target::default() };
        ensure!(failed == expected, "{failed:?}");
        let worst = all.worst.first().context("no worst target")?;
        let error = worst.error.clone().context("the worst target has no error")?;
        ensure!(worst.index == 2 && worst.attempt == 3 && error.class == ErrorClass::Quality, "{worst:?}");

        let output = place.fan_out_output(&run).await?;
        ensure!((output.counts.succeeded, output.counts.failed) == (3, 1), "{:?}", output.counts);
        let item = &output.items[2];
        ensure!(item.key == worst.key && item.phase == FanOutPhase::Failed && item.output.is_null(), "{item:?}");
        let texts = trackway_e2e::references::fetch_all(&place, &run).await?;
        let seen = texts.iter().any(|text| {
            let text = String::from_utf8_lossy(text);
            text.contains("Sum up 4 notices") && text.contains("Failed") && text.contains(&worst.key)
        });
        ensure!(seen, "the next stage's input does not tell of {}", worst.key);
        let events: Vec<Event> = place.api::<Event>().list(&of_object(&name)).await?.items;
        ensure!(events.iter().any(|event| event.reason.as_deref() == Some("TargetFailed")), "no Event TargetFailed");
        Ok(())
    })
}

fn of_object(name: &str) -> ListParams {
    ListParams::default().fields(&format!("involvedObject.name={name}"))
}

#[test]
fn one_failure_more_than_tolerated_fails_the_stage_and_names_the_target() -> Outcome {
    story(NAMESPACE, async {
        let place = place().await?;
        let mut stage = quality_attempts(2);
        stage["forEach"] = json!({"toleratedFailures": "25%"});
        place.fan_out_track("exceeded", &stage, &json!({})).await?;
        let name = place.start_fresh("exceeded").await?.name_any();
        let run = place.until_finished(&name).await?;
        ensure!(phase(&run) == Some(Phase::Failed), "it ended as {:?}", phase(&run));
        let status = run.status.as_ref().context("no status")?;
        let failure = status.failure.as_ref().context("no failure")?;
        say(&format!("{}: {}", failure.reason, failure.message));
        ensure!(failure.stage.as_deref() == Some("notices") && failure.class == ErrorClass::Quality, "{failure:?}");
        let keys: Vec<_> = targets(&run)?.worst.iter().filter(|one| one.error.is_some()).map(|one| one.key.clone()).collect();
        ensure!(failure.target.as_ref().is_some_and(|key| keys.contains(key)), "{failure:?} of {keys:?}");
        ensure!(notices(&run)?.phase == StagePhase::Failed, "{:?}", notices(&run)?.phase);
        Ok(())
    })
}

#[test]
fn no_targets_are_a_success_without_any_pod() -> Outcome {
    story(NAMESPACE, async {
        let place = place().await?;
        place.fan_out_track("empty", &json!({}), &json!({})).await?;
        let name = place.start_fresh("empty").await?.name_any();
        let run = place.until_succeeded(&name).await?;
        ensure!(targets(&run)?.total == 0 && notices(&run)?.phase == StagePhase::Succeeded, "{:?}", notices(&run)?);
        let of_stage = ListParams::default().labels(&format!("trackway.dev/run={name},trackway.dev/stage=notices"));
        ensure!(place.api::<Job>().list(&of_stage).await?.items.is_empty(), "a Job was made for no target");
        let output = place.fan_out_output(&run).await?;
        ensure!(output.items.is_empty() && output.counts.total == 0, "{output:?}");
        Ok(())
    })
}

/// Two pods of two targets; one pod is lost when one of its targets is done.
#[test]
fn inv03_a_lost_pod_costs_its_unfinished_targets_a_try_and_the_others_nothing() -> Outcome {
    story(NAMESPACE, async {
        let place = place().await?;
        place.fan_out_track("lost", &json!({"forEach": {"targetsPerPod": 2}}), &json!({})).await?;
        let hold = place.llm.hold_next(calls("generate", "lost", Some(0))?, 1);
        let name = place.start_fresh("lost").await?.name_any();
        place.until_call_held("target 0", |call| is_about(call, "lost", 0)).await?;
        place.until(&name, "all others are done", STEP, |run| trackway_e2e::fan::done(run) == 3).await?;

        let pods = place.pods_of_target(&name, 0).await?;
        ensure!(pods.len() == 1, "{} pods for target 0", pods.len());
        place.lose(&pods[0]).await?;
        let run = place.until_succeeded(&name).await?;
        place.llm.release(&hold);
        let tries: Vec<u32> = ledger(&run)?.0.iter().map(Target::try_).collect();
        ensure!(tries == [2, 1, 1, 1], "tries {tries:?}");
        ensure!(notices(&run)?.used.infrastructure == 1, "{:?}", notices(&run)?.used);
        let asked = place.asked(&run);
        ensure!(asked[&(0, 1)] == (2, 1), "target 0 was asked for {:?}", asked[&(0, 1)]);
        ensure!((1..4).all(|index| asked[&(index, 1)] == (1, 1)), "{asked:?}");
        Ok(())
    })
}

/// Target 1 kills its pod each time: its neighbours lose a try or two, and then it has pods to itself.
#[test]
fn a_poison_target_that_kills_its_pods_harms_only_itself() -> Outcome {
    story(NAMESPACE, async {
        const TRIES: u32 = 4;
        let place = place().await?;
        let stage = json!({"forEach": {"toleratedFailures": 1}, "retry": {"infrastructure": {"maxTries": TRIES}}});
        place.fan_out_track("poison", &stage, &json!({})).await?;
        // At first all of them are in the pod that is lost.
        let together = place.llm.hold_next(calls("generate", "poison", None)?, 4);
        let poison = place.llm.hold(calls("generate", "poison", Some(1))?);
        let name = place.start_fresh("poison").await?.name_any();
        for loss in 1..=TRIES {
            // Calls of pods that were lost before may still look held for a moment.
            let asked = |calls: &[CallRecord]| calls.iter().filter(|call| is_about(call, "poison", 1)).count() >= loss as usize;
            tokio::time::timeout(STEP, place.llm.until_calls(asked)).await.with_context(|| format!("no pod for try {loss}"))?;
            if loss == 1 {
                let all = |calls: &[CallRecord]| {
                    calls.iter().filter(|call| call.trackway.run_name == name && call.trackway.stage == "notices").count() == 4
                };
                tokio::time::timeout(STEP, place.llm.until_calls(all)).await.context("the pod does not work on all four")?;
            }
            let pods = place.pods_of_target(&name, 1).await?;
            let pod = pods.last().context("no pod works on the poison")?;
            let beside = trackway_e2e::fan::targets_of(pod).unwrap_or_default().len();
            say(&format!("loss {loss}: {} with {beside} targets", pod.name_any()));
            ensure!(loss < 3 || beside == 1, "after two losses the poison still shares its pod with {} others", beside - 1);
            place.lose(pod).await?;
            let what = format!("the pod's loss {loss} is on record");
            place.until(&name, &what, STEP, |run| ledger(run).is_ok_and(|all| all.0[1].infrastructure >= loss)).await?;
        }
        let run = place.until_succeeded(&name).await?;
        // Not before: a pod that is being killed would still take the answer, store it, and the next would adopt it.
        place.llm.release(&together);
        place.llm.release(&poison);
        let all = ledger(&run)?.0;
        ensure!(all[1].state == TargetState::FailedInfrastructure, "{:?}", all[1]);
        let others: Vec<_> = [0, 2, 3].iter().map(|index: &usize| all[*index]).collect();
        ensure!(others.iter().all(|one| one.state == TargetState::Succeeded && one.infrastructure <= 2), "{others:?}");
        Ok(())
    })
}
