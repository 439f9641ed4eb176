//! The questions that a tenant is asked about the gaps of a context validation.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use trackway_crds::{
    contracts::{ContextAnswer, ContextGap, MAX_QUESTIONS, MAX_QUESTIONS_BYTES, Question},
    text::cut,
};

use crate::answer::Fault;

const MALFORMED: &str = "MalformedAnswer";
const MAX_ID: usize = 64;
const MAX_TEXT: usize = 1024;
const MAX_KEYWORDS: usize = 32;

/// The questions of `answer`, or what the model has to do better.
pub(crate) fn questions(answer: ContextAnswer) -> Result<Vec<Question>, Fault> {
    if answer.gaps.len() > MAX_QUESTIONS {
        let message = format!(
            "gaps has {} entries, and people are asked at most {MAX_QUESTIONS} questions: keep those that matter most",
            answer.gaps.len()
        );
        return Err(Fault::new(MALFORMED, message));
    }
    let mut ids = BTreeSet::new();
    let mut all = Vec::new();
    for (index, gap) in answer.gaps.into_iter().enumerate() {
        if !ids.insert(gap.id.clone()) {
            return Err(Fault::new(MALFORMED, format!("gaps[{index}].id is there twice: give each gap an id of its own")));
        }
        all.push(question(index, gap)?);
    }
    let bytes = serde_json::to_vec(&all).map_or(usize::MAX, |json| json.len());
    if bytes > MAX_QUESTIONS_BYTES {
        let message = format!("gaps have {bytes} bytes in all, at most {MAX_QUESTIONS_BYTES} are kept: shorten them");
        return Err(Fault::new(MALFORMED, message));
    }
    Ok(all)
}

fn question(index: usize, gap: ContextGap) -> Result<Question, Fault> {
    let wrong = |message: String| Fault::new(MALFORMED, format!("gaps[{index}].{message}"));
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if gap.id.is_empty() || gap.id.len() > MAX_ID || !gap.id.chars().all(plain) {
        return Err(wrong(format!("id must have 1 to {MAX_ID} letters, digits, '_' or '-'")));
    }
    let answer = if gap.answer.is_null() { json!({"type": "string"}) } else { gap.answer };
    let Value::Object(schema) = &answer else { return Err(wrong("answer must be a JSON Schema, an object".into())) };
    if schema.len() > MAX_KEYWORDS {
        return Err(wrong(format!("answer has {} keywords, at most {MAX_KEYWORDS} are kept", schema.len())));
    }
    if refers_elsewhere(&answer) {
        return Err(wrong("answer refers to another document: write the whole schema".into()));
    }
    jsonschema::validator_for(&answer).map_err(|_| wrong("answer is not a valid JSON Schema".into()))?;
    Ok(Question { id: gap.id, question: cut(&gap.question, MAX_TEXT), why: cut(&gap.why, MAX_TEXT), answer })
}

fn refers_elsewhere(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            let elsewhere = matches!(name.as_str(), "$ref" | "$dynamicRef" | "$schema" | "$id")
                && value
                    .as_str()
                    .is_some_and(|target| !target.starts_with('#') && !target.starts_with("https://json-schema.org/"));
            elsewhere || refers_elsewhere(value)
        }),
        Value::Array(items) => items.iter().any(refers_elsewhere),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gap(id: &str, answer: Value) -> ContextGap {
        ContextGap { id: id.into(), question: "Which plan?".into(), why: "It decides the tone.".into(), answer }
    }

    fn asked(gaps: Vec<ContextGap>) -> Result<Vec<Question>, String> {
        questions(ContextAnswer { complete: false, gaps }).map_err(|fault| fault.for_model)
    }

    #[test]
    fn a_gap_becomes_a_question_whose_answer_is_a_text_unless_it_says_otherwise() {
        let all = asked(vec![gap("plan", Value::Null), gap("seats", json!({"type": "integer"}))]).unwrap();
        assert_eq!((all[0].id.as_str(), &all[0].answer), ("plan", &json!({"type": "string"})));
        assert_eq!(all[1].answer, json!({"type": "integer"}));
    }

    #[test]
    fn what_nobody_could_be_asked_is_told_to_the_model() {
        let many = (0..9).map(|n| gap(&format!("g{n}"), Value::Null)).collect();
        let long = (0..8).map(|n| gap(&format!("g{n}"), json!({"type": "string", "description": "d".repeat(2_000)}))).collect();
        for (gaps, words) in [
            (many, "gaps has 9 entries"),
            (long, "bytes in all"),
            (vec![gap("a", Value::Null), gap("a", Value::Null)], "gaps[1].id is there twice"),
            (vec![gap("a.b", Value::Null)], "gaps[0].id must have"),
            (vec![gap("a", json!("text"))], "must be a JSON Schema"),
            (vec![gap("a", json!({"type": "nonsense"}))], "not a valid JSON Schema"),
            (vec![gap("a", json!({"$ref": "https://elsewhere.example/schema.json"}))], "refers to another document"),
        ] {
            let told = asked(gaps).unwrap_err();
            assert!(told.contains(words), "{told}");
        }
    }
}
