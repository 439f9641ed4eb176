//! How many of many may fail.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt, str::FromStr};

/// A number, or a share of all in per cent: `3` or `25%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// So many.
    Count(u32),
    /// So many of a hundred, 0 to 100.
    Percent(u32),
}

impl Tolerance {
    /// How many of `total`; a share is rounded down.
    #[must_use]
    pub fn of(self, total: u32) -> u32 {
        match self {
            Self::Count(count) => count.min(total),
            Self::Percent(percent) => u32::try_from(u64::from(total) * u64::from(percent) / 100).unwrap_or(total),
        }
    }
}

impl Default for Tolerance {
    fn default() -> Self {
        Self::Count(0)
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// Not a number from 0 to 1000 nor a share from 0% to 100%.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a number from 0 to 1000 nor a share from 0% to 100%")]
pub struct NoTolerance(String);

impl FromStr for Tolerance {
    type Err = NoTolerance;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str, max: u32| text.parse().ok().filter(|number| *number <= max);
        let found = match text.strip_suffix('%') {
            Some(percent) => number(percent, 100).map(Self::Percent),
            None => number(text, 1000).map(Self::Count),
        };
        found.ok_or_else(|| NoTolerance(text.to_owned()))
    }
}

impl Serialize for Tolerance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) => serializer.serialize_u32(*count),
            Self::Percent(_) => serializer.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for Tolerance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;
        impl de::Visitor<'_> for NumberOrText {
            type Value = Tolerance;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 0 to 1000 or a share from 0% to 100%")
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Tolerance, E> {
                number.to_string().parse().map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Tolerance, E> {
                number.to_string().parse().map_err(E::custom)
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Tolerance, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(NumberOrText)
    }
}

impl JsonSchema for Tolerance {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Tolerance".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "maxLength": 5,
            "pattern": "^([0-9]|[1-9][0-9]|100)%$",
            "minimum": 0,
            "maximum": 1000,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_rounded_down() {
        assert_eq!("25%".parse::<Tolerance>().unwrap().of(24), 6);
        assert_eq!("33%".parse::<Tolerance>().unwrap().of(10), 3);
        assert_eq!("100%".parse::<Tolerance>().unwrap().of(1000), 1000);
        assert_eq!("3".parse::<Tolerance>().unwrap().of(2), 2);
    }

    #[test]
    fn numbers_and_texts_are_read_and_nothing_else() {
        let read = |json: &str| serde_json::from_str::<Tolerance>(json);
        assert_eq!(read("3").unwrap(), Tolerance::Count(3));
        assert_eq!(read("\"25%\"").unwrap(), Tolerance::Percent(25));
        for bad in ["-1", "1001", "\"101%\"", "\"some\"", "0.5"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(serde_json::to_string(&Tolerance::Percent(25)).unwrap(), "\"25%\"");
    }
}
