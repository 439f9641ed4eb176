//! Operators with one mistake each: every one must be found out by the tests that the real one passes. They are wrappers around the
//! real `plan` and the model's operator; nothing in the operator itself knows of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a test says what it has looked at, and how long it took")]

mod common;

use common::{
    conduct::{Conduct, Planner},
    explore::{
        case::Case,
        cases,
        search::explore,
        straight::{MISHAPS, run},
    },
};
use jiff::Timestamp;
use std::{sync::Arc, time::Instant};
use trackway_crds::{
    BatchRunStatus, Score, Tolerance,
    contracts::Revision,
    ledger::Ledger,
    status::{Phase, StagePhase, StageStatus},
};
use trackway_plan::{After, Observed, Plan, PodView, QuestionnaireView, RevisionView, Run, plan};

/// Worlds in which each mistake is looked for.
const SEEDS: u64 = 60;
/// States of one small run that are looked at before the next one is tried.
const STATES: usize = 12_000;

struct Mutant {
    name: &'static str,
    conduct: Conduct,
}

/// The mistakes that issue and design name first, then others.
fn mutants() -> Vec<Mutant> {
    let plans = |name, plan: Planner| Mutant { name, conduct: Conduct { plan, ..Conduct::REAL } };
    let real = Conduct::REAL;
    let mut all = vec![
        Mutant { name: "creates Jobs that run before they are recorded", conduct: Conduct { releases_at_once: true, ..real } },
        Mutant { name: "releases before it records", conduct: Conduct { acts_before_writing: true, ..real } },
        Mutant { name: "writes without a fence", conduct: Conduct { unfenced: true, ..real } },
        Mutant { name: "releases by name, not by uid", conduct: Conduct { by_name: true, ..real } },
        Mutant { name: "forgets to look again", conduct: Conduct { forgets_to_look: true, ..real } },
        plans("forgets the deadlines", no_deadline),
        plans("counts an attempt twice", counts_attempts_twice),
        plans("counts a lost pod twice", counts_losses_twice),
        plans("uses up the judge's budget for the model's errors", wrong_budget),
        plans("gives a try its number again", same_try_again),
        plans("deletes a Job whose result it waits for", deletes_early),
        plans("deletes nothing", deletes_nothing),
        plans("forgets the release that a crash swallowed", releases_once),
        plans("accepts below the threshold", lower_threshold),
        plans("counts results of unknown pods", knows_every_pod),
        plans("counts a retry too many in the summary", wrong_summary),
        plans("writes to finished runs", finishes_twice),
        plans("takes every missing result for a lost one", impatient),
    ];
    all.extend(waiting(plans));
    all.extend(wide(plans));
    all
}

/// Mistakes of waiting for answers.
fn waiting(plans: fn(&'static str, Planner) -> Mutant) -> Vec<Mutant> {
    let real = Conduct::REAL;
    vec![
        plans("lets the active clock run while it waits for answers", waits_on_the_clock),
        plans("goes on before anybody has answered", takes_silence_for_an_answer),
        plans("takes a questionnaire for open whatever it is", deaf_to_answers),
        Mutant {
            name: "waits for a questionnaire that it does not make",
            conduct: Conduct { waits_before_asking: true, ..real },
        },
        Mutant { name: "never looks whether it is answered", conduct: Conduct { never_asks_again: true, ..real } },
    ]
}

fn waits_on_the_clock(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = plan(run, status, observed, now);
    let waits = plan.status.as_mut().filter(|status| status.phase == Some(Phase::WaitingForContext));
    waits.into_iter().for_each(|after| after.deadline_at = after.deadline_at.take().or_else(|| status.deadline_at.clone()));
    plan
}

fn takes_silence_for_an_answer(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    let mut observed = observed.clone();
    if observed.questionnaire == QuestionnaireView::Open {
        observed.questionnaire = QuestionnaireView::Answered(now);
    }
    plan(run, status, &observed, now)
}

fn deaf_to_answers(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    let mut observed = observed.clone();
    if let QuestionnaireView::Answered(_) = observed.questionnaire {
        observed.questionnaire = QuestionnaireView::Open;
    }
    plan(run, status, &observed, now)
}

/// Mistakes of fan-out and catch.
fn wide(plans: fn(&'static str, Planner) -> Mutant) -> Vec<Mutant> {
    vec![
        plans("waits for the debugger whatever time it is", blocking_debugger),
        plans("lets the debugger change the failure", renamed_failure),
        plans("tolerates one failure more", tolerates_one_more),
        plans("tolerates one failure less", tolerates_one_less),
        plans("gives lost targets back without counting", forgives_losses),
        plans("runs more targets than it may", twice_the_targets),
        plans("counts a target's attempt twice", targets_twice),
        plans("forgets the score of the lowest target", no_lowest),
    ]
}

fn revised(observed: &Observed, change: impl FnOnce(&mut Revision)) -> Observed {
    let mut observed = observed.clone();
    if let RevisionView::Available { revision, .. } = &mut observed.revision {
        change(Arc::make_mut(revision));
    }
    observed
}

/// The real plan with what it writes changed; `change` gets the stages before and after.
fn rewritten(
    (run, status, observed, now): (&Run<'_>, &BatchRunStatus, &Observed, Timestamp),
    change: impl Fn(&mut StageStatus, Option<&StageStatus>),
) -> Plan {
    let mut plan = plan(run, status, observed, now);
    for stage in plan.status.iter_mut().flat_map(|status| &mut status.stages) {
        let old = status.stages.iter().find(|old| old.name == stage.name);
        change(stage, old);
    }
    plan
}

fn no_deadline(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    let far = 365 * 24 * 3_600_000;
    let observed = revised(observed, |revision| {
        (revision.limits.deadline_millis, revision.limits.active_deadline_millis) = (far, far);
    });
    plan(run, status, &observed, now)
}

fn counts_attempts_twice(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    rewritten((run, status, observed, now), |stage, old| {
        stage.used.quality += u32::from(stage.used.quality > old.map_or(0, |old| old.used.quality));
    })
}

fn counts_losses_twice(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    rewritten((run, status, observed, now), |stage, old| {
        stage.used.infrastructure += u32::from(stage.used.infrastructure > old.map_or(0, |old| old.used.infrastructure));
    })
}

fn wrong_budget(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    rewritten((run, status, observed, now), |stage, old| {
        let was = old.map_or(0, |old| old.used.model);
        let moved = stage.used.model - was;
        (stage.used.model, stage.used.judge) = (was, stage.used.judge + moved);
    })
}

fn same_try_again(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    rewritten((run, status, observed, now), |stage, old| {
        let (Some(new), Some(old)) = (stage.attempts.last_mut(), old.and_then(|old| old.attempts.last())) else { return };
        if new.attempt == old.attempt {
            new.try_ = old.try_;
        }
    })
}

fn deletes_early(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = plan(run, status, observed, now);
    let started = observed.jobs.iter().find(|job| job.ended.is_none() && job.pods.iter().any(|pod| pod.started));
    if let Some(job) = started.filter(|_| plan.create.is_none() && plan.status.is_none() && plan.after.is_empty()) {
        plan.after.push(After::Delete { name: job.name.clone(), uid: job.uid.clone() });
    }
    plan
}

fn deletes_nothing(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = plan(run, status, observed, now);
    plan.after.retain(|act| !matches!(act, After::Delete { .. }));
    plan
}

fn releases_once(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = plan(run, status, observed, now);
    if plan.status.is_none() {
        plan.after.retain(|act| !matches!(act, After::Release { .. }));
    }
    plan
}

fn lower_threshold(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    let observed = revised(observed, |revision| {
        for judge in revision.stages.iter_mut().filter_map(|stage| stage.judge.as_mut()) {
            judge.threshold = Score::from_thousandths(judge.threshold.thousandths() - 1);
        }
    });
    plan(run, status, &observed, now)
}

fn knows_every_pod(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    let mut observed = observed.clone();
    for arrived in &observed.results {
        let uid = &arrived.result.pod;
        if !observed.jobs.iter().flat_map(|job| &job.pods).any(|pod| pod.uid == *uid) {
            let pod = PodView { uid: uid.clone(), started: true, index: 99, ..PodView::default() };
            observed.jobs.iter_mut().for_each(|job| job.pods.push(pod.clone()));
        }
    }
    plan(run, status, &observed, now)
}

fn wrong_summary(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = plan(run, status, observed, now);
    let retried = |status: &BatchRunStatus| status.stages.iter().any(|stage| stage.attempts.len() > 1);
    let summary = plan.status.as_mut().filter(|status| retried(status)).and_then(|status| status.summary.as_mut());
    summary.into_iter().for_each(|summary| summary.retries += 1);
    plan
}

fn finishes_twice(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = plan(run, status, observed, now);
    if status.phase.is_some_and(Phase::is_finished) && status.observed_generation < 99 {
        plan.status = Some(BatchRunStatus { observed_generation: 99, ..status.clone() });
    }
    plan
}

fn impatient(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    let mut observed = observed.clone();
    for pod in observed.jobs.iter_mut().flat_map(|job| &mut job.pods).filter(|pod| pod.started) {
        pod.finished.get_or_insert_default();
    }
    plan(run, status, &observed, now)
}

fn blocking_debugger(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    let since = status.catch.as_ref().filter(|_| status.phase == Some(Phase::Diagnosing)).map(|catch| catch.started_at.0);
    plan(run, status, observed, since.unwrap_or(now))
}

fn renamed_failure(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = plan(run, status, observed, now);
    let diagnosed = plan.status.as_mut().filter(|status| status.diagnosis.is_some());
    diagnosed.and_then(|status| status.failure.as_mut()).into_iter().for_each(|failure| failure.reason = "Diagnosed".into());
    plan
}

fn tolerating(observed: &Observed, change: impl Fn(u32) -> u32) -> Observed {
    revised(observed, |revision| {
        for for_each in revision.stages.iter_mut().filter_map(|stage| stage.for_each.as_mut()) {
            if let Tolerance::Count(count) = for_each.tolerated_failures {
                for_each.tolerated_failures = Tolerance::Count(change(count));
            }
        }
    })
}

fn tolerates_one_more(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    plan(run, status, &tolerating(observed, |count| count + 1), now)
}

fn tolerates_one_less(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    plan(run, status, &tolerating(observed, |count| count.saturating_sub(1)), now)
}

fn twice_the_targets(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    let observed = revised(observed, |revision| {
        for for_each in revision.stages.iter_mut().filter_map(|stage| stage.for_each.as_mut()) {
            for_each.max_concurrency *= 2;
        }
    });
    plan(run, status, &observed, now)
}

/// The ledger of `stage` with each target changed, given what it was.
fn with_ledger(
    stage: &mut StageStatus,
    old: Option<&StageStatus>,
    change: impl Fn(&mut trackway_crds::ledger::Target, u32, u32),
) {
    let was = old.and_then(|old| old.targets.as_ref()).and_then(|old| Ledger::decode(&old.ledger).ok());
    let (Some(targets), Some(was)) = (&mut stage.targets, was) else { return };
    let Ok(mut ledger) = Ledger::decode(&targets.ledger) else { return };
    for (target, old) in ledger.0.iter_mut().zip(&was.0) {
        change(target, old.attempt, old.infrastructure);
    }
    targets.ledger = ledger.encode();
}

fn forgives_losses(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    rewritten((run, status, observed, now), |stage, old| {
        with_ledger(stage, old, |target, _, infrastructure| target.infrastructure = infrastructure.min(target.infrastructure));
    })
}

fn targets_twice(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    rewritten((run, status, observed, now), |stage, old| {
        with_ledger(stage, old, |target, attempt, _| target.attempt += u32::from(target.attempt > attempt));
    })
}

fn no_lowest(run: &Run<'_>, status: &BatchRunStatus, observed: &Observed, now: Timestamp) -> Plan {
    rewritten((run, status, observed, now), |stage, _| {
        if stage.phase == StagePhase::Succeeded {
            stage.targets.iter_mut().for_each(|targets| targets.lowest = None);
        }
    })
}

/// Which suite finds `conduct` out, after how much, and by what.
fn killer(conduct: Conduct, calm: &[(Arc<Case>, String)]) -> Option<(String, String)> {
    let mut runs = 0;
    for (case, outcome) in calm {
        runs += 1;
        let ended = run(case, conduct, None);
        if let Some(what) = because(&ended.broken, outcome, &ended.outcome) {
            return Some((format!("scenarios, run {runs} ({})", case.name), what));
        }
    }
    let mut plans = 0;
    for (case, outcome) in calm {
        for at in 1..=run(case, conduct, None).calls {
            for mishap in MISHAPS {
                plans += 1;
                let ended = run(case, conduct, Some((at, mishap)));
                if let Some(what) = because(&ended.broken, outcome, &ended.outcome) {
                    return Some((format!("faults, plan {plans} ({}: {mishap:?} at call {at})", case.name), what));
                }
            }
        }
    }
    let mut states = 0;
    for case in exhaustive() {
        let found = explore(&case, conduct, STATES);
        states += found.states;
        if let Some(what) = found.broken.first() {
            let what = what.lines().next().unwrap_or_default().to_owned();
            return Some((format!("exhaustive, {states} states ({})", case.name), what));
        }
    }
    None
}

/// After how many worlds of the simulation `conduct` is found out, and by what.
fn found_in_worlds(conduct: Conduct) -> Option<(u64, String)> {
    (0..SEEDS).find_map(|seed| Some((seed + 1, common::sim::live_with(seed, conduct).broken.first()?.clone())))
}

fn because(broken: &[String], calm: &str, outcome: &str) -> Option<String> {
    let differs = || {
        let (was, is) = calm.lines().zip(outcome.lines()).find(|(was, is)| was != is)?;
        Some(format!("the outcome is {is} instead of {was}"))
    };
    broken.first().cloned().or_else(|| (calm != outcome).then(|| differs().unwrap_or_default()))
}

fn exhaustive() -> Vec<Arc<Case>> {
    cases::exhaustive().into_iter().map(Arc::new).collect()
}

#[test]
fn every_mistake_is_found_out() {
    let since = Instant::now();
    let scenarios = cases::scenarios();
    let calm: Vec<_> =
        scenarios.into_iter().map(Arc::new).map(|case| (Arc::clone(&case), run(&case, Conduct::REAL, None).outcome)).collect();
    println!("mutant | killed by | because | and in the simulation");
    let mut survivors = Vec::new();
    for Mutant { name, conduct } in mutants() {
        let in_worlds = found_in_worlds(conduct);
        let worlds = match &in_worlds {
            Some((seeds, what)) => format!("after {seeds} worlds: {}", short(what)),
            None => format!("not in {SEEDS} worlds"),
        };
        match killer(conduct, &calm) {
            Some((by, what)) => println!("{name} | {by} | {} | {worlds}", short(&what)),
            None if in_worlds.is_some() => println!("{name} | simulation | | {worlds}"),
            None => survivors.push(name),
        }
    }
    println!("{} mutants, {} survive, {} ms", mutants().len(), survivors.len(), since.elapsed().as_millis());
    assert!(survivors.is_empty(), "these mistakes are not found out: {survivors:#?}");
}

fn short(what: &str) -> String {
    what.chars().take(110).collect()
}
