//! Scores: plain numbers from 0 to 1 outside, integer thousandths inside.
//!
//! Three dimensions of exactly 0.7 average 0.6999… in floating point and would be retried at a threshold of 0.7; in integer
//! thousandths they do not.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{borrow::Cow, fmt};

/// A score, threshold or minimum in integer thousandths, 0..=1000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(u16);

/// A number outside 0..=1 was given as a score.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("score {0} is outside 0..1")]
pub struct OutOfRange(pub f64);

impl Score {
    /// The highest score, 1.0.
    pub const ONE: Self = Self(1000);

    /// From integer thousandths; above 1000 is cut to 1000.
    #[must_use]
    pub fn from_thousandths(thousandths: u16) -> Self {
        Self(thousandths.min(1000))
    }

    /// From a number, rounded half up to thousandths.
    ///
    /// # Errors
    /// [`OutOfRange`] for anything below 0, above 1 or not a number.
    pub fn from_number(number: f64) -> Result<Self, OutOfRange> {
        if !(0.0..=1.0).contains(&number) {
            return Err(OutOfRange(number));
        }
        // In range, so the cast can neither truncate nor change sign.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0..=1000 fits u16")]
        Ok(Self((number * 1000.0 + 0.5).floor() as u16))
    }

    /// Integer thousandths, 0..=1000.
    #[must_use]
    pub fn thousandths(self) -> u16 {
        self.0
    }

    /// Weighted mean of `(score, weight)` pairs, rounded half up; `None` without a weight above zero.
    #[must_use]
    pub fn weighted_mean(scores: impl IntoIterator<Item = (Self, u32)>) -> Option<Self> {
        let (mut sum, mut weights) = (0_u64, 0_u64);
        for (score, weight) in scores {
            sum += u64::from(score.0) * u64::from(weight);
            weights += u64::from(weight);
        }
        let mean = (2 * sum + weights).checked_div(2 * weights)?;
        u16::try_from(mean).ok().map(Self)
    }
}

impl fmt::Display for Score {
    /// Two decimals when they say it all, else three: `0.85`, `0.625`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(10) {
            write!(f, "{}.{:02}", self.0 / 1000, self.0 % 1000 / 10)
        } else {
            write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
        }
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(f64::from(self.0) / 1000.0)
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_number(f64::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl JsonSchema for Score {
    fn schema_name() -> Cow<'static, str> {
        "Score".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "number", "minimum": 0.0, "maximum": 1.0})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_dimensions_of_exactly_the_threshold_reach_it() {
        let seven = Score::from_number(0.7).unwrap();
        assert_eq!(Score::weighted_mean([(seven, 1), (seven, 1), (seven, 1)]), Some(seven));
        assert_eq!(Score::weighted_mean([(seven, 2), (seven, 1)]), Some(seven));
    }

    #[test]
    fn means_round_half_up_and_need_a_weight() {
        let half_up = Score::weighted_mean([(Score(700), 1), (Score(701), 1)]);
        assert_eq!(half_up, Some(Score(701)));
        assert_eq!(Score::weighted_mean([(Score(700), 0)]), None);
    }

    #[test]
    fn numbers_outside_the_range_are_refused() {
        for bad in [-0.1, 1.001, 7.0, f64::NAN, f64::INFINITY] {
            assert!(Score::from_number(bad).is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn json_is_a_plain_number_both_ways() {
        for (thousandths, json) in [(0, "0.0"), (625, "0.625"), (850, "0.85"), (1000, "1.0")] {
            assert_eq!(serde_json::to_string(&Score(thousandths)).unwrap(), json);
            assert_eq!(serde_json::from_str::<Score>(json).unwrap(), Score(thousandths));
        }
        assert_eq!(serde_json::from_str::<Score>("1").unwrap(), Score::ONE);
        assert_eq!(Score(850).to_string(), "0.85");
        assert_eq!(Score(625).to_string(), "0.625");
    }
}
