//! What is wrong with a prompt, and where.

use minijinja::{Error, ErrorKind};

/// One fault of a prompt. Shown as `insights.md:4: undefined name batch.owner; known: …`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct PromptFault {
    /// Name of the prompt's file.
    pub file: String,
    /// Line in it, from 1.
    pub line: usize,
    /// What kind of fault.
    pub kind: FaultKind,
    /// What is wrong and what is possible instead.
    pub message: String,
}

/// Kinds of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The template cannot be read, or uses a filter, test or statement that prompts do not have.
    Template,
    /// A name that is not defined.
    Undefined,
    /// Rendering does more work than a prompt may.
    TooMuchWork,
}

impl FaultKind {
    /// One CamelCase word for conditions and results.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Template => "PromptInvalid",
            Self::Undefined => "UndefinedName",
            Self::TooMuchWork => "PromptTooLarge",
        }
    }
}

impl PromptFault {
    pub(crate) fn new(file: &str, line: usize, kind: FaultKind, message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line, kind, message: message.into() }
    }

    /// From the engine's error; `lines_before` is how many lines of the file stand before the part it speaks of.
    pub(crate) fn from_engine(file: &str, lines_before: usize, error: &Error) -> Self {
        let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        let (kind, message) = match error.kind() {
            ErrorKind::UndefinedError => (FaultKind::Undefined, format!("undefined name: {detail}")),
            ErrorKind::OutOfFuel => (
                FaultKind::TooMuchWork,
                "rendering takes more steps than a prompt may: loop over fewer events, or truncate them".to_owned(),
            ),
            ErrorKind::SyntaxError => (FaultKind::Template, format!("syntax error: {detail}")),
            _ => (FaultKind::Template, detail),
        };
        Self::new(file, lines_before + error.line().unwrap_or(1), kind, message)
    }
}
