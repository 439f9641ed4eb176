//! Durations in specs: Go duration strings such as `90s` or `1h30m`, as in the rest of Kubernetes.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{borrow::Cow, fmt, str::FromStr};

/// What [`GoDuration`] takes; also the pattern in the CRD.
pub const PATTERN: &str = r"^([0-9]{1,6}(\.[0-9]{1,3})?(ms|s|m|h)){1,4}$";

/// A Go duration string, read into milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoDuration {
    text: String,
    millis: u64,
}

/// The text is not a Go duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a duration: write a number with ms, s, m or h, for example 90s or 1h30m")]
pub struct NotADuration(pub String);

impl GoDuration {
    /// Length in milliseconds.
    #[must_use]
    pub fn millis(&self) -> u64 {
        self.millis
    }
}

impl FromStr for GoDuration {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        parse(text).map(|millis| Self { text: text.to_owned(), millis }).ok_or_else(|| NotADuration(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut millis = 0.0_f64;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..number_end].parse().ok()?;
        rest = &rest[number_end..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        millis += number
            * match &rest[..unit_end] {
                "ms" => 1.0,
                "s" => 1e3,
                "m" => 60e3,
                "h" => 3600e3,
                _ => return None,
            };
        rest = &rest[unit_end..];
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded by the pattern: four units of six digits"
    )]
    (!text.is_empty() && millis <= 4e12).then_some(millis.round() as u64)
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for GoDuration {
    fn schema_name() -> Cow<'static, str> {
        "GoDuration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 32, "pattern": PATTERN})
    }
}

/// A length of time as people read it: `12ms`, `3.9s`, `1m32s`, `2h05m`.
#[must_use]
pub fn for_people(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis}ms"),
        1_000..60_000 => format!("{}.{}s", millis / 1_000, millis % 1_000 / 100),
        60_000..3_600_000 => format!("{}m{:02}s", millis / 60_000, millis % 60_000 / 1_000),
        _ => format!("{}h{:02}m", millis / 3_600_000, millis % 3_600_000 / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations_are_read_and_written_back_as_they_were() {
        for (text, millis) in [("90s", 90_000), ("1h30m", 5_400_000), ("250ms", 250), ("1.5s", 1_500), ("0s", 0)] {
            let read: GoDuration = text.parse().unwrap();
            assert_eq!(read.millis(), millis, "{text}");
            assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn anything_else_is_refused_with_an_example() {
        for bad in ["", "5", "5d", "s", "-1s", "1 s", "1..5s", "ms"] {
            let error = bad.parse::<GoDuration>().unwrap_err().to_string();
            assert!(error.contains("90s"), "{error}");
        }
    }

    #[test]
    fn people_read_short_forms() {
        for (millis, text) in [(12, "12ms"), (3_940, "3.9s"), (92_000, "1m32s"), (7_500_000, "2h05m")] {
            assert_eq!(for_people(millis), text);
        }
    }
}
