//! Prompts checked against what is known when their stage begins.

use crate::fault::{Fault, Faults, Reason};
use serde_json::Value;
use std::collections::BTreeMap;
use trackway_crds::contracts::REVISION_KEY;
use trackway_prompt::{Known, Output, Prompt, PromptFault, Target};

/// What the prompt of one stage may name that is its own.
pub(crate) struct Own<'a> {
    pub(crate) vars: &'a BTreeMap<String, Value>,
    pub(crate) target: Option<Target>,
    /// Whether it sees past events.
    pub(crate) retrieves: bool,
}

/// What prompts may name so far.
#[derive(Default)]
pub(crate) struct Prompts {
    stages: Vec<(String, Output)>,
}

impl Prompts {
    /// From now on prompts may name `stages.<name>`.
    pub(crate) fn stage_done(&mut self, name: &str, output: Output) {
        self.stages.push((name.to_owned(), output));
    }

    /// What is known of the output of the earlier stage `name`.
    pub(crate) fn output(&self, name: &str) -> Option<&Output> {
        self.stages.iter().find(|(stage, _)| stage == name).map(|(_, output)| output)
    }

    /// Checks the prompt `file`; faults are said at `path`.
    pub(crate) fn check(&self, path: &str, (file, text): (&str, &str), own: &Own<'_>, faults: &mut Faults) {
        if file == REVISION_KEY {
            faults.add(
                path,
                Reason::PromptInvalid,
                format!("the key {REVISION_KEY} is taken by Trackway: give the prompt another"),
            );
            return;
        }
        let known =
            Known { stages: self.stages.clone(), vars: own.vars.clone(), target: own.target.clone(), retrieves: own.retrieves };
        match Prompt::parse(file, text) {
            Ok(prompt) => prompt.check(&known).into_iter().for_each(|fault| faults.push(invalid(path, fault))),
            Err(fault) => faults.push(invalid(path, fault)),
        }
    }
}

fn invalid(path: &str, fault: PromptFault) -> Fault {
    Fault {
        path: path.to_owned(),
        reason: Reason::PromptInvalid,
        message: fault.message,
        file: Some(fault.file),
        line: Some(u32::try_from(fault.line).unwrap_or(u32::MAX)),
    }
}
