//! The rules file: which requests get which outcome.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::call::{Call, Format, Kind, header};

/// Rules in order; the first that matches a request decides its outcome. Without a match the answer is derived from the
/// request.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Rules(Vec<Rule>);

/// One line of the script.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// What it is for, shown at start and with each call it decided.
    pub name: String,
    /// Which requests it is about.
    #[serde(default)]
    pub when: When,
    /// What they get.
    pub then: Then,
    /// How many requests it decides; then it is passed over. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

/// Which requests a rule or a hold is about. All that is given must match; nothing given matches everything.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct When {
    /// `generate`, `judge`, `debug`, `embed` or `any`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<KindOrAny>,
    /// Texts that all occur in the request's messages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub contains: Vec<String>,
    /// Texts none of which occurs in them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_contains: Vec<String>,
    /// The model asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The response format asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Headers and their values; a value that ends in `*` is a beginning.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The `x-trackway-attempt` of the request; for a request without it, the same as `nth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u64>,
    /// A share of the targets, 0 to 1, spread evenly over their indexes (`x-trackway-index`): of 40 targets, 0.3 are always the
    /// same 12. Requests without an index are counted instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Counts requests that match everything else and reach this rule, from 1: only the nth matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
}

/// A kind of request, or any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KindOrAny {
    /// See [`Kind::Generate`].
    Generate,
    /// See [`Kind::Judge`].
    Judge,
    /// See [`Kind::Debug`].
    Debug,
    /// See [`Kind::Embed`].
    Embed,
    /// All of them.
    Any,
}

/// What a matching request gets. At most one kind of outcome; `delayMillis` goes with all, `feedback` and `omit` with
/// `scores`, `retryAfter` and `error` with `status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Then {
    /// Scores of a verdict by dimension; `"*"` is every other one. Not checked: 7 is a score a judge may give.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub scores: BTreeMap<String, f64>,
    /// The verdict's feedback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feedback: Option<String>,
    /// Dimensions the verdict leaves out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub omit: Vec<String>,
    /// The answer's text; as `{"text": …}` where the schema has such a field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The answer as JSON, whatever the schema says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<Value>,
    /// Fields that replace those of the derived answer; the others stay as they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace: Option<Map<String, Value>>,
    /// This text instead of JSON, whatever the schema says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prose: Option<String>,
    /// The model refuses with these words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refuse: Option<String>,
    /// The answer's JSON ends in its middle.
    #[serde(skip_serializing_if = "is_false")]
    pub malformed: bool,
    /// Status 200 with a body that is no completion.
    #[serde(skip_serializing_if = "is_false")]
    pub broken_body: bool,
    /// The connection breaks in the middle of the answer.
    #[serde(skip_serializing_if = "is_false")]
    pub hangup: bool,
    /// An error with this HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Retry-After of the error: seconds, or an HTTP date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Value>,
    /// Code and message of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorWords>,
    /// So many entries at the end of a derived review are not approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub withhold: Option<usize>,
    /// Entries of a list named `targets` in the derived answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<usize>,
    /// Wait this long before answering, instead of the latency of the kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_millis: Option<u64>,
}

/// What an error answer says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ErrorWords {
    /// Its code, as `insufficient_quota`.
    pub code: String,
    /// Its message.
    pub message: String,
}

/// A rules file that cannot be used.
#[derive(Debug)]
pub struct RuleError(String);

impl std::fmt::Display for RuleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RuleError {}

fn is_false(value: &bool) -> bool {
    !value
}

impl Rules {
    /// No rules: every answer is derived from its request.
    pub fn none() -> Rules {
        Rules::default()
    }

    /// Reads a list of rules in YAML (JSON is YAML) and checks each.
    pub fn from_yaml(yaml: &str) -> Result<Rules, RuleError> {
        if yaml.trim().is_empty() {
            return Ok(Rules::none());
        }
        let rules: Vec<Rule> = serde_saphyr::from_str(yaml).map_err(|error| RuleError(format!("rules: {error}")))?;
        rules.iter().try_for_each(check)?;
        Ok(Rules(rules))
    }

    /// The rules in order.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }
}

fn check(rule: &Rule) -> Result<(), RuleError> {
    let then = &rule.then;
    let verdict = !then.scores.is_empty() || then.feedback.is_some() || !then.omit.is_empty();
    let outcomes = [
        ("scores, feedback or omit", verdict),
        ("text", then.text.is_some()),
        ("json", then.json.is_some()),
        ("replace", then.replace.is_some()),
        ("prose", then.prose.is_some()),
        ("refuse", then.refuse.is_some()),
        ("malformed", then.malformed),
        ("brokenBody", then.broken_body),
        ("hangup", then.hangup),
        ("status", then.status.is_some()),
        ("withhold", then.withhold.is_some()),
        ("targets", then.targets.is_some()),
    ];
    let given: Vec<&str> = outcomes.iter().filter(|(_, given)| *given).map(|(name, _)| *name).collect();
    let wrong = |what: String| Err(RuleError(format!("rule {:?}: {what}", rule.name)));
    if given.len() > 1 {
        return wrong(format!("then has {}; give one outcome", given.join(" and ")));
    }
    if given.is_empty() && then.delay_millis.is_none() {
        return wrong("then is empty; give an outcome, or delayMillis".to_owned());
    }
    if verdict && rule.when.kind != Some(KindOrAny::Judge) {
        return wrong("scores, feedback and omit are a judge's; add when.kind: judge".to_owned());
    }
    if then.status.is_none() && (then.retry_after.is_some() || then.error.is_some()) {
        return wrong("retryAfter and error go with status; add status".to_owned());
    }
    if rule.when.share.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
        return wrong(format!("share is {}; give a number from 0 to 1", rule.when.share.unwrap_or_default()));
    }
    if then.status.is_some_and(|status| !(300..=599).contains(&status)) {
        return wrong(format!("status is {}; give one of 300 to 599", then.status.unwrap_or_default()));
    }
    Ok(())
}

/// A condition and how often it was met but for its count.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    when: When,
    seen: u64,
}

impl Matcher {
    pub(crate) fn new(when: When) -> Matcher {
        Matcher { when, seen: 0 }
    }

    /// Whether `call` matches; counts it when everything but the count does.
    pub(crate) fn matches(&mut self, call: &Call) -> bool {
        let When { kind, contains, not_contains, model, format, headers, attempt, share, nth } = &self.when;
        let told = call.trackway.attempt.parse::<u64>().ok();
        let others = kind.is_none_or(|kind| kind.includes(call.kind))
            && contains.iter().all(|part| call.text.contains(part))
            && !not_contains.iter().any(|part| call.text.contains(part))
            && model.as_ref().is_none_or(|model| *model == call.model)
            && format.is_none_or(|format| format == call.format)
            && headers.iter().all(|(name, value)| header(&call.headers, name).is_some_and(|told| fits(value, told)))
            && attempt.is_none_or(|attempt| told.is_none_or(|told| told == attempt));
        if !others {
            return false;
        }
        self.seen += 1;
        let index = call.trackway.index.parse::<u64>().unwrap_or(self.seen - 1);
        if share.is_some_and(|share| !is_in(share, index)) {
            return false;
        }
        let counted = if told.is_none() { attempt.or(*nth) } else { *nth };
        counted.is_none_or(|count| count == self.seen)
    }
}

/// Whether the target `index` is in the share: as if 0, 1, 2 … were dealt out so that the share holds at every point.
#[allow(clippy::cast_precision_loss, reason = "an index of at most some thousands")]
fn is_in(share: f64, index: u64) -> bool {
    // A share such as 0.3 is a little less in binary: 10 * 0.3 is to be 3.
    let upto = |count: u64| (count as f64 * share + 1e-9).floor();
    upto(index + 1) > upto(index)
}

fn fits(pattern: &str, value: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == value, |beginning| value.starts_with(beginning))
}

impl KindOrAny {
    fn includes(self, kind: Kind) -> bool {
        match self {
            KindOrAny::Any => true,
            KindOrAny::Generate => kind == Kind::Generate,
            KindOrAny::Judge => kind == Kind::Judge,
            KindOrAny::Debug => kind == Kind::Debug,
            KindOrAny::Embed => kind == Kind::Embed,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use serde_json::json;

    use super::*;

    fn call(text: &str, attempt: Option<&str>) -> Call {
        let mut headers = HeaderMap::new();
        if let Some(attempt) = attempt {
            headers.insert("x-trackway-attempt", attempt.parse().unwrap());
        }
        Call::chat(&json!({"model": "m", "messages": [{"role": "user", "content": text}]}), headers).unwrap()
    }

    fn matcher(when: &str) -> Matcher {
        Matcher::new(serde_saphyr::from_str(when).unwrap())
    }

    #[test]
    fn all_that_is_given_must_match() {
        let mut matcher = matcher("{kind: generate, contains: [alpha, beta], notContains: [gamma], model: m, format: text}");
        assert!(matcher.matches(&call("beta alpha", None)));
        assert!(!matcher.matches(&call("alpha", None)));
        assert!(!matcher.matches(&call("alpha beta gamma", None)));
    }

    #[test]
    fn attempt_is_the_header_and_without_one_the_count() {
        let mut by_header = matcher("{attempt: 2}");
        assert!(!by_header.matches(&call("x", Some("1"))));
        assert!(by_header.matches(&call("x", Some("2"))));
        assert!(by_header.matches(&call("x", Some("2"))));
        let mut by_count = matcher("{attempt: 2}");
        assert!(!by_count.matches(&call("x", None)));
        assert!(by_count.matches(&call("x", None)));
        assert!(!by_count.matches(&call("x", None)));
    }

    #[test]
    fn a_header_is_matched_whole_or_by_its_beginning() {
        assert!(matcher("{headers: {x-trackway-attempt: '12'}}").matches(&call("x", Some("12"))));
        assert!(matcher("{headers: {x-trackway-attempt: 1*}}").matches(&call("x", Some("12"))));
        assert!(!matcher("{headers: {x-trackway-attempt: '1'}}").matches(&call("x", Some("12"))));
        assert!(!matcher("{headers: {x-trackway-attempt: '*'}}").matches(&call("x", None)));
    }

    #[test]
    fn a_share_is_the_same_targets_every_time_spread_evenly() {
        let of = |share: f64, count: u64| (0..count).filter(|index| is_in(share, *index)).collect::<Vec<_>>();
        assert_eq!(of(0.3, 10), [3, 6, 9]);
        assert_eq!(of(0.3, 40).len(), 12);
        assert_eq!(of(1.0, 3), [0, 1, 2]);
        assert_eq!(of(0.0, 99), [0_u64; 0]);
        let mut matcher = matcher("{share: 0.5}");
        let mut call = call("x", Some("1"));
        for (index, expected) in [("1", true), ("0", false), ("1", true)] {
            call.trackway.index = index.to_owned();
            assert_eq!(matcher.matches(&call), expected, "{index}");
        }
    }

    #[test]
    fn nth_counts_what_matches_otherwise() {
        let mut matcher = matcher("{contains: [a], nth: 2}");
        assert!(!matcher.matches(&call("a", Some("1"))));
        assert!(!matcher.matches(&call("b", Some("1"))));
        assert!(matcher.matches(&call("a", Some("1"))));
    }

    #[test]
    fn faults_of_a_rules_file_are_named() {
        for (yaml, message) in [
            ("- {name: two, then: {text: a, status: 500}}", "rule \"two\": then has text and status; give one outcome"),
            ("- {name: none, then: {}}", "rule \"none\": then is empty; give an outcome, or delayMillis"),
            (
                "- {name: judge, then: {scores: {a: 1}}}",
                "rule \"judge\": scores, feedback and omit are a judge's; add when.kind: judge",
            ),
            ("- {name: wait, then: {retryAfter: 1, text: a}}", "rule \"wait\": retryAfter and error go with status; add status"),
            ("- {name: some, when: {share: 30}, then: {text: a}}", "rule \"some\": share is 30; give a number from 0 to 1"),
            ("- {name: ok, then: {status: 200}}", "rule \"ok\": status is 200; give one of 300 to 599"),
        ] {
            assert_eq!(Rules::from_yaml(yaml).unwrap_err().to_string(), message);
        }
        let unknown = Rules::from_yaml("- {name: a, then: {txt: b}}").unwrap_err().to_string();
        assert!(unknown.contains("txt"), "{unknown}");
    }

    #[test]
    fn the_example_file_is_valid() {
        let rules = Rules::from_yaml(include_str!("../rules.example.yaml")).unwrap();
        assert!(rules.iter().count() >= 12);
    }
}
