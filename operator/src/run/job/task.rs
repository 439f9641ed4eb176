//! What a pod does, as far as its Job depends on it.

use super::{BuildError, Parts};
use std::collections::BTreeMap;
use trackway_crds::{
    contracts::{ResolvedChannel, ResolvedDebugger, ResolvedModel, ResolvedStage, ResolvedWork},
    names,
    track::Resources,
};

/// What a pod does.
pub(super) struct Task<'a> {
    /// The models it calls.
    pub(super) models: Vec<Use<'a>>,
    /// The channels it sends to.
    pub(super) channels: &'a [ResolvedChannel],
    /// The program it runs.
    pub(super) program: Option<Program<'a>>,
    /// Its time, from its start.
    pub(super) timeout_millis: u64,
}

/// A model and what for.
pub(super) struct Use<'a> {
    /// Variable of its API key.
    pub(super) key: &'static str,
    /// File of its certificate authority.
    pub(super) file: &'static str,
    pub(super) model: &'a ResolvedModel,
}

/// A program of the user's.
pub(super) struct Program<'a> {
    pub(super) image: &'a str,
    pub(super) command: &'a [String],
    pub(super) args: &'a [String],
    pub(super) env: &'a BTreeMap<String, String>,
    pub(super) resources: Option<&'a Resources>,
}

impl<'a> Task<'a> {
    pub(super) fn of(parts: &Parts<'a>) -> Result<Self, BuildError> {
        let name = &parts.intent.assignment.stage;
        if name == names::DEBUGGER {
            let debugger = parts.revision.debugger.as_ref().ok_or(BuildError::NoDebugger)?;
            return Ok(Self::debugger(parts, debugger));
        }
        let stage = parts.revision.stage(name).ok_or_else(|| BuildError::NoStage(name.clone()))?;
        Ok(Self::stage(stage))
    }

    fn stage(stage: &'a ResolvedStage) -> Self {
        let generate = stage.model().map(|model| Use { key: "TRACKWAY_API_KEY_GENERATE", file: "generate.pem", model });
        let judge = stage.judge.as_ref();
        let judge = judge.map(|judge| Use { key: "TRACKWAY_API_KEY_JUDGE", file: "judge.pem", model: &judge.model });
        let (channels, program) = match &stage.work {
            ResolvedWork::Broadcast { channels, .. } => (channels.as_slice(), None),
            ResolvedWork::Container { image, command, args, env, resources, .. } => {
                (Default::default(), Some(Program { image, command, args, env, resources: resources.as_ref() }))
            }
            ResolvedWork::Generate { .. } | ResolvedWork::ValidateContext { .. } => (Default::default(), None),
        };
        Self { models: generate.into_iter().chain(judge).collect(), channels, program, timeout_millis: stage.timeout_millis }
    }

    /// The catch's time began when the stage failed; the debugger gets what is left of it.
    fn debugger(parts: &Parts<'a>, debugger: &'a ResolvedDebugger) -> Self {
        let catch = parts.run.status.as_ref().and_then(|status| status.catch.as_ref());
        let left = catch.map(|catch| catch.deadline_at.0.duration_since(parts.now).as_millis());
        let left = left.map(|left| u64::try_from(left).unwrap_or(0)).unwrap_or(debugger.timeout_millis);
        let model = Use { key: "TRACKWAY_API_KEY_DEBUG", file: "debug.pem", model: &debugger.model };
        Self { models: vec![model], channels: &[], program: None, timeout_millis: left }
    }
}
