//! What a verdict must look like, and reading one.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use trackway_crds::{
    Score,
    contracts::{DimensionVerdict, JudgeAnswer, JudgeAnswerDimension, ResolvedDimension, ResolvedJudge},
    names::sha256_hex,
};
use trackway_llm::{ChatReply, NamedSchema};

use crate::answer::{Fault, object_of};

/// The schema a verdict is asked with: [`JudgeAnswer`] with exactly the judge's dimensions.
pub(crate) fn verdict_schema(judge: &ResolvedJudge) -> NamedSchema {
    let dimension = |dimension: &ResolvedDimension| {
        let schema = json!({
            "type": "object", "additionalProperties": false, "required": ["score", "why"], "description": dimension.criterion,
            "properties": {
                "score": {"type": "number", "minimum": 0, "maximum": 1},
                "why": {"type": "string", "description": "The passage or the lack that decided the score"},
            },
        });
        (dimension.name.clone(), schema)
    };
    let names: Vec<&str> = judge.dimensions.iter().map(|dimension| dimension.name.as_str()).collect();
    let dimensions: Map<String, Value> = judge.dimensions.iter().map(dimension).collect();
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["dimensions", "feedback"],
        "properties": {
            "dimensions": {"type": "object", "additionalProperties": false, "required": names, "properties": dimensions},
            "feedback": {"type": "string", "description": "What the writer should do better"},
        },
    });
    NamedSchema { name: "verdict".to_owned(), schema }
}

/// Hash of dimensions, weights, minimums and criteria.
pub(crate) fn rubric_sha256(judge: &ResolvedJudge) -> String {
    sha256_hex(json!(judge.dimensions).to_string().as_bytes())
}

/// Scores of a usable verdict.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scores {
    pub(crate) overall: Score,
    pub(crate) dimensions: Vec<DimensionVerdict>,
    pub(crate) feedback: String,
}

/// Reads a verdict: every dimension present, each score a number from 0 to 1. Dimensions nobody asked for are left out.
pub(crate) fn read_verdict(judge: &ResolvedJudge, reply: &ChatReply) -> Result<Scores, Fault> {
    let answer = object_of(reply, "JudgeProse")?;
    let answer = judge_answer(judge, &answer)?;
    let mut dimensions = Vec::new();
    for dimension in &judge.dimensions {
        let Some(given) = answer.dimensions.get(&dimension.name) else { continue };
        let score = Score::from_number(given.score).map_err(|error| {
            Fault::new("ScoreOutOfRange", format!("the judge scored {} outside 0..1: {error}", dimension.name))
        })?;
        dimensions.push(DimensionVerdict { name: dimension.name.clone(), score, why: given.why.clone() });
    }
    let scores: BTreeMap<String, Score> = dimensions.iter().map(|dimension| (dimension.name.clone(), dimension.score)).collect();
    let overall = judge.overall(&scores).ok_or_else(|| Fault::new("DimensionMissing", "the judge scored not every dimension"))?;
    Ok(Scores { overall, dimensions, feedback: answer.feedback })
}

/// The contract's document, as far as the answer holds it: reasons may be missing, scores may not.
fn judge_answer(judge: &ResolvedJudge, answer: &Value) -> Result<JudgeAnswer, Fault> {
    let given = answer.get("dimensions").and_then(Value::as_object);
    let mut dimensions = BTreeMap::new();
    let mut missing = Vec::new();
    for ResolvedDimension { name, .. } in &judge.dimensions {
        let Some(dimension) = given.and_then(|given| given.get(name)) else {
            missing.push(name.as_str());
            continue;
        };
        let score = dimension.get("score").and_then(Value::as_f64).ok_or_else(|| {
            Fault::new("ScoreOutOfRange", format!("the judge's score of {name} is not a number; it must be one from 0 to 1"))
        })?;
        dimensions.insert(name.clone(), JudgeAnswerDimension { score, why: text(dimension, "why") });
    }
    if !missing.is_empty() {
        let all = judge.dimensions.len();
        let message =
            format!("the judge left out {} of {all} dimensions: {}; every one needs a score", missing.len(), missing.join(", "));
        return Err(Fault::new("DimensionMissing", message));
    }
    Ok(JudgeAnswer { dimensions, feedback: text(answer, "feedback") })
}

fn text(object: &Value, field: &str) -> String {
    object.get(field).and_then(Value::as_str).unwrap_or_default().trim().to_owned()
}
