//! What is wrong with a Track, where, and what to do about it.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where in the resource, for example `spec.stages[1].generate.prompt`.
    pub path: String,
    /// One word for machines.
    pub reason: Reason,
    /// What is wrong, what would be right and what to do, for people. Without path, file and line.
    pub message: String,
    /// Key of the prompt or schema that is wrong, when it is not the resource itself.
    pub file: Option<String>,
    /// Line in `file`, from 1.
    pub line: Option<u32>,
}

impl fmt::Display for Fault {
    /// `insights.md:4: spec.stages[0].generate.prompt: undefined name …`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file}:{line}: ")?,
            (Some(file), None) => write!(f, "{file}: ")?,
            (None, _) => {}
        }
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Why a Track cannot be run, in one word. It is the reason of its `Ready` condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// A field is unknown, missing or out of its bounds, or a rule of the CRD is broken.
    SpecInvalid,
    /// The track's or a stage's name is too long.
    NameTooLong,
    /// Two stages have one name.
    DuplicateStage,
    /// A role that `spec.models` does not have.
    UnknownModel,
    /// A ModelEndpoint that does not exist.
    UnknownEndpoint,
    /// A judge without model or dimensions.
    JudgeIncomplete,
    /// No prompt under that key.
    PromptMissing,
    /// A prompt that cannot be rendered.
    PromptInvalid,
    /// No schema under that key.
    SchemaMissing,
    /// A schema that is not a JSON Schema of an object.
    SchemaInvalid,
    /// A stage that does not come before.
    UnknownStage,
    /// `forEach.items` is no list of objects of an earlier stage.
    ListInvalid,
    /// The stage that is to approve cannot.
    ApprovalInvalid,
    /// A URL that notices cannot be posted to.
    UrlInvalid,
    /// No quantity of CPU, memory or the like.
    QuantityInvalid,
    /// A duration out of bounds.
    BadDuration,
    /// Prompts, schemas and spec do not fit a ConfigMap.
    TooLarge,
}

impl Reason {
    /// As written in conditions.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SpecInvalid => "SpecInvalid",
            Self::NameTooLong => "NameTooLong",
            Self::DuplicateStage => "DuplicateStage",
            Self::UnknownModel => "UnknownModel",
            Self::UnknownEndpoint => "UnknownEndpoint",
            Self::JudgeIncomplete => "JudgeIncomplete",
            Self::PromptMissing => "PromptMissing",
            Self::PromptInvalid => "PromptInvalid",
            Self::SchemaMissing => "SchemaMissing",
            Self::SchemaInvalid => "SchemaInvalid",
            Self::UnknownStage => "UnknownStage",
            Self::ListInvalid => "ListInvalid",
            Self::ApprovalInvalid => "ApprovalInvalid",
            Self::UrlInvalid => "UrlInvalid",
            Self::QuantityInvalid => "QuantityInvalid",
            Self::BadDuration => "BadDuration",
            Self::TooLarge => "TooLarge",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Faults as they are found, each once.
#[derive(Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(&mut self, path: impl Into<String>, reason: Reason, message: impl Into<String>) {
        self.push(Fault { path: path.into(), reason, message: message.into(), file: None, line: None });
    }

    pub(crate) fn push(&mut self, fault: Fault) {
        if !self.0.contains(&fault) {
            self.0.push(fault);
        }
    }

    pub(crate) fn extend(&mut self, faults: impl IntoIterator<Item = Fault>) {
        faults.into_iter().for_each(|fault| self.push(fault));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_vec(self) -> Vec<Fault> {
        self.0
    }

    /// Track first, then stage by stage.
    pub(crate) fn into_sorted(mut self) -> Vec<Fault> {
        self.0.sort_by_key(|fault| stage_index(&fault.path));
        self.0
    }
}

fn stage_index(path: &str) -> usize {
    let index = path.strip_prefix("spec.stages[").and_then(|rest| rest.split(']').next()?.parse::<usize>().ok());
    index.map_or(0, |index| index + 1)
}

/// `a, b and c`-like lists for messages; `none` when empty.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
