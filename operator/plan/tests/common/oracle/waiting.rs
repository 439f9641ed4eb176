//! Waiting for answers: for what was asked, without a Job, on no clock but its own, and once.

use super::{Faults, History, Truth};
use trackway_crds::{
    contracts::ResolvedAsk,
    status::{AttemptStatus, BatchRunStatus, Phase, StagePhase, StageStatus, Verdict},
    track::OnTimeout,
};

/// Rounds of questions of one stage.
const ROUNDS: u32 = 3;

pub fn inv07_waits_for_what_is_asked(
    history: &mut History,
    truth: &Truth<'_>,
    before: &BatchRunStatus,
    after: &BatchRunStatus,
    faults: &mut Faults,
) {
    if after.phase == Some(Phase::WaitingForContext) {
        waits(truth, after, faults);
    }
    for new in &after.stages {
        let Some(ask) = truth.revision.stage(&new.name).and_then(|stage| stage.asks()) else { continue };
        let old = before.stages.iter().find(|old| old.name == new.name);
        if let Some(old) = old.filter(|old| asks(old)) {
            went_on(history, truth, (old, new), ask, faults);
        }
        if new.questionnaire.as_ref().is_some_and(|asked| asked.round > ROUNDS) {
            faults.push(("inv07", format!("{}: more than {ROUNDS} rounds of questions", new.name)));
        }
        let verdicts = new.attempts.iter().filter(|attempt| attempt.verdict.is_some());
        for said in verdicts.flat_map(|attempt| truth.said(&new.name, attempt.attempt, 0, attempt.try_)) {
            let rounds = new.questionnaire.as_ref().map_or(0, |asked| asked.round);
            if said.gaps == Some(0) && asks(new) && new.attempts.last().is_some_and(|last| last.attempt == said.attempt) {
                faults.push(("inv07", format!("{}: asks in round {rounds} although nothing is missing", new.name)));
            }
        }
    }
}

fn asks(stage: &StageStatus) -> bool {
    stage.attempts.last().is_some_and(|last| last.verdict == Some(Verdict::Ask))
}

fn waits(truth: &Truth<'_>, after: &BatchRunStatus, faults: &mut Faults) {
    let stage = after.stages.iter().find(|stage| stage.phase == StagePhase::Running);
    let asked = stage.filter(|stage| asks(stage)).and_then(|stage| stage.questionnaire.as_ref());
    match asked {
        None => faults.push(("inv07", "waits for answers to nothing".into())),
        Some(asked) if !truth.questionnaires.contains_key(&asked.name) => {
            faults.push(("inv07", format!("waits for {}, which nobody made", asked.name)));
        }
        Some(_) => {}
    }
    let open = |attempt: &AttemptStatus| attempt.verdict.is_none() && attempt.job_uid.is_some();
    if stage.is_some_and(|stage| stage.attempts.iter().any(open)) {
        faults.push(("inv07", "a run that waits for answers holds a Job".into()));
    }
    if after.deadline_at.is_some() {
        faults.push(("inv07", "the active clock runs while answers are waited for".into()));
    }
}

/// After a wait comes the next attempt, if there are answers, once; or the end of the stage, if the time was up.
fn went_on(
    history: &mut History,
    truth: &Truth<'_>,
    (old, new): (&StageStatus, &StageStatus),
    ask: ResolvedAsk,
    faults: &mut Faults,
) {
    let (Some(asked), Some(was), Some(is)) = (&old.questionnaire, old.attempts.last(), new.attempts.last()) else { return };
    let answered = truth.questionnaires.get(&asked.name).copied().flatten();
    if is.attempt > was.attempt {
        if answered.is_none() {
            faults.push(("inv07", format!("{} goes on with answers that {} does not have", new.name, asked.name)));
        }
        if !history.resumed.insert((new.name.clone(), asked.round)) {
            faults.push(("inv07", format!("{} goes on twice after round {}", new.name, asked.round)));
        }
        if new.used.quality != old.used.quality {
            faults.push(("inv03", format!("{}: questions used up a budget", new.name)));
        }
    } else if matches!(new.phase, StagePhase::Succeeded | StagePhase::Failed) && is.verdict == Some(Verdict::Advance) {
        let right = if ask.on_timeout == OnTimeout::Fail { StagePhase::Failed } else { StagePhase::Succeeded };
        if new.phase != right || truth.now < asked.expires_at.0.as_millisecond() {
            faults.push(("inv07", format!("{} became {:?} before {} had expired", new.name, new.phase, asked.name)));
        }
    }
}
