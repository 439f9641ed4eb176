//! The pieces of evidence a debugger is shown, each under its name between marks:
//! `<<<NAME MARK`, its lines, `NAME MARK>>>`.

/// A piece worth quoting is at least this long.
const WORTH_QUOTING: usize = 12;
const LONGEST_QUOTE: usize = 120;

/// Something with a name that can be quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// Every piece of `text`, in order.
pub(crate) fn pieces(text: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("<<<") {
        rest = after;
        let Some((label, body)) = after.split_once('\n') else { break };
        let Some((content, behind)) = body.split_once(&format!("\n{label}>>>")) else { continue };
        found.push(Piece { name: name(label), text: content.to_owned() });
        rest = behind;
    }
    found
}

/// The label without the mark that closes it.
fn name(label: &str) -> String {
    let is_mark = |word: &str| word.len() >= 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = label.rsplit_once(' ').filter(|(_, last)| is_mark(last)).map_or(label, |(name, _)| name);
    name.trim_matches('"').to_owned()
}

impl Piece {
    /// Words that really are in it: the longest line, cut.
    pub(crate) fn quote(&self) -> Option<String> {
        let longest = self.text.lines().map(str::trim).max_by_key(|line| line.len().min(LONGEST_QUOTE))?;
        let end = longest.char_indices().nth(LONGEST_QUOTE).map_or(longest.len(), |(at, _)| at);
        longest.get(..end).filter(|quote| quote.len() >= WORTH_QUOTING).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_found_by_their_marks_and_quoted_from_their_text() {
        let text = "Explain.\n<<<verdict of attempt 3 0123456789abcdef\n{\n\"feedback\": \"Names no reader\"}\nverdict of attempt 3 \
                    0123456789abcdef>>>\n<<<open for ever\nx\n<<<prompt a.md 0123456789abcdef\nshort\nprompt a.md 0123456789abcdef>>>";
        let found = pieces(text);
        let names: Vec<&str> = found.iter().map(|piece| piece.name.as_str()).collect();
        assert_eq!(names, ["verdict of attempt 3", "prompt a.md"]);
        assert_eq!(found[0].quote().as_deref(), Some("\"feedback\": \"Names no reader\"}"));
        assert_eq!(found[1].quote(), None);
    }
}
