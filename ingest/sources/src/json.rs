//! JSON from strangers.

use crate::read::MapError;
use serde_json::Value;

/// Deepest nesting of lists and mappings.
pub const MAX_DEPTH: usize = 64;

/// Reads a body. The depth is counted before anything is built, so that no depth can hurt.
///
/// # Errors
/// [`MapError::TooDeep`] and [`MapError::NotJson`].
pub fn json(body: &[u8]) -> Result<Value, MapError> {
    if deeper_than(body, MAX_DEPTH) {
        return Err(MapError::TooDeep);
    }
    serde_json::from_slice(body).map_err(|error| MapError::NotJson(error.to_string()))
}

/// Counts brackets outside of strings; what is not JSON is found by the parser.
fn deeper_than(body: &[u8], limit: usize) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in body {
        match (in_text, byte) {
            _ if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b'{' | b'[') => depth += 1,
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_depth_hurts() {
        let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
        assert!(json(&nested(MAX_DEPTH)).is_ok());
        for depth in [MAX_DEPTH + 1, 128, 129, 100_000] {
            assert_eq!(json(&nested(depth)), Err(MapError::TooDeep), "{depth}");
        }
        assert_eq!(json(&b"{\"a\":".repeat(100_000)), Err(MapError::TooDeep));
    }

    #[test]
    fn brackets_in_texts_do_not_count() {
        let text = format!("{{\"a\": \"{}\\\"{}\\\\\"}}", "[".repeat(100), "{".repeat(100));
        assert!(json(text.as_bytes()).is_ok(), "{text}");
    }

    #[test]
    fn what_is_not_json_is_told_by_line_and_column_without_its_words() {
        let error = json(b"{\"password\": hunter2}").unwrap_err().to_string();
        assert_eq!(error, "the body is not JSON: expected value at line 1 column 14");
        for body in [&b""[..], b"\xff\xfe", b"{} {}", b"\"\\ud800\"", b"1e999", b"{\"a\":1"] {
            assert!(matches!(json(body), Err(MapError::NotJson(_))), "{body:?}");
        }
    }
}
