//! What lint found.

use crate::screen::{Colour, Style};
use serde::Serialize;
use std::path::PathBuf;

/// Everything found, and how much was looked at.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// In order of file and line.
    pub findings: Vec<Finding>,
    /// Tracks checked.
    pub tracks: usize,
    /// ModelEndpoints checked.
    pub endpoints: usize,
    /// Prompts and schemas looked at.
    pub prompts: usize,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// File.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: u32,
    /// Whether it makes lint fail.
    pub severity: Severity,
    /// Field of the resource, when it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// One word for machines.
    pub reason: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A cluster would refuse it, or the Track would not be ready.
    Fault,
    /// Cannot be told from these files alone.
    Warning,
}

impl Report {
    /// Number of faults.
    #[must_use]
    pub fn faults(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == Severity::Fault).count()
    }

    /// Whether there was nothing to look at.
    #[must_use]
    pub fn is_empty_handed(&self) -> bool {
        self.tracks + self.endpoints == 0
    }

    /// One line per finding and one for all.
    #[must_use]
    pub fn for_people(&self, style: Style) -> String {
        let mut text: String = self.findings.iter().map(|finding| finding.for_people(style)).collect();
        let looked_at = format!(
            "{}, {}, {}",
            count(self.tracks, "track", "tracks"),
            count(self.endpoints, "model endpoint", "model endpoints"),
            count(self.prompts, "prompt or schema", "prompts and schemas")
        );
        match self.faults() {
            0 => text.push_str(&format!("{} {looked_at}\n", style.paint(Colour::Good, "ok:"))),
            faults => text.push_str(&format!("{} in {looked_at}\n", style.paint(Colour::Bad, &count(faults, "fault", "faults")))),
        }
        text
    }
}

impl Finding {
    fn for_people(&self, style: Style) -> String {
        let place = style.paint(Colour::Strong, &format!("{}:{}:", self.file.display(), self.line));
        let warning = if self.severity == Severity::Warning { style.paint(Colour::Warn, "warning: ") } else { String::new() };
        let path = self.path.as_ref().map(|path| format!("{path}: ")).unwrap_or_default();
        format!("{place} {warning}{path}{}\n", self.message)
    }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
