//! Finds the JSON object in a model's text.

use serde_json::Value;

/// Text without a JSON object in it.
#[derive(Debug, thiserror::Error)]
#[error("the answer of {characters} characters holds no JSON object: {why}")]
pub struct NotJson {
    /// Length of the text.
    pub characters: usize,
    /// What reading it as JSON said.
    pub why: String,
}

/// Texts that open many braces without closing them are not searched for ever.
const MAX_STARTS: usize = 200;

/// The JSON object of an answer: the whole text, or the longest object within it, whatever prose, code fence or
/// `<think>` part stands around it.
pub fn parse_json_answer(text: &str) -> Result<Value, NotJson> {
    let answer = text.rsplit_once("</think>").map_or(text, |(_, after)| after);
    let answer = answer.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let whole = serde_json::from_str::<Value>(answer);
    if let Ok(value @ Value::Object(_)) = whole {
        return Ok(value);
    }
    longest_object(answer).ok_or_else(|| NotJson {
        characters: text.chars().count(),
        why: match whole {
            Ok(_) => "it is JSON, but not an object".to_owned(),
            Err(error) => error.to_string(),
        },
    })
}

fn longest_object(text: &str) -> Option<Value> {
    let mut best: Option<(usize, Value)> = None;
    let mut from = 0;
    for _ in 0..MAX_STARTS {
        let Some(offset) = text.get(from..).and_then(|rest| rest.find('{')) else { break };
        let start = from + offset;
        let mut values = serde_json::Deserializer::from_str(&text[start..]).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                let length = values.byte_offset();
                if best.as_ref().is_none_or(|(longest, _)| length > *longest) {
                    best = Some((length, value));
                }
                from = start + length;
            }
            // Cut off in its middle: an object inside it is not the answer.
            Some(Err(error)) if error.is_eof() => break,
            _ => from = start + 1,
        }
    }
    best.map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_object_is_found_whatever_stands_around_it() {
        let expected = json!({"a": {"b": "}"}});
        for text in [
            r#"{"a": {"b": "}"}}"#,
            "  {\"a\": {\"b\": \"}\"}}\n",
            "```json\n{\"a\": {\"b\": \"}\"}}\n```",
            "```\n{\"a\": {\"b\": \"}\"}}\n```",
            "Here you are:\n\n{\"a\": {\"b\": \"}\"}}\n\nAnything else?",
            "<think>maybe {\"x\": 1, \"y\": 2, \"zzzz\": 3}?</think>{\"a\": {\"b\": \"}\"}}",
            "In {braces} first, {} then {\"a\": {\"b\": \"}\"}}.",
            "\u{feff}{\"a\": {\"b\": \"}\"}}",
        ] {
            assert_eq!(parse_json_answer(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_said() {
        let prose = parse_json_answer("I would rather tell you a story.").unwrap_err().to_string();
        assert!(prose.starts_with("the answer of 32 characters holds no JSON object: expected value"), "{prose}");
        let list = parse_json_answer("[1, 2]").unwrap_err().to_string();
        assert!(list.ends_with("it is JSON, but not an object"), "{list}");
        assert!(parse_json_answer(r#"{"cut": "of"#).is_err());
        assert!(parse_json_answer(r#"{"targets": [{"id": "a"}, {"id": "#).is_err());
        assert!(parse_json_answer(&"{".repeat(100_000)).is_err());
    }
}
