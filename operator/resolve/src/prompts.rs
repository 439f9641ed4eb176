//! Prompts checked against what is known when their stage begins.

use crate::fault::{Fault, Faults, Reason};
use serde_json::Value;
use std::collections::BTreeMap;
use trackway_crds::contracts::REVISION_KEY;
use trackway_prompt::{Known, Prompt, PromptFault};

/// What prompts may name so far.
#[derive(Default)]
pub(crate) struct Prompts {
    stages: Vec<(String, Option<Value>)>,
}

impl Prompts {
    /// From now on prompts may name `stages.<name>`, whose output has the given schema (`None`: `{"text": string}`).
    pub(crate) fn stage_done(&mut self, name: &str, output: Option<Value>) {
        self.stages.push((name.to_owned(), output));
    }

    /// Checks the prompt `file`; faults are said at `path`.
    pub(crate) fn check(&self, path: &str, file: &str, text: &str, vars: &BTreeMap<String, Value>, faults: &mut Faults) {
        if file == REVISION_KEY {
            faults.add(
                path,
                Reason::PromptInvalid,
                format!("the key {REVISION_KEY} is taken by Trackway: give the prompt another"),
            );
            return;
        }
        let known = Known { stages: self.stages.clone(), vars: vars.clone() };
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
