//! Splitting a prompt file into its system and user part.

use crate::{FaultKind, PromptFault};

/// The line that ends the system part.
pub const USER_MARKER: &str = "<!-- user -->";

/// One part of a prompt file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) source: String,
    /// Lines of the file before it.
    pub(crate) lines_before: usize,
}

/// The parts of a file: system, if there is one, and user.
pub(crate) fn split(file: &str, source: &str) -> Result<(Option<Part>, Part), PromptFault> {
    let lines: Vec<&str> = source.lines().collect();
    let mut marks = lines.iter().enumerate().filter(|(_, line)| line.trim() == USER_MARKER).map(|(index, _)| index);
    let Some(mark) = marks.next() else {
        return Ok((None, Part { source: source.to_owned(), lines_before: 0 }));
    };
    if let Some(second) = marks.next() {
        let message =
            format!("a second {USER_MARKER} (the first is on line {}): a prompt has one system and one user part", mark + 1);
        return Err(PromptFault::new(file, second + 1, FaultKind::Template, message));
    }
    let (system, user) = lines.split_at(mark);
    let user = user.get(1..).unwrap_or_default();
    if user.iter().all(|line| line.trim().is_empty()) {
        let message = format!("nothing stands below {USER_MARKER}: the user part is what the model answers");
        return Err(PromptFault::new(file, mark + 1, FaultKind::Template, message));
    }
    Ok((Some(Part { source: system.join("\n"), lines_before: 0 }), Part { source: user.join("\n"), lines_before: mark + 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_marker_everything_is_the_user_part() {
        let (system, user) = split("p.md", "one\ntwo <!-- user -->\n").unwrap();
        assert!(system.is_none());
        assert_eq!(user.source, "one\ntwo <!-- user -->\n");
    }

    #[test]
    fn the_marker_line_ends_the_system_part() {
        let (system, user) = split("p.md", "be kind\r\n<!-- user -->\r\nwrite\n").unwrap();
        assert_eq!(system.unwrap().source, "be kind");
        assert_eq!((user.source.as_str(), user.lines_before), ("write", 2));
    }

    #[test]
    fn two_markers_and_an_empty_user_part_are_faults_with_their_line() {
        let twice = split("p.md", "a\n<!-- user -->\nb\n<!-- user -->\n").unwrap_err().to_string();
        assert!(twice.starts_with("p.md:4: a second"), "{twice}");
        let empty = split("p.md", "a\n<!-- user -->\n \n").unwrap_err().to_string();
        assert!(empty.starts_with("p.md:2: nothing stands below"), "{empty}");
    }
}
