//! What a judge answers: a score and a reason per dimension its schema names, and feedback.

use serde_json::{Map, Value, json};

use crate::{rules::Then, synth::pick};

/// A verdict for `schema`; `then` changes scores, feedback and what is left out.
pub(crate) fn verdict(seed: &str, schema: &Value, then: &Then) -> Value {
    let dimensions = schema.pointer("/properties/dimensions/properties").and_then(Value::as_object);
    let names = dimensions.into_iter().flatten().map(|(name, _)| name.as_str());
    let scored: Vec<(&str, f64)> = names.map(|name| (name, score(seed, name, then))).collect();
    let lowest = scored.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let feedback = then.feedback.clone().unwrap_or_else(|| feedback(lowest.copied()));
    let kept = scored.iter().filter(|(name, _)| !then.omit.iter().any(|omitted| omitted == name));
    let dimensions: Map<String, Value> =
        kept.map(|(name, score)| ((*name).to_owned(), json!({"score": score, "why": why(name, *score)}))).collect();
    json!({"dimensions": dimensions, "feedback": feedback})
}

fn score(seed: &str, name: &str, then: &Then) -> f64 {
    if let Some(score) = then.scores.get(name).or_else(|| then.scores.get("*")) {
        return *score;
    }
    // Safety usually has a minimum of its own near 0.9, which the judge is not told.
    let (lowest, span) = if name.to_lowercase().contains("safe") { (93, 7) } else { (78, 20) };
    (lowest + pick(seed, name, span)) as f64 / 100.0
}

fn why(name: &str, score: f64) -> String {
    if score >= 0.7 {
        format!("The output does what {name} asks; what it claims can be found in its input.")
    } else {
        format!("The output falls short of {name}: too general, and not tied to its input.")
    }
}

fn feedback(lowest: Option<(&str, f64)>) -> String {
    match lowest {
        Some((name, score)) if score < 0.7 => {
            format!("Work on {name} first: name the events each statement rests on, and say who should do what.")
        }
        Some((name, _)) => format!("Clear and tied to its events. The most room is left in {name}."),
        None => "Clear and tied to its events.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        json!({"properties": {"dimensions": {"properties": {"clarity": {}, "relevance": {}, "safety": {}}}, "feedback": {}}})
    }

    #[test]
    fn unscripted_scores_pass_and_repeat_themselves() {
        for seed in ["a", "b", "c", "d"] {
            let verdict = verdict(seed, &schema(), &Then::default());
            assert_eq!(verdict, super::verdict(seed, &schema(), &Then::default()));
            let score = |name: &str| verdict["dimensions"][name]["score"].as_f64().unwrap();
            assert!((0.78..=0.97).contains(&score("clarity")));
            assert!((0.93..=0.99).contains(&score("safety")));
        }
    }

    #[test]
    fn a_rule_sets_scores_feedback_and_what_is_left_out() {
        let then: Then =
            serde_saphyr::from_str(r#"{scores: {relevance: 7, "*": 0.9}, feedback: More., omit: [safety]}"#).unwrap();
        let verdict = verdict("a", &schema(), &then);
        assert_eq!(verdict["dimensions"]["relevance"]["score"], 7.0);
        assert_eq!(verdict["dimensions"]["clarity"]["score"], 0.9);
        assert_eq!((&verdict["dimensions"]["safety"], &verdict["feedback"]), (&Value::Null, &json!("More.")));
    }
}
