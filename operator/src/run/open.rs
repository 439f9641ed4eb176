//! What of a run is open: tries whose Job is recorded and whose outcome is not. Pure.

use trackway_crds::{
    BatchRunStatus,
    ledger::{Ledger, TargetState},
    names,
    status::{Phase, StagePhase, StageStatus, TargetsStatus},
};
use trackway_nats::NatsError;

/// Open tries, and the Jobs that work on them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) tries: Vec<OpenTry>,
    pub(crate) jobs: Vec<OpenJob>,
}

/// A try whose result is waited for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OpenTry {
    /// Where its result arrives.
    pub(crate) subject: String,
    /// Index of the target, 0 outside a fan-out.
    pub(crate) index: u32,
    pub(crate) attempt: u32,
    pub(crate) try_: u32,
}

/// A recorded Job.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OpenJob {
    pub(crate) name: String,
    pub(crate) uid: String,
}

/// Whose work it is.
#[derive(Clone, Copy)]
pub(crate) struct Owner<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) run: &'a str,
    pub(crate) uid: &'a str,
}

impl Open {
    /// What of the run is open: the try of the stage that runs, every target of it that runs, or the debugger.
    ///
    /// # Errors
    /// When a name in it cannot be part of a subject.
    pub(crate) fn of(owner: Owner<'_>, status: &BatchRunStatus) -> Result<Self, NatsError> {
        if status.phase.is_some_and(Phase::is_finished) {
            return Ok(Self::default());
        }
        let running = status.stages.iter().find(|stage| stage.phase == StagePhase::Running);
        match running {
            Some(StageStatus { name, targets: Some(targets), .. }) => fan_out(owner, name, targets),
            Some(stage) => {
                let open = stage.attempts.last().filter(|attempt| attempt.verdict.is_none());
                let recorded = open.and_then(|open| Some((open.attempt, open.try_, open.job_uid.as_deref()?)));
                recorded.map_or(Ok(Self::default()), |recorded| single(owner, &stage.name, recorded))
            }
            None if status.phase == Some(Phase::Diagnosing) => {
                let recorded = status.catch.as_ref().and_then(|catch| Some((1, catch.try_, catch.job_uid.as_deref()?)));
                recorded.map_or(Ok(Self::default()), |recorded| single(owner, names::DEBUGGER, recorded))
            }
            None => Ok(Self::default()),
        }
    }
}

fn single(owner: Owner<'_>, stage: &str, (attempt, try_, uid): (u32, u32, &str)) -> Result<Open, NatsError> {
    let name = names::job_name(owner.run, owner.uid, stage, attempt, try_);
    Ok(Open { tries: vec![open_try(owner, stage, (0, attempt, try_))?], jobs: vec![OpenJob { name, uid: uid.to_owned() }] })
}

fn fan_out(owner: Owner<'_>, stage: &str, targets: &TargetsStatus) -> Result<Open, NatsError> {
    // Nothing is open in a ledger that cannot be read; what to do about it is the planner's to say.
    let ledger = Ledger::decode(&targets.ledger).unwrap_or_default();
    let running = (0u32..).zip(&ledger.0).filter(|(_, target)| target.state == TargetState::Running);
    let tries = running.map(|(index, target)| open_try(owner, stage, (index, target.attempt, target.try_())));
    let jobs = targets.waves.iter().map(|wave| OpenJob {
        name: names::wave_job_name(owner.run, owner.uid, stage, wave.wave, wave.try_),
        uid: wave.job_uid.clone(),
    });
    Ok(Open { tries: tries.collect::<Result<_, _>>()?, jobs: jobs.collect() })
}

fn open_try(owner: Owner<'_>, stage: &str, (index, attempt, try_): (u32, u32, u32)) -> Result<OpenTry, NatsError> {
    let subject = trackway_nats::result_subject(owner.namespace, owner.uid, stage, attempt, try_, index)?;
    Ok(OpenTry { subject, index, attempt, try_ })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const OWNER: Owner<'static> = Owner { namespace: "team-a", run: "admin-b7k2f9q1", uid: "u-1" };
    const MOMENT: &str = "2026-11-22T14:00:00.000000Z";

    fn open(status: Value) -> Open {
        Open::of(OWNER, &serde_json::from_value(status).unwrap()).unwrap()
    }

    fn subjects(open: &Open) -> Vec<&str> {
        open.tries.iter().map(|open| open.subject.as_str()).collect()
    }

    fn stage(more: Value) -> Value {
        let mut stage = json!({"name": "notices", "phase": "Running", "startedAt": MOMENT, "attempts": [],
            "millis": {"queued": 0, "podStart": 0, "generate": 0, "judge": 0, "operator": 0, "paused": 0},
            "used": {"quality": 0, "infrastructure": 0, "model": 0, "judge": 0, "tokens": 0}});
        stage.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        stage
    }

    #[test]
    fn the_open_try_of_a_stage_is_open_until_it_has_a_verdict() {
        let mut attempt = json!({"attempt": 2, "try": 3, "jobUID": "j", "startedAt": MOMENT});
        let found = open(json!({"phase": "Running", "stages": [stage(json!({"attempts": [attempt]}))]}));
        assert_eq!(subjects(&found), ["RESULTS.team-a.u-1.notices.2.3.0"]);
        assert_eq!(found.jobs[0].name, names::job_name(OWNER.run, OWNER.uid, "notices", 2, 3));
        attempt["verdict"] = json!("Retry");
        assert_eq!(open(json!({"phase": "Running", "stages": [stage(json!({"attempts": [attempt]}))]})), Open::default());
    }

    #[test]
    fn every_running_target_is_open_with_its_own_attempt_and_try() {
        let mut ledger = Ledger::new(4);
        ledger.0[1].state = TargetState::Running;
        ledger.0[2].state = TargetState::Succeeded;
        ledger.0[3] = trackway_crds::ledger::Target { state: TargetState::Running, attempt: 2, model: 1, ..ledger.0[3] };
        let wave = |wave: u32, uid: &str| json!({"wave": wave, "try": 1, "jobUID": uid, "targets": "0", "targetsPerPod": 10, "startedAt": MOMENT});
        let targets = json!({"total": 4, "running": 2, "succeeded": 1, "failed": 0, "retries": 1, "ledger": ledger.encode(),
            "cut": 3, "updatedAt": MOMENT, "accountedUntil": MOMENT, "waves": [wave(1, "j-1"), wave(3, "j-3")]});
        let found = open(json!({"phase": "Running", "stages": [stage(json!({"targets": targets}))]}));
        assert_eq!(subjects(&found), ["RESULTS.team-a.u-1.notices.1.1.1", "RESULTS.team-a.u-1.notices.2.2.3"]);
        let names: Vec<_> = found.jobs.iter().map(|job| job.name.clone()).collect();
        assert_eq!(names, [1, 3].map(|wave| names::wave_job_name(OWNER.run, OWNER.uid, "notices", wave, 1)));
    }

    #[test]
    fn the_debugger_is_open_while_the_run_is_diagnosed() {
        let mut status = json!({"phase": "Diagnosing", "stages": [stage(json!({"phase": "Failed"}))],
            "catch": {"startedAt": MOMENT, "deadlineAt": MOMENT, "try": 2, "jobUID": "j", "tokens": 0}});
        let found = open(status.clone());
        assert_eq!(subjects(&found), ["RESULTS.team-a.u-1.Debugger.1.2.0"]);
        assert_eq!(found.jobs[0].name, names::job_name(OWNER.run, OWNER.uid, names::DEBUGGER, 1, 2));
        status["phase"] = json!("Failed");
        assert_eq!(open(status), Open::default());
    }
}
