//! The small runs: those that are explored exhaustively, and those in which every call goes wrong once.

use super::{
    super::track as fixture,
    case::{Budget, Case, OF_DEBUGGER, Say, fan_out, list},
};
use trackway_crds::{
    Tolerance,
    contracts::{ErrorClass, ResolvedStage},
    track::{OnMissing, OnTimeout},
};

fn stages(names: &[&str]) -> Vec<ResolvedStage> {
    names.iter().map(|name| fixture::stage(name)).collect()
}

fn context(on_missing: OnMissing) -> ResolvedStage {
    let mut stage = fixture::stage("context");
    stage.work = fixture::validates(on_missing);
    stage.judge = None;
    stage
}

/// A context validation that waits 100 s for answers.
fn asking(on_timeout: OnTimeout) -> Vec<ResolvedStage> {
    let mut stage = context(OnMissing::Proceed);
    stage.work = fixture::asks(100_000, on_timeout);
    vec![stage, fixture::stage("a")]
}

/// A list of `listed` targets, then notices over it.
fn notices(name: &'static str, listed: u32, max: u32, per_pod: u32, tolerated: Tolerance) -> Case {
    Case::new(name, vec![list(), fan_out("notices", max, per_pod, tolerated)]).with(|case| case.listed = listed)
}

/// All interleavings of these are looked at.
pub fn exhaustive() -> Vec<Case> {
    let mut all = exhaustive_stages();
    all.extend(exhaustive_wide());
    all
}

pub fn exhaustive_stages() -> Vec<Case> {
    let none = Budget::default();
    vec![
        Case::new("one stage, two attempts, a lost pod, a crash, two operators", stages(&["a"]))
            .attempt_says("a", 1, Say::Score(600))
            .with(|case| (case.operators, case.budget) = (2, Budget { crashes: 1, lost_pods: 1, ..none })),
        Case::new("one stage, a lost result, a forged one, a Job deleted by hand", stages(&["a"]))
            .with(|case| case.budget = Budget { stale: 1, lost_results: 1, forgeries: 1, deletions: 1, ..none }),
        Case::new("one stage, two operators, a Job deleted by hand", stages(&["a"]))
            .with(|case| (case.operators, case.budget) = (2, Budget { deletions: 1, ..none })),
        Case::new("two stages, two operators, a crash, a watch event lost", stages(&["a", "b"]))
            .with(|case| (case.operators, case.budget) = (2, Budget { crashes: 1, lost_watches: 1, ..none })),
        Case::new("two stages, cancelled, timers early", stages(&["a", "b"]))
            .try_says("a", 1, 1, Say::Error(ErrorClass::Model))
            .with(|case| case.budget = Budget { crashes: 1, cancels: 1, early: 1, ..none }),
        Case::new("questions, two operators, a crash", asking(OnTimeout::Proceed))
            .attempt_says("context", 1, Say::Gaps)
            .with(|case| (case.operators, case.budget) = (2, Budget { crashes: 1, ..none })),
        Case::new("questions that nobody answers, a crash, stale caches, cancelled", asking(OnTimeout::Fail))
            .attempt_says("context", 1, Say::Gaps)
            .with(|case| (case.answers, case.budget) = (false, Budget { crashes: 1, stale: 1, cancels: 1, ..none })),
    ]
}

/// Fan-outs and debuggers, likewise.
pub fn exhaustive_wide() -> Vec<Case> {
    let none = Budget::default();
    vec![
        notices("three targets, two to a pod, one retried, a lost pod, a crash", 3, 3, 2, Tolerance::Count(1))
            .target_says("notices", 1, Some(1), Say::Score(600))
            .with(|case| case.budget = Budget { crashes: 1, lost_pods: 1, ..none }),
        notices("two targets, one fails, a lost result, a forged one", 2, 2, 1, Tolerance::Count(1))
            .target_says("notices", 1, None, Say::Error(ErrorClass::Permanent))
            .with(|case| case.budget = Budget { lost_results: 1, forgeries: 1, stale: 1, ..none }),
        notices("two targets, one at a time, two operators", 2, 1, 1, Tolerance::Count(0))
            .with(|case| (case.operators, case.budget) = (2, none)),
        Case::new("a stage fails and the debugger answers", stages(&["a"]))
            .says("a", Say::Error(ErrorClass::Permanent))
            .debugger(120_000)
            .with(|case| (case.operators, case.budget) = (2, Budget { crashes: 1, ..none })),
        Case::new("a stage fails and the debugger hangs", stages(&["a"]))
            .says("a", Say::Error(ErrorClass::Permanent))
            .says(OF_DEBUGGER, Say::Hangs)
            .debugger(120_000)
            .with(|case| case.budget = Budget { crashes: 1, stale: 1, early: 1, lost_watches: 1, ..none }),
    ]
}

/// Runs whose outcome no mishap of an operator may change.
pub fn scenarios() -> Vec<Case> {
    let mut all = scenarios_of_stages();
    all.extend(scenarios_wide());
    all
}

fn scenarios_of_stages() -> Vec<Case> {
    vec![
        Case::new("straight", stages(&["a", "b", "c"])),
        Case::new("retried", stages(&["a", "b"])).attempt_says("a", 1, Say::Score(600)).attempt_says("b", 1, Say::Score(699)),
        Case::new("exhausted", stages(&["a", "b"])).says("a", Say::Score(650)),
        Case::new("model errors", stages(&["a"])).try_says("a", 1, 1, Say::Error(ErrorClass::Model)).try_says(
            "a",
            1,
            2,
            Say::Later,
        ),
        Case::new("judge errors", stages(&["a"])).try_says("a", 1, 1, Say::Error(ErrorClass::Judge)).try_says(
            "a",
            1,
            2,
            Say::Error(ErrorClass::Judge),
        ),
        Case::new("every class", stages(&["a", "b"]))
            .try_says("a", 1, 1, Say::Error(ErrorClass::Infrastructure))
            .try_says("a", 1, 2, Say::Error(ErrorClass::Judge))
            .try_says("a", 1, 3, Say::Error(ErrorClass::Model))
            .try_says("a", 1, 4, Say::Score(500)),
        Case::new("permanent", stages(&["a", "b"])).says("b", Say::Error(ErrorClass::Permanent)),
        Case::new("a pod that dies", stages(&["a", "b"])).try_says("a", 1, 1, Say::Kills),
        Case::new("a pod that hangs", stages(&["a"])).try_says("a", 1, 1, Say::Hangs),
        Case::new("an image that is not there", stages(&["a"])).try_says("a", 1, 1, Say::Waits("ImagePullBackOff")),
        Case::new("a Secret that is not there", stages(&["a", "b"])).says("b", Say::Waits("CreateContainerConfigError")),
        Case::new("refused for a while", stages(&["a", "b"])).with(|case| case.refused_until = 15_000),
        Case::new("context complete", vec![context(OnMissing::Fail), fixture::stage("a")]),
        Case::new("context with gaps", vec![context(OnMissing::Fail), fixture::stage("a")]).says("context", Say::Gaps),
        Case::new("context asked for and given", asking(OnTimeout::Fail)).attempt_says("context", 1, Say::Gaps),
        Case::new("asked and not answered, proceeds", asking(OnTimeout::Proceed))
            .attempt_says("context", 1, Say::Gaps)
            .with(|case| case.answers = false),
        Case::new("asked and not answered, fails", asking(OnTimeout::Fail))
            .attempt_says("context", 1, Say::Gaps)
            .with(|case| case.answers = false),
        Case::new("asks without end", asking(OnTimeout::Proceed)).says("context", Say::Gaps),
        Case::new("waits longer than it may be active", asking(OnTimeout::Proceed))
            .attempt_says("context", 1, Say::Gaps)
            .with(|case| case.answers = false)
            .revise(|revision| revision.limits.active_deadline_millis = 50_000),
        Case::new("cancelled", stages(&["a", "b", "c"])).with(|case| case.cancel_after = Some(2)),
        Case::new("suspended from birth", stages(&["a", "b"])).with(|case| case.suspended_until = Some(500_000)),
        Case::new("too long", stages(&["a"]))
            .says("a", Say::Hangs)
            .revise(|revision| revision.limits.active_deadline_millis = 100_000),
    ]
}

/// Fan-outs and debuggers, likewise.
fn scenarios_wide() -> Vec<Case> {
    let some = Tolerance::Count(1);
    vec![
        notices("six at once", 6, 6, 2, some),
        notices("no target", 0, 6, 2, some),
        notices("one at a time", 3, 1, 1, some),
        notices("retried targets", 6, 6, 3, some).target_says("notices", 1, Some(1), Say::Score(600)).target_says(
            "notices",
            4,
            Some(1),
            Say::Score(600),
        ),
        notices("a poison target", 4, 4, 2, some).target_says("notices", 1, None, Say::Kills),
        notices("one tolerated", 4, 2, 2, some).target_says("notices", 3, None, Say::Score(300)),
        notices("one too many", 4, 2, 2, Tolerance::Count(0)).target_says("notices", 1, None, Say::Score(300)),
        notices("all fail", 3, 3, 3, Tolerance::Percent(100)).says("notices", Say::Error(ErrorClass::Permanent)),
        notices("targets of every class", 5, 5, 1, some)
            .target_try_says("notices", 0, 1, 1, Say::Error(ErrorClass::Model))
            .target_try_says("notices", 1, 1, 1, Say::Error(ErrorClass::Judge))
            .target_try_says("notices", 2, 1, 1, Say::Error(ErrorClass::Infrastructure))
            .target_try_says("notices", 3, 1, 1, Say::Later),
        notices("a target that hangs", 3, 3, 3, some).target_try_says("notices", 2, 1, 1, Say::Hangs),
        notices("waves refused for a while", 3, 3, 3, some).with(|case| case.refused_until = 15_000),
        notices("twelve, three at a time", 12, 3, 1, some).target_says("notices", 7, Some(1), Say::Score(600)),
        notices("out of tokens", 6, 2, 1, some).revise(|revision| revision.limits.tokens = Some(400)),
        Case::new("a fan-out between stages", vec![list(), fan_out("notices", 4, 2, some), fixture::stage("editorial")])
            .target_says("notices", 3, None, Say::Error(ErrorClass::Permanent))
            .attempt_says("editorial", 1, Say::Score(600))
            .with(|case| case.listed = 4),
        Case::new("two fan-outs", vec![list(), fan_out("notices", 4, 2, some), fan_out("letters", 2, 2, some)])
            .target_says("letters", 0, Some(1), Say::Score(600))
            .with(|case| case.listed = 3),
        notices("cancelled in a fan-out", 6, 3, 1, some).with(|case| case.cancel_after = Some(2)),
        Case::new("diagnosed", stages(&["a"])).says("a", Say::Error(ErrorClass::Permanent)).debugger(120_000),
        Case::new("debugger hangs", stages(&["a"])).says("a", Say::Score(100)).says(OF_DEBUGGER, Say::Hangs).debugger(120_000),
        Case::new("debugger answers prose", stages(&["a"]))
            .says("a", Say::Error(ErrorClass::Permanent))
            .says(OF_DEBUGGER, Say::Error(ErrorClass::Model))
            .debugger(120_000),
        Case::new("debugger's pod dies once", stages(&["a"]))
            .says("a", Say::Error(ErrorClass::Permanent))
            .try_says(OF_DEBUGGER, 1, 1, Say::Kills)
            .debugger(120_000),
        notices("a fan-out that fails is diagnosed", 3, 3, 3, Tolerance::Count(0))
            .target_says("notices", 1, None, Say::Score(300))
            .debugger(120_000),
    ]
}
