//! A small run: its track, what its workers will say, and how much may go wrong.

use super::super::track as fixture;
use std::sync::Arc;
use trackway_crds::{
    Tolerance,
    contracts::{ErrorClass, ResolvedDebugger, ResolvedForEach, ResolvedStage, Revision},
    names::DEBUGGER,
};

/// What comes of one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Say {
    /// Stored and judged so; of a stage without a judge: stored.
    Score(u16),
    /// An error.
    Error(ErrorClass),
    /// An error, and the server wants to be left alone for ten seconds.
    Later,
    /// Nothing, until its Job's deadline.
    Hangs,
    /// Kills its pod before anything is stored.
    Kills,
    /// No pod comes to run.
    Waits(&'static str),
    /// The context has gaps.
    Gaps,
}

/// The last rule that fits counts; `None` fits all.
#[derive(Clone, Copy, Debug)]
struct Rule {
    stage: &'static str,
    index: Option<u32>,
    attempt: Option<u32>,
    try_: Option<u32>,
    say: Say,
}

/// How often each thing may still go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// An operator forgets everything it was about to do.
    pub crashes: u8,
    /// An operator plans from what it saw before.
    pub stale: u8,
    /// A pod dies, before or after it has stored something.
    pub lost_pods: u8,
    /// A result never reaches the stream.
    pub lost_results: u8,
    /// An operator is not told of a change.
    pub lost_watches: u8,
    /// Time passes although something else could happen.
    pub early: u8,
    /// Somebody deletes a Job by hand.
    pub deletions: u8,
    /// Somebody sets `spec.cancel`.
    pub cancels: u8,
    /// Somebody says something in a worker's name.
    pub forgeries: u8,
}

pub struct Case {
    pub name: &'static str,
    pub revision: Arc<Revision>,
    pub operators: usize,
    pub budget: Budget,
    /// Entries of every list.
    pub listed: u32,
    /// Jobs are refused until then, in milliseconds.
    pub refused_until: i64,
    /// Suspended from its creation until then, in milliseconds.
    pub suspended_until: Option<i64>,
    /// Set once so many Jobs were made.
    pub cancel_after: Option<u32>,
    /// Somebody answers what is asked.
    pub answers: bool,
    rules: Vec<Rule>,
}

impl Case {
    pub fn new(name: &'static str, stages: Vec<ResolvedStage>) -> Self {
        let mut revision = fixture::revision(stages);
        revision.limits.start_timeout_millis = 60_000;
        revision.limits.active_deadline_millis = 1_200_000;
        Self {
            name,
            revision: Arc::new(revision),
            operators: 1,
            budget: Budget::default(),
            listed: 0,
            refused_until: 0,
            suspended_until: None,
            cancel_after: None,
            answers: true,
            rules: Vec::new(),
        }
    }

    pub fn revise(mut self, change: impl FnOnce(&mut Revision)) -> Self {
        let mut revision = (*self.revision).clone();
        change(&mut revision);
        self.revision = Arc::new(revision);
        self
    }

    pub fn debugger(self, timeout_millis: u64) -> Self {
        self.revise(|revision| {
            revision.debugger = Some(ResolvedDebugger { model: fixture::model("critic"), timeout_millis });
        })
    }

    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Every try of `stage` says this.
    pub fn says(mut self, stage: &'static str, say: Say) -> Self {
        self.rules.push(Rule { stage, index: None, attempt: None, try_: None, say });
        self
    }

    /// Every try of one attempt.
    pub fn attempt_says(mut self, stage: &'static str, attempt: u32, say: Say) -> Self {
        self.rules.push(Rule { stage, index: None, attempt: Some(attempt), try_: None, say });
        self
    }

    /// One try.
    pub fn try_says(mut self, stage: &'static str, attempt: u32, try_: u32, say: Say) -> Self {
        self.rules.push(Rule { stage, index: None, attempt: Some(attempt), try_: Some(try_), say });
        self
    }

    /// Every try of a target, or of one of its attempts.
    pub fn target_says(mut self, stage: &'static str, index: u32, attempt: Option<u32>, say: Say) -> Self {
        self.rules.push(Rule { stage, index: Some(index), attempt, try_: None, say });
        self
    }

    /// One try of a target.
    pub fn target_try_says(mut self, stage: &'static str, index: u32, attempt: u32, try_: u32, say: Say) -> Self {
        self.rules.push(Rule { stage, index: Some(index), attempt: Some(attempt), try_: Some(try_), say });
        self
    }

    pub fn say(&self, stage: &str, index: u32, attempt: u32, try_: u32) -> Say {
        let fits = |rule: &&Rule| {
            rule.stage == stage
                && rule.index.is_none_or(|of| of == index)
                && rule.attempt.is_none_or(|of| of == attempt)
                && rule.try_.is_none_or(|of| of == try_)
        };
        self.rules.iter().rfind(fits).map_or(Say::Score(800), |rule| rule.say)
    }
}

/// A stage over `list.targets`.
pub fn fan_out(name: &str, max_concurrency: u32, targets_per_pod: u32, tolerated_failures: Tolerance) -> ResolvedStage {
    let mut stage = fixture::stage(name);
    stage.for_each = Some(ResolvedForEach {
        stage: "list".into(),
        field: "targets".into(),
        key: "id".into(),
        max_concurrency,
        targets_per_pod,
        tolerated_failures,
    });
    stage
}

/// The stage that writes the list.
pub fn list() -> ResolvedStage {
    let mut stage = fixture::stage("list");
    stage.judge = None;
    stage
}

pub const OF_DEBUGGER: &str = DEBUGGER;
