//! A prompt: read once, checked, rendered per attempt.

use std::fmt;

use minijinja::Environment;
use trackway_crds::names::sha256_hex;

use crate::{
    Known, PromptContext, PromptFault,
    check::check_part,
    filters::environment,
    parts::{Part, split},
};

const SYSTEM: &str = "system";
const USER: &str = "user";

/// A prompt file that could be read.
#[derive(Clone)]
pub struct Prompt {
    file: String,
    sha256: String,
    system: Option<Part>,
    user: Part,
    engine: Environment<'static>,
}

impl fmt::Debug for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prompt").field("file", &self.file).field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

/// A prompt as the model gets it, without blank lines around its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The system part, when the file has one.
    pub system: Option<String>,
    /// The user part.
    pub user: String,
}

impl Rendered {
    /// Length of both parts in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.system.as_ref().map_or(0, String::len) + self.user.len()
    }
}

impl Prompt {
    /// Reads a prompt file. `file_name` is what faults call it.
    ///
    /// # Errors
    /// The first [`PromptFault`] that makes it unreadable.
    pub fn parse(file_name: &str, source: &str) -> Result<Self, PromptFault> {
        let (system, user) = split(file_name, source)?;
        let mut engine = environment();
        for (name, part) in [(SYSTEM, system.as_ref()), (USER, Some(&user))] {
            let Some(part) = part else { continue };
            engine
                .add_template_owned(name, part.source.clone())
                .map_err(|error| PromptFault::from_engine(file_name, part.lines_before, &error))?;
        }
        Ok(Self { file: file_name.to_owned(), sha256: sha256_hex(source.as_bytes()), system, user, engine })
    }

    /// SHA-256 of the file, 64 hexadecimal digits.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Every name, filter, test and function in it that would fail when rendered, by line. What batches and models bring
    /// (labels, an event's `data`, outputs whose schema is open) cannot be known here and is taken as it is.
    #[must_use]
    pub fn check(&self, known: &Known) -> Vec<PromptFault> {
        let parts = self.system.iter().chain([&self.user]);
        let mut faults: Vec<PromptFault> = parts.flat_map(|part| check_part(&self.file, part, known, &self.engine)).collect();
        faults.sort_by(|a, b| (a.line, &a.message).cmp(&(b.line, &b.message)));
        faults.dedup();
        faults
    }

    /// Whether it names `name` anywhere.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        self.engine.templates().any(|(_, template)| template.undeclared_variables(false).contains(name))
    }

    /// Renders it.
    ///
    /// # Errors
    /// The [`PromptFault`] at which rendering stopped: a name this batch does not have, or too much work.
    pub fn render(&self, context: &PromptContext<'_>) -> Result<Rendered, PromptFault> {
        let value = context.value();
        let render = |name: &str, part: &Part| {
            let rendered = self.engine.get_template(name).and_then(|template| template.render(value.clone()));
            let text = rendered.map_err(|error| PromptFault::from_engine(&self.file, part.lines_before, &error))?;
            Ok(text.trim().to_owned())
        };
        let system = self.system.as_ref().map(|part| render(SYSTEM, part)).transpose()?;
        Ok(Rendered { system: system.filter(|text| !text.is_empty()), user: render(USER, &self.user)? })
    }
}
