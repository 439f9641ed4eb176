//! The line of a place in a JSON text.

/// The line (from 1) on which the value at JSON `pointer` begins; `None` when there is no such value. `text` is valid JSON.
pub(crate) fn line_of(text: &str, pointer: &str) -> Option<u32> {
    let mut reader = Reader { rest: text.as_bytes(), line: 1 };
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        reader.enter(&token)?;
    }
    reader.space();
    Some(reader.line)
}

struct Reader<'a> {
    rest: &'a [u8],
    line: u32,
}

impl Reader<'_> {
    /// Goes to the value of member or element `token` of the value that begins here.
    fn enter(&mut self, token: &str) -> Option<()> {
        match self.next()? {
            b'{' => loop {
                let key: String = serde_json::from_slice(self.string()?).ok()?;
                (self.next()? == b':').then_some(())?;
                if key == token {
                    return Some(());
                }
                self.skip_value()?;
                (self.next()? == b',').then_some(())?;
            },
            b'[' => {
                for _ in 0..token.parse::<usize>().ok()? {
                    self.skip_value()?;
                    (self.next()? == b',').then_some(())?;
                }
                Some(())
            }
            _ => None,
        }
    }

    fn space(&mut self) {
        while let Some((first, rest)) = self.rest.split_first().filter(|(first, _)| first.is_ascii_whitespace()) {
            self.line += u32::from(*first == b'\n');
            self.rest = rest;
        }
    }

    fn next(&mut self) -> Option<u8> {
        self.space();
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// The string that begins here, quotes included.
    fn string(&mut self) -> Option<&[u8]> {
        self.space();
        let mut end = 1;
        while *self.rest.get(end)? != b'"' {
            end += if self.rest[end] == b'\\' { 2 } else { 1 };
        }
        let (string, rest) = self.rest.split_at_checked(end + 1)?;
        self.rest = rest;
        Some(string)
    }

    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            self.space();
            match self.rest.first()? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.next()?;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.next()?;
                }
                b',' | b':' => {
                    self.next()?;
                    continue;
                }
                _ => {
                    let end = self.rest.iter().position(|b| b",]} \n\r\t".contains(b)).unwrap_or(self.rest.len());
                    self.rest = self.rest.get(end..)?;
                }
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::line_of;

    const TEXT: &str = "{\n \"a\": [1,\n  {\"x\": \"}\\\"\"},\n  3],\n \"b/c\": {\n  \"d\": true}}\n";

    #[test]
    fn places_are_found_across_strings_lists_and_escapes() {
        for (pointer, line) in
            [("", 1), ("/a", 2), ("/a/0", 2), ("/a/1", 3), ("/a/1/x", 3), ("/a/2", 4), ("/b~1c", 5), ("/b~1c/d", 6)]
        {
            assert_eq!(line_of(TEXT, pointer), Some(line), "{pointer}");
        }
    }

    #[test]
    fn places_that_are_not_there_have_no_line() {
        for pointer in ["/z", "/a/9", "/a/x", "/b~1c/d/e"] {
            assert_eq!(line_of(TEXT, pointer), None, "{pointer}");
        }
    }
}
