//! Which items may go out.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::failure::{Failure, Step};

const INVALID: &str = "ApprovalInvalid";

/// What the approving stage said of each item.
pub(super) enum Approvals {
    /// No stage was asked: everything goes out.
    All,
    /// Only what this stage approved.
    By {
        /// The stage.
        stage: String,
        /// Why an item is withheld, by key; `None`: it goes out.
        entries: BTreeMap<String, Option<String>>,
    },
}

impl Approvals {
    /// Reads the output of the approving stage.
    pub(super) fn read(stage: &str, output: &Value) -> Step<Self> {
        let Some(items) = output.get("items").and_then(Value::as_array) else {
            return Err(invalid(stage, "items", "is not a list"));
        };
        let mut entries: BTreeMap<String, Option<String>> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let key = match item.get("key") {
                Some(Value::String(key)) => key.clone(),
                Some(Value::Number(key)) => key.to_string(),
                _ => return Err(invalid(stage, &format!("items[{index}].key"), "is neither a text nor a number")),
            };
            let Some(approve) = item.get("approve").and_then(Value::as_bool) else {
                return Err(invalid(stage, &format!("items[{index}].approve"), "is neither true nor false"));
            };
            let reason = item.get("reason").and_then(Value::as_str).map(str::trim).filter(|reason| !reason.is_empty());
            let withheld = (!approve).then(|| reason.map_or_else(|| format!("not approved by {stage}"), str::to_owned));
            let contradicts = entries.get(&key).is_some_and(|before| before.is_some() != withheld.is_some());
            if contradicts {
                return Err(invalid(stage, &format!("items[{index}]"), "contradicts an entry before it with the same key"));
            }
            entries.entry(key).or_insert(withheld);
        }
        Ok(Self::By { stage: stage.to_owned(), entries })
    }

    /// Why the item with `key` does not go out; `None`: it does.
    pub(super) fn withheld(&self, key: &str) -> Option<String> {
        match self {
            Self::All => None,
            Self::By { stage, entries } => match entries.get(key) {
                Some(withheld) => withheld.clone(),
                None => Some(format!("not mentioned by {stage}")),
            },
        }
    }
}

#[track_caller]
fn invalid(stage: &str, place: &str, fault: &str) -> Failure {
    let message = format!(
        "the output of stage {stage} approves nothing: {place} {fault}; it must be {{\"items\": [{{\"key\", \"approve\": true or \
         false, \"reason\"}}]}}: give the stage an outputSchema that says so"
    );
    Failure::permanent(INVALID, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_approved_goes_out_and_the_rest_says_why_not() {
        let output = json!({"items": [
            {"key": "a", "approve": true, "reason": "fine"}, {"key": "b", "approve": false, "reason": "too long"},
            {"key": "c", "approve": false}, {"key": 4, "approve": true}, {"key": "a", "approve": true},
        ]});
        let approvals = Approvals::read("review", &output).unwrap();
        let withheld = |key| approvals.withheld(key);
        assert_eq!((withheld("a"), withheld("4")), (None, None));
        assert_eq!(withheld("b").as_deref(), Some("too long"));
        assert_eq!(withheld("c").as_deref(), Some("not approved by review"));
        assert_eq!(withheld("d").as_deref(), Some("not mentioned by review"));
        assert_eq!(Approvals::All.withheld("d"), None);
    }

    #[test]
    fn another_shape_is_refused_with_its_place() {
        let approved = json!({"key": "a", "approve": true});
        for (output, place) in [
            (json!({"text": "all fine"}), "items is not a list"),
            (json!({"items": [approved, "a"]}), "items[1].key is neither a text nor a number"),
            (json!({"items": [{"key": "a", "approve": "yes"}]}), "items[0].approve is neither true nor false"),
            (json!({"items": [approved, {"key": "a", "approve": false}]}), "items[1] contradicts"),
        ] {
            let Err(failure) = Approvals::read("review", &output) else { panic!("{output} was taken") };
            assert_eq!(failure.reason, INVALID);
            assert!(failure.message.contains(place), "{}", failure.message);
        }
    }
}
