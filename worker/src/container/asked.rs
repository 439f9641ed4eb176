//! What the judge is told a program was asked.

use serde_json::json;
use trackway_crds::contracts::{ResolvedStage, ResolvedWork};
use trackway_prompt::Rendered;

use super::document::Document;

/// Longest part of the input that the judge is shown, in bytes.
const MAX_SHOWN_BYTES: usize = 200_000;

/// Image, arguments and vars of the program, and what it was given.
pub(super) fn asked(stage: &ResolvedStage, document: &Document) -> Rendered {
    let program = match &stage.work {
        ResolvedWork::Container { image, command, args, .. } => json!({"image": image, "command": command, "args": args}),
        _ => json!(null),
    };
    let input = document.told();
    let mut end = input.len().min(MAX_SHOWN_BYTES);
    while !input.is_char_boundary(end) {
        end -= 1;
    }
    let cut = if end < input.len() { format!(" (its first {end} of {} bytes)", input.len()) } else { String::new() };
    let user = format!(
        "A program wrote the output, no model. The program: {program}\nIts vars: {}\nIts input{cut}:\n{}",
        json!(stage.vars),
        input.get(..end).unwrap_or_default()
    );
    Rendered { system: None, user }
}
