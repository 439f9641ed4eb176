//! One run of a case in virtual time: whatever is first in order happens, but for one thing that goes wrong at a numbered call.

use super::{Action, World, case::Case};
use crate::common::conduct::Conduct;
use std::{fmt::Write, sync::Arc};
use trackway_crds::{
    ledger::Ledger,
    status::{BatchRunStatus, StageStatus},
};

/// No run of a case takes that many steps.
const MOST_STEPS: usize = 20_000;

/// What goes wrong at a call of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It crashes before the call.
    CrashBefore,
    /// It crashes after the call, with all its memory.
    CrashAfter,
    /// Somebody else writes first (a write), or the API server does not answer (anything else).
    Conflict,
    /// The call is done, and the operator does not get to know.
    AnswerLost,
    /// It is not told of the next thing that happens in the world.
    WatchLost,
}

pub const MISHAPS: [Mishap; 5] =
    [Mishap::CrashBefore, Mishap::CrashAfter, Mishap::Conflict, Mishap::AnswerLost, Mishap::WatchLost];

/// What a run came to.
pub struct Ended {
    pub calls: usize,
    pub broken: Vec<String>,
    /// Everything that must be the same whatever went wrong.
    pub outcome: String,
    /// When it ended, in milliseconds.
    pub at: i64,
}

pub fn run(case: &Arc<Case>, conduct: Conduct, mishap: Option<(usize, Mishap)>) -> Ended {
    let mut world = World::new(case, conduct);
    let mut calls = 0;
    let mut deaf = false;
    for _ in 0..MOST_STEPS {
        let Some(action) = world.actions().into_iter().next() else { break };
        match action {
            Action::Call(who) => {
                calls += 1;
                match mishap.filter(|(at, _)| *at == calls).map(|(_, mishap)| mishap) {
                    Some(mishap) => {
                        deaf = mishap == Mishap::WatchLost;
                        world.go_wrong(who, mishap);
                    }
                    None => world.act(&action),
                }
            }
            Action::Look(..) => world.act(&action),
            _ => {
                let dirty: Vec<_> = world.operators.iter().map(|operator| operator.dirty || operator.wake.is_none()).collect();
                world.act(&action);
                if deaf && action != Action::Tick {
                    world.operators.iter_mut().zip(dirty).for_each(|(operator, was)| operator.dirty &= was);
                    deaf = false;
                }
            }
        }
        if world.broken.len() > 3 {
            break;
        }
    }
    world.is_over_rightly();
    Ended { calls, outcome: outcome(&world), at: world.now, broken: world.broken }
}

impl World {
    fn go_wrong(&mut self, who: usize, mishap: Mishap) {
        match mishap {
            Mishap::CrashBefore => self.operators[who].crash(),
            Mishap::CrashAfter => {
                self.call(who);
                self.operators[who].crash();
            }
            Mishap::Conflict => {
                // Somebody labels the run: a new version that says the same.
                let mut version = self.run.it.clone();
                version.resource_version += 1;
                self.run = super::Told::new(version);
                if self.operators[who].next_is_write() { self.call(who) } else { self.fail_call(who) }
            }
            Mishap::AnswerLost => {
                let before = self.operators[who].clone();
                self.call(who);
                self.operators[who] = before;
                self.fail_call(who);
            }
            Mishap::WatchLost => self.call(who),
        }
    }
}

/// Everything of a run that does not depend on when it happened.
pub fn outcome(world: &World) -> String {
    let status = world.status();
    let mut told = outcome_in_short(world);
    for stage in &status.stages {
        write!(told, "\n{}: {}", stage.name, of_stage(stage)).unwrap();
    }
    write!(told, "\ngenerations: {:?}", world.facts().generations).unwrap();
    told
}

pub fn outcome_in_short(world: &World) -> String {
    let status = world.status();
    let phase = status.phase.map_or("none", trackway_crds::status::Phase::as_str);
    let failure = status.failure.as_ref().map(|failure| format!(" {}", failure.reason)).unwrap_or_default();
    format!("{phase}{failure}{}", if status.diagnosis.is_some() { " diagnosed" } else { "" })
}

fn of_stage(stage: &StageStatus) -> String {
    let attempts: Vec<_> = stage.attempts.iter().map(|a| (a.attempt, a.try_, a.score, a.verdict)).collect();
    let used = &stage.used;
    let mut told = format!("{:?} {attempts:?} {used:?}", stage.phase);
    if let Some(targets) = &stage.targets {
        let ledger = Ledger::decode(&targets.ledger).unwrap();
        write!(told, " {:?} {:?}", ledger.0, targets.lowest).unwrap();
    }
    told
}

/// The same of a status alone.
pub fn phases(status: &BatchRunStatus) -> Vec<String> {
    status.stages.iter().map(of_stage).collect()
}
