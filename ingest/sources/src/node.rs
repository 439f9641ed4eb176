//! A value of the configuration and where it stands. Reading goes on after a mistake, so that all are told at once.

use crate::error::{ConfigError, Problem};
use serde_json::Value;
use std::cell::RefCell;
use std::ops::RangeInclusive;
use trackway_crds::GoDuration;

/// Longest piece of a wrong value that a message repeats.
const SHOWN_CHARS: usize = 60;

/// The mistakes found so far.
#[derive(Default)]
pub(crate) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// `value` unless something was wrong.
    pub(crate) fn none_or<T>(self, value: T) -> Result<T, ConfigError> {
        let problems = self.0.into_inner();
        if problems.is_empty() { Ok(value) } else { Err(ConfigError::Values(problems)) }
    }
}

/// A value and where it stands.
#[derive(Clone)]
pub(crate) struct Node<'a> {
    path: String,
    value: &'a Value,
    problems: &'a Problems,
}

impl<'a> Node<'a> {
    /// The whole file.
    pub(crate) fn root(value: &'a Value, problems: &'a Problems) -> Self {
        Self { path: String::new(), value, problems }
    }

    /// Notes that this value cannot be meant.
    pub(crate) fn wrong(&self, reason: impl Into<String>) {
        self.problems.0.borrow_mut().push(Problem { field: self.path.clone(), reason: reason.into() });
    }

    /// Notes that the field `name`, which must be there, is not. What is no mapping has been noted already.
    pub(crate) fn missing(&self, name: &str, what: &str) {
        if !self.is_mapping() {
            return;
        }
        let field = self.path_of(name);
        self.problems.0.borrow_mut().push(Problem { field, reason: format!("is missing: {what}") });
    }

    /// The value as a message shows it.
    pub(crate) fn shown(&self) -> String {
        let text = self.value.to_string();
        if text.chars().count() <= SHOWN_CHARS {
            return text;
        }
        text.chars().take(SHOWN_CHARS).chain(['…']).collect()
    }

    /// Sees to it that this is a mapping that has no other fields than `allowed`.
    pub(crate) fn only(self, allowed: &[&str]) -> Self {
        match self.value {
            Value::Object(fields) => {
                for name in fields.keys().filter(|name| !allowed.contains(&name.as_str())) {
                    let field = self.path_of(name);
                    let reason = format!("is not a field of the configuration: use {}, or remove it", either(allowed));
                    self.problems.0.borrow_mut().push(Problem { field, reason });
                }
            }
            _ => self.wrong(format!("{} is not a mapping: use the fields {}", self.shown(), either(allowed))),
        }
        self
    }

    /// The field `name`; a field that is null is not there.
    pub(crate) fn get(&self, name: &str) -> Option<Node<'a>> {
        let value = self.value.get(name).filter(|value| !value.is_null())?;
        Some(Node { path: self.path_of(name), value, problems: self.problems })
    }

    /// The entries of the list `name`; none if it is not there.
    pub(crate) fn list(&self, name: &str) -> Vec<Node<'a>> {
        self.get(name).map(|node| node.entries()).unwrap_or_default()
    }

    /// The entries of this list.
    pub(crate) fn entries(&self) -> Vec<Node<'a>> {
        let Value::Array(values) = self.value else {
            self.wrong(format!("{} is not a list: begin each entry with a dash", self.shown()));
            return Vec::new();
        };
        let entry = |(index, value)| Node { path: format!("{}[{index}]", self.path), value, problems: self.problems };
        values.iter().enumerate().map(entry).collect()
    }

    /// The fields of the mapping `name`, whatever they are called.
    pub(crate) fn pairs(&self, name: &str) -> Vec<(&'a str, Node<'a>)> {
        let Some(node) = self.get(name) else { return Vec::new() };
        let Value::Object(fields) = node.value else {
            node.wrong(format!("{} is not a mapping: write {{KEY: VALUE}}", node.shown()));
            return Vec::new();
        };
        let pair = |(name, value): (&'a String, &'a Value)| {
            (name.as_str(), Node { path: node.path_of(name), value, problems: node.problems })
        };
        fields.iter().map(pair).collect()
    }

    /// Whether this is a list.
    pub(crate) fn is_list(&self) -> bool {
        self.value.is_array()
    }

    /// Whether this is a mapping.
    pub(crate) fn is_mapping(&self) -> bool {
        self.value.is_object()
    }

    /// The text.
    pub(crate) fn text(&self) -> Option<&'a str> {
        let text = self.value.as_str();
        if text.is_none() {
            self.wrong(format!("{} is not a text: put it in quotes", self.shown()));
        }
        text
    }

    /// The text, if it has 1 to `longest` characters and none of them is a control character.
    pub(crate) fn line(&self, longest: usize) -> Option<&'a str> {
        let text = self.text()?;
        let fits = !text.is_empty() && text.chars().count() <= longest && !text.chars().any(char::is_control);
        if !fits {
            self.wrong(format!("{} does not fit: use 1 to {longest} characters, no control characters", self.shown()));
        }
        fits.then_some(text)
    }

    /// A whole number within `allowed`.
    pub(crate) fn number(&self, allowed: RangeInclusive<u32>) -> Option<u32> {
        let number = self.value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| allowed.contains(number));
        if number.is_none() {
            let (least, most) = allowed.into_inner();
            self.wrong(format!("{} is not allowed: use a whole number from {least} to {most}", self.shown()));
        }
        number
    }

    /// Yes or no.
    pub(crate) fn yes(&self) -> Option<bool> {
        let yes = self.value.as_bool();
        if yes.is_none() {
            self.wrong(format!("{} is not allowed: use true or false", self.shown()));
        }
        yes
    }

    /// One of the `allowed` words.
    pub(crate) fn choice<T: Copy>(&self, allowed: &[(&str, T)]) -> Option<T> {
        let found = self.value.as_str().and_then(|text| allowed.iter().find(|(word, _)| *word == text));
        if found.is_none() {
            let words: Vec<&str> = allowed.iter().map(|(word, _)| *word).collect();
            self.wrong(format!("{} is not allowed: use {}", self.shown(), either(&words)));
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// A Go duration within `allowed`, in milliseconds; `limits` says the same for people.
    pub(crate) fn millis(&self, allowed: RangeInclusive<u64>, limits: &str) -> Option<u64> {
        let millis = self.value.as_str().and_then(|text| text.parse::<GoDuration>().ok()).map(|duration| duration.millis());
        let millis = millis.filter(|millis| allowed.contains(millis));
        if millis.is_none() {
            self.wrong(format!("{} is not allowed: use a duration {limits}, such as 90s or 1h30m", self.shown()));
        }
        millis
    }

    /// A number of bytes within `allowed`: a number, or one with `Ki` or `Mi`.
    pub(crate) fn bytes(&self, allowed: RangeInclusive<u64>) -> Option<u64> {
        let bytes = match self.value {
            Value::String(text) => quantity(text),
            value => value.as_u64(),
        };
        let bytes = bytes.filter(|bytes| allowed.contains(bytes));
        if bytes.is_none() {
            let (least, most) = allowed.into_inner();
            self.wrong(format!("{} is not allowed: use {least} to {most} bytes, as a number or such as 512Ki", self.shown()));
        }
        bytes
    }

    fn path_of(&self, name: &str) -> String {
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        match (self.path.as_str(), plain) {
            ("", true) => name.to_owned(),
            (path, true) => format!("{path}.{name}"),
            (path, false) => format!("{path}[{name:?}]"),
        }
    }
}

fn quantity(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let unit = match unit {
        "" => 1,
        "Ki" => 1024,
        "Mi" => 1024 * 1024,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// `a, b or c`.
fn either(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities() {
        for (text, bytes) in [("900Ki", Some(921_600)), ("1Mi", Some(1_048_576)), ("77", Some(77)), ("1Gi", None), ("", None)] {
            assert_eq!(quantity(text), bytes, "{text}");
        }
        assert_eq!(quantity("99999999999999999999Mi"), None);
        assert_eq!(quantity("18446744073709551615Mi"), None);
    }

    #[test]
    fn a_field_of_any_name_can_be_found() {
        let value = serde_json::json!({"a": [{"b c": 1}]});
        let problems = Problems::default();
        let root = Node::root(&value, &problems);
        root.list("a")[0].clone().only(&["b"]);
        let error = problems.none_or(()).unwrap_err().to_string();
        assert_eq!(error, "a[0][\"b c\"]: is not a field of the configuration: use b, or remove it");
    }
}
