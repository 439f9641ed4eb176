//! `check` finds what is wrong with a plan: one plan broken by hand for each thing it knows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]

#[path = "common/stories.rs"]
mod common;

use common::{cluster::Cluster, commands::tell, story::Story};
use std::time::Duration;
use trackway_crds::{
    BatchRunStatus, Score,
    status::{Phase, StagePhase, Verdict},
};
use trackway_plan::{After, JobIntent, Plan, check};

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
