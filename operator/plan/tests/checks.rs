//! `check` finds what is wrong with a plan: one plan broken by hand for each thing it knows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]

#[path = "common/stories.rs"]
mod common;

use common::{cluster::Cluster, commands::tell, story::Story};
use std::time::Duration;
use trackway_crds::{
    BatchRunStatus, Score,
    contracts::WaveAssignment,
    ledger::{Ledger, Target, TargetState},
    status::{Phase, StagePhase, TargetsStatus, Verdict, WaveStatus},
};
use trackway_plan::{After, JobIntent, Plan, check, inv11_diagnosing_ends};

/// Insights accepted, recommendations in work on job-2.
const MIDDLE: &str = r"
stage insights min.safety=0.9
stage recommendations
create run
+1s pod starts
+1s score 0.95
+1s pod starts
";
const END: &str = r"
stage insights
create run
+1s pod starts
+1s score 0.8
";

/// `plan` for `story`, checked.
fn faults(story: &mut Story, plan: &Plan) -> Vec<(u8, String)> {
    let version = story.cluster().run().clone();
    let observed = story.observe(None);
    let faults = check(&Cluster::plan_run(&version), &version.status, &observed, plan);
    faults.into_iter().map(|fault| (fault.invariant, fault.message)).collect()
}

/// The plan that changes nothing, with `hurt` done to it, is found to break `invariant` with a message that says `words`.
fn finds(text: &str, invariant: u8, words: &str, hurt: impl FnOnce(&mut Plan, &mut BatchRunStatus)) {
    let mut story = tell(text);
    let mut status = story.cluster().run().status.clone();
    let requeue = (!status.phase.unwrap().is_finished()).then_some(Duration::from_secs(1));
    let mut plan = Plan { requeue, ..Plan::default() };
    assert_eq!(faults(&mut story, &plan), [], "before anything is broken");
    let before = status.clone();
    hurt(&mut plan, &mut status);
    plan.status = (status != before).then_some(status).or(plan.status);
    let found = faults(&mut story, &plan);
    let right = found.iter().any(|(number, message)| *number == invariant && message.contains(words));
    assert!(right, "no fault {invariant} with {words:?} in {found:?}");
}

fn intent(story: &str, stage: &str, attempt: u32, try_: u32) -> JobIntent {
    let assignment = tell(story).cluster().assignments["job-1"].clone();
    let assignment = trackway_crds::contracts::Assignment { stage: stage.into(), attempt, try_, ..assignment };
    let run = &assignment.run;
    JobIntent { name: trackway_crds::names::job_name(&run.name, &run.uid, stage, attempt, try_), assignment }
}

fn release(uid: &str) -> After {
    After::Release { name: "some-job".into(), uid: uid.into() }
}

#[test]
fn a_release_of_an_unrecorded_job() {
    finds(MIDDLE, 1, "no status names", |plan, _| plan.after.push(release("job-9")));
}

#[test]
fn a_job_created_together_with_other_acts() {
    finds(MIDDLE, 1, "together", |plan, _| {
        plan.create = Some(intent(MIDDLE, "recommendations", 2, 1));
        plan.after.push(release("job-2"));
    });
}

#[test]
fn a_job_under_another_name() {
    finds(MIDDLE, 1, "belongs", |plan, _| {
        plan.create = Some(JobIntent { name: "admin-mine".into(), ..intent(MIDDLE, "recommendations", 2, 1) });
    });
}

#[test]
fn a_job_for_a_try_that_has_one() {
    finds(MIDDLE, 1, "a try that has one", |plan, _| plan.create = Some(intent(MIDDLE, "recommendations", 1, 1)));
}

#[test]
fn a_second_job_for_the_same_try() {
    finds(MIDDLE, 1, "second Job", |_, status| status.stages[1].attempts[0].job_uid = Some("job-9".into()));
}

#[test]
fn an_advance_below_the_threshold() {
    finds(MIDDLE, 2, "recommendations advanced", |_, status| {
        status.stages[1].phase = StagePhase::Succeeded;
        status.stages[1].attempts[0].verdict = Some(Verdict::Advance);
        status.stages[1].attempts[0].score = Some(Score::from_thousandths(699));
    });
}

#[test]
fn an_advance_below_a_minimum() {
    finds(MIDDLE, 2, "insights advanced", |_, status| {
        status.stages[0].attempts[0].dimensions.insert("safety".into(), Score::from_thousandths(899));
    });
}

#[test]
fn an_advance_without_a_verdict() {
    finds(MIDDLE, 2, "recommendations advanced", |_, status| status.stages[1].phase = StagePhase::Succeeded);
}

#[test]
fn a_budget_given_back() {
    finds(MIDDLE, 3, "given back", |_, status| status.stages[0].used.quality = 0);
}

#[test]
fn one_failure_that_uses_up_two_budgets() {
    finds(MIDDLE, 3, "used up 2 budgets", |_, status| {
        status.stages[1].used.model += 1;
        status.stages[1].used.judge += 1;
    });
}

#[test]
fn a_number_that_falls() {
    finds(MIDDLE, 3, "number fell", |_, status| status.stages[1].attempts[0].attempt = 0);
}

#[test]
fn a_stage_that_vanishes() {
    finds(MIDDLE, 3, "vanished", |_, status| drop(status.stages.pop()));
}

#[test]
fn a_status_that_is_too_large() {
    finds(MIDDLE, 4, "bytes", |_, status| status.stages[1].attempts[0].feedback = Some("f".repeat(60_000)));
}

#[test]
fn a_finished_run_that_changes() {
    finds(END, 5, "finished run", |_, status| status.active_millis += 1);
    finds(END, 5, "finished run", |plan, _| plan.create = Some(intent(END, "insights", 2, 1)));
}

#[test]
fn an_ended_stage_that_changes() {
    finds(MIDDLE, 5, "ended stage", |_, status| status.stages[0].millis.judge += 1);
}

#[test]
fn another_revision() {
    finds(MIDDLE, 6, "admin-later", |_, status| status.revision = Some("admin-later".into()));
}

#[test]
fn a_run_that_nobody_looks_at_again() {
    finds(MIDDLE, 7, "not looked at again", |plan, _| plan.requeue = None);
}

#[test]
fn running_with_nothing_running() {
    finds(MIDDLE, 7, "nothing running", |_, status| status.stages[1].attempts[0].job_uid = None);
}

#[test]
fn running_without_a_deadline() {
    finds(MIDDLE, 7, "without a deadline", |_, status| status.deadline_at = None);
}

#[test]
fn deleting_the_job_that_is_waited_for() {
    finds(MIDDLE, 7, "waited for", |plan, _| {
        plan.after.push(After::Delete { name: "some-job".into(), uid: "job-2".into() });
    });
}

#[test]
fn an_end_without_a_time() {
    finds(MIDDLE, 7, "without a time", |_, status| status.phase = Some(Phase::Failed));
}

/// Four targets in one wave, job-2; the first of them accepted.
const FAN_OUT: &str = r"
stage recommendations
stage notices foreach=recommendations.targets concurrency=4 perPod=2
create run
+1s pod starts
+1s score 0.8 list=targets:5
+1s pod starts
+2s targets 0 score 0.9
";
/// All targets accepted.
const FAN_OUT_ENDED: &str = r"
stage recommendations
stage notices foreach=recommendations.targets tolerate=1
stage editorial
create run
+1s pod starts
+1s score 0.8 list=targets:4
+1s pod starts
+2s targets 0-3 score 0.9
";
/// The debugger is at work on job-2.
const DIAGNOSING: &str = r#"
stage insights
debugger timeout=1m
create run
+1s pod starts
+1s error permanent BadRequest "HTTP 400"
+1s pod starts
"#;

fn targets(status: &mut BatchRunStatus) -> &mut TargetsStatus {
    status.stages[1].targets.as_mut().unwrap()
}

/// Changes the ledger and nothing that follows from it.
fn ledger(status: &mut BatchRunStatus, change: impl FnOnce(&mut Vec<Target>)) {
    let mut ledger = Ledger::decode(&targets(status).ledger).unwrap();
    change(&mut ledger.0);
    targets(status).ledger = ledger.encode();
}

fn wave_intent(wave: u32) -> JobIntent {
    let assignment = tell(FAN_OUT).cluster().assignments["job-2"].clone();
    let run = assignment.run.clone();
    let told = assignment.wave.clone().unwrap();
    let name = trackway_crds::names::wave_job_name(&run.name, &run.uid, "notices", wave, 1);
    let wave = Some(WaveAssignment { wave, ..told });
    JobIntent { name, assignment: trackway_crds::contracts::Assignment { wave, ..assignment } }
}

#[test]
fn inv01_waves_and_the_debugger_are_recorded_jobs() {
    for story in [FAN_OUT, DIAGNOSING] {
        finds(story, 1, "no status names", |plan, _| plan.after.push(release("job-9")));
        let mut story = tell(story);
        let recorded = Plan { requeue: Some(Duration::from_secs(1)), after: vec![release("job-2")], ..Plan::default() };
        assert_eq!(faults(&mut story, &recorded), []);
    }
}

#[test]
fn inv01_a_wave_has_one_job() {
    finds(FAN_OUT, 1, "was changed", |_, status| targets(status).waves[0].job_uid = "job-9".into());
    finds(FAN_OUT, 1, "a second time", |_, status| {
        let again = WaveStatus { wave: 1, ..targets(status).waves[0].clone() };
        targets(status).waves = vec![WaveStatus { wave: 0, job_uid: "job-9".into(), ..again }];
    });
    finds(FAN_OUT, 1, "serves two waves", |_, status| {
        let again = WaveStatus { wave: 2, ..targets(status).waves[0].clone() };
        targets(status).cut = 2;
        targets(status).waves.push(again);
    });
    finds(FAN_OUT, 1, "waves became", |_, status| targets(status).cut = 0);
    finds(FAN_OUT, 1, "a try that has one", |plan, _| plan.create = Some(wave_intent(1)));
    finds(FAN_OUT, 1, "belongs", |plan, _| plan.create = Some(JobIntent { name: "admin-mine".into(), ..wave_intent(2) }));
}

#[test]
fn inv01_a_try_of_the_debugger_has_one_job() {
    finds(DIAGNOSING, 1, "second Job", |_, status| status.catch.as_mut().unwrap().job_uid = Some("job-9".into()));
    finds(DIAGNOSING, 1, "a try that has one", |plan, _| plan.create = Some(intent(DIAGNOSING, "Debugger", 1, 1)));
}

#[test]
fn inv02_a_fan_out_advances_only_when_its_targets_have() {
    finds(FAN_OUT, 2, "before all targets had ended", |_, status| status.stages[1].phase = StagePhase::Succeeded);
    finds(FAN_OUT_ENDED, 2, "accepted below the threshold", |_, status| {
        ledger(status, |targets| targets[1].best = Some(69));
    });
    finds(FAN_OUT_ENDED, 2, "2 failed targets, 1 are tolerated", |_, status| {
        ledger(status, |targets| targets[..2].iter_mut().for_each(|target| target.state = TargetState::FailedModel));
    });
    finds(FAN_OUT_ENDED, 2, "no target succeeded", |_, status| {
        ledger(status, |targets| targets.iter_mut().for_each(|target| target.state = TargetState::FailedModel));
    });
    finds(FAN_OUT_ENDED, 2, "was accepted with", |_, status| targets(status).lowest = Some(Score::from_thousandths(699)));
    finds(FAN_OUT_ENDED, 2, "cannot be read", |_, status| targets(status).ledger = "?".into());
    finds(FAN_OUT_ENDED, 2, "nothing else has", |_, status| status.stages[1].targets = None);
}

#[test]
fn inv03_the_ledger_is_the_account() {
    finds(FAN_OUT, 3, "counters say", |_, status| targets(status).running = 2);
    finds(FAN_OUT, 3, "counters say", |_, status| targets(status).retries = 1);
    finds(FAN_OUT, 3, "targets became", |_, status| ledger(status, |targets| targets.truncate(4)));
    finds(FAN_OUT, 3, "of a list of 5 entries", |_, status| targets(status).total = 4);
    finds(FAN_OUT, 3, "fell", |_, status| ledger(status, |targets| targets[1].attempt = 0));
    finds(FAN_OUT, 3, "best score of target 0 fell", |_, status| ledger(status, |targets| targets[0].best = None));
    finds(FAN_OUT, 3, "cannot be read", |_, status| targets(status).ledger = "?".into());
}

#[test]
fn inv04_a_fan_out_keeps_its_bounds() {
    finds(FAN_OUT, 4, "5 targets run, at most 4 may", |_, status| targets(status).running = 5);
    finds(FAN_OUT, 4, "9 waves", |_, status| {
        let wave = targets(status).waves[0].clone();
        targets(status).waves = vec![wave; 9];
    });
}

#[test]
fn inv05_an_ended_target_does_not_change() {
    finds(FAN_OUT, 5, "after its end", |_, status| ledger(status, |targets| targets[0].state = TargetState::Due));
}

#[test]
fn inv07_what_runs_is_with_a_wave() {
    finds(FAN_OUT, 7, "runs in no wave", |_, status| targets(status).waves[0].targets = "0-2".into());
    finds(FAN_OUT, 7, "nothing to wait for", |_, status| {
        let wave = WaveStatus { wave: 2, job_uid: "job-9".into(), targets: "4".into(), ..targets(status).waves[0].clone() };
        targets(status).cut = 2;
        targets(status).waves.push(wave);
    });
    finds(FAN_OUT, 7, "of wave 1 cannot be read", |_, status| targets(status).waves[0].targets = "all".into());
    finds(FAN_OUT, 7, "nothing running", |_, status| targets(status).waves.clear());
    let delete = || After::Delete { name: "some-job".into(), uid: "job-2".into() };
    finds(FAN_OUT, 7, "waited for", |plan, _| plan.after.push(delete()));
    finds(DIAGNOSING, 7, "waited for", |plan, _| plan.after.push(delete()));
}

#[test]
fn inv11_diagnosing_has_a_deadline_that_stays() {
    finds(DIAGNOSING, 11, "without a deadline", |_, status| status.catch = None);
    finds(DIAGNOSING, 11, "was moved", |_, status| {
        let catch = status.catch.as_mut().unwrap();
        catch.deadline_at = status.started_at.clone().unwrap();
    });
    finds(DIAGNOSING, 11, "written twice", |_, status| status.failure.as_mut().unwrap().reason = "Other".into());
    finds(DIAGNOSING, 11, "led to Some(Running)", |_, status| status.phase = Some(Phase::Running));
    finds(DIAGNOSING, 11, "not looked at again", |plan, _| plan.requeue = None);
    finds(DIAGNOSING, 3, "numbers fell", |_, status| status.catch.as_mut().unwrap().try_ = 0);
}

#[test]
fn inv11_diagnosing_ends_by_its_deadline() {
    let mut story = tell(DIAGNOSING);
    let status = story.cluster().run().status.clone();
    let deadline = status.catch.as_ref().unwrap().deadline_at.0;
    let told = |requeue, now| {
        let plan = Plan { requeue, ..Plan::default() };
        inv11_diagnosing_ends(&status, &plan, now).into_iter().map(|fault| fault.message).collect::<Vec<_>>()
    };
    assert_eq!(told(Some(Duration::from_secs(50)), story.now), Vec::<String>::new());
    assert!(told(Some(Duration::from_secs(60)), story.now)[0].contains("the catch's deadline is in"));
    assert!(told(Some(Duration::from_millis(1)), deadline)[0].contains("still Diagnosing"));
}
