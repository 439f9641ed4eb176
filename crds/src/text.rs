//! Cutting texts to the bounds of the schema.

/// `text` cut to at most `max_bytes` of JSON-escaped UTF-8, at a character boundary, with `…` where something was cut.
#[must_use]
pub fn cut(text: &str, max_bytes: usize) -> String {
    if escaped_len(text) <= max_bytes {
        return text.to_owned();
    }
    let room = max_bytes.saturating_sub('…'.len_utf8());
    let mut used = 0;
    let mut kept = String::new();
    for c in text.chars() {
        used += escaped_char(c);
        if used > room {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

fn escaped_len(text: &str) -> usize {
    text.chars().map(escaped_char).sum()
}

// As encoding/json of the API server stores it: control characters and <, >, & as \u00XX.
fn escaped_char(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => 6,
        c if c.is_control() => 6,
        c => c.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn short_texts_are_left_alone_and_long_ones_end_at_a_character() {
        assert_eq!(cut("names no reader", 192), "names no reader");
        assert_eq!(cut("ééééé", 9), "ééé…");
        assert_eq!(cut("", 0), "");
    }

    #[test]
    fn escapes_count_as_they_are_stored() {
        assert!(cut(&"<".repeat(100), 60).len() <= 12);
        assert_eq!(cut("\"\"\"\"", 6), "\"…");
    }
}
