//! What answers do to a questionnaire: pure.

use crate::problem::{Complaint, Kind, Problem};
use jiff::Timestamp;
use jsonschema::PatternOptions;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use trackway_crds::contracts::{Answer, CONTRACT, Question, QuestionnaireRecord, TenantContext};

/// Most answers that are kept of a tenant; the oldest go first.
const MAX_CONTEXT: usize = 256;
/// What they take at most, in bytes: prompts may name them all.
const MAX_CONTEXT_BYTES: usize = 512 * 1024;
/// Steps a schema's pattern may take; schemas are written by models.
const PATTERN_STEPS: usize = 100_000;
/// Characters of a schema's complaint that are repeated.
const COMPLAINT_CHARS: usize = 300;

/// Body of `POST /v1/questionnaires/{namespace}/{name}/answers`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answers {
    /// An answer by the id of its question. Some of the questions are enough.
    pub answers: Map<String, Value>,
}

/// How far a questionnaire has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Progress {
    /// Every question is answered.
    pub answered: bool,
    /// Ids of questions without an answer.
    pub missing: Vec<String>,
}

/// A questionnaire as its tenant sees it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Questionnaire {
    /// What is asked; `answer` is the JSON Schema of an answer.
    pub questions: Vec<Question>,
    /// From then on answers come too late.
    pub expires_at: Timestamp,
    /// How far it has come.
    #[serde(flatten)]
    pub progress: Progress,
}

/// How far `record` has come.
#[must_use]
pub fn progress(record: &QuestionnaireRecord) -> Progress {
    let open = |question: &&Question| !record.answers.contains_key(&question.id);
    let missing: Vec<String> = record.questions.iter().filter(open).map(|question| question.id.clone()).collect();
    Progress { answered: missing.is_empty(), missing }
}

/// `record` with what is new in `answers`, given at `now`. Giving the same answer again changes nothing.
///
/// # Errors
/// [`Kind::Invalid`] with a complaint for each answer that does not fit its question, [`Kind::Conflict`] when a question was
/// answered otherwise, [`Kind::Expired`] when it is too late.
pub fn answer(record: &QuestionnaireRecord, answers: &Answers, now: Timestamp) -> Result<QuestionnaireRecord, Problem> {
    let complete = progress(record).answered;
    if !complete && record.expires_at <= now {
        let detail = format!("the questionnaire expired at {}; whoever waited for it has gone on", record.expires_at);
        return Err(Problem::new(Kind::Expired, detail));
    }
    if answers.answers.is_empty() {
        return Err(Problem::new(Kind::Invalid, "there is no answer; give at least one").about("answers"));
    }
    let questions: Vec<Complaint> = answers.answers.iter().filter_map(|(id, value)| complaint(record, id, value)).collect();
    if !questions.is_empty() {
        let problem = Problem::new(Kind::Invalid, "some answers do not fit their questions; nothing was taken").about("answers");
        return Err(Problem { questions, ..problem });
    }
    let mut next = record.clone();
    for (id, value) in &answers.answers {
        match next.answers.get(id) {
            Some(before) if before.value == *value => {}
            Some(_) => {
                let detail = "the question was answered otherwise before; the first answer stands";
                return Err(Problem::new(Kind::Conflict, detail).about(format!("answers.{id}")));
            }
            None => {
                next.answers.insert(id.clone(), Answer { value: value.clone(), at: now });
            }
        }
    }
    Ok(next)
}

/// What is wrong with an answer, if anything.
fn complaint(record: &QuestionnaireRecord, id: &str, value: &Value) -> Option<Complaint> {
    let complaint = |detail: String| {
        let detail = detail.chars().take(COMPLAINT_CHARS).collect();
        Some(Complaint { id: id.chars().take(64).collect(), detail })
    };
    let Some(question) = record.questions.iter().find(|question| question.id == id) else {
        return complaint("there is no such question".to_owned());
    };
    let patterns = PatternOptions::fancy_regex().backtrack_limit(PATTERN_STEPS);
    match jsonschema::options().with_pattern_options(patterns).build(&question.answer) {
        Ok(schema) => match schema.validate(value) {
            Ok(()) => None,
            Err(error) => complaint(error.to_string()),
        },
        Err(error) => {
            tracing::error!(question = id, %error, "the schema of a question cannot be used");
            complaint("no answer can be taken: the question's schema cannot be used".to_owned())
        }
    }
}

/// A tenant's context with the answers of `record`; of two answers to one question the newer stays. `None`: nothing changes.
#[must_use]
pub fn context(before: Option<&TenantContext>, record: &QuestionnaireRecord) -> Option<TenantContext> {
    let mut answers = before.map(|context| context.answers.clone()).unwrap_or_default();
    let mut changed = false;
    for (id, answer) in &record.answers {
        if answers.get(id).is_none_or(|known| known.at < answer.at) {
            answers.insert(id.clone(), answer.clone());
            changed = true;
        }
    }
    if !changed {
        return None;
    }
    forget_oldest(&mut answers);
    Some(TenantContext { contract: CONTRACT, tenant: record.tenant.clone(), answers })
}

fn forget_oldest(answers: &mut BTreeMap<String, Answer>) {
    let size = |id: &str, answer: &Answer| id.len() + answer.value.to_string().len() + 64;
    let mut bytes: usize = answers.iter().map(|(id, answer)| size(id, answer)).sum();
    while answers.len() > MAX_CONTEXT || bytes > MAX_CONTEXT_BYTES {
        let Some(oldest) = answers.iter().min_by_key(|(_, answer)| answer.at).map(|(id, _)| id.clone()) else { return };
        if let Some(answer) = answers.remove(&oldest) {
            bytes -= size(&oldest, &answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn moment(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn record() -> QuestionnaireRecord {
        serde_json::from_value(json!({
            "contract": 1, "tenant": "octo-org", "expiresAt": moment(100),
            "questions": [
                {"id": "tone", "question": "Which tone?", "answer": {"enum": ["warm", "plain"]}},
                {"id": "size", "question": "How many?", "answer": {"type": "integer", "minimum": 1}},
            ],
        }))
        .unwrap()
    }

    fn answers(value: Value) -> Answers {
        Answers { answers: value.as_object().unwrap().clone() }
    }

    #[test]
    fn questions_are_answered_one_after_the_other() {
        let first = answer(&record(), &answers(json!({"tone": "warm"})), moment(1)).unwrap();
        assert_eq!(progress(&first), Progress { answered: false, missing: vec!["size".to_owned()] });
        let both = answer(&first, &answers(json!({"tone": "warm", "size": 3})), moment(2)).unwrap();
        assert_eq!(progress(&both), Progress { answered: true, missing: vec![] });
        assert_eq!((both.answers["tone"].at, both.answers["size"].at), (moment(1), moment(2)));
        assert_eq!(answer(&both, &answers(json!({"size": 3})), moment(200)).unwrap(), both, "a repeat, however late");
    }

    #[test]
    fn every_wrong_answer_is_named_and_nothing_is_taken() {
        let problem = answer(&record(), &answers(json!({"tone": "loud", "size": 0, "when": 1})), moment(1)).unwrap_err();
        let told: Vec<_> = problem.questions.iter().map(|one| (one.id.as_str(), one.detail.as_str())).collect();
        assert_eq!(
            told,
            [
                ("size", "0 is less than the minimum of 1"),
                ("tone", "\"loud\" is not one of \"warm\" or \"plain\""),
                ("when", "there is no such question")
            ]
        );
        assert_eq!(problem.kind, Kind::Invalid);
    }

    #[test]
    fn late_other_and_no_answers_are_refused() {
        let refused =
            |record: &QuestionnaireRecord, value, second| answer(record, &answers(value), moment(second)).unwrap_err().kind;
        assert_eq!(refused(&record(), json!({"tone": "warm"}), 100), Kind::Expired);
        assert_eq!(refused(&record(), json!({}), 1), Kind::Invalid);
        let partial = answer(&record(), &answers(json!({"tone": "warm"})), moment(1)).unwrap();
        assert_eq!(refused(&partial, json!({"tone": "plain"}), 2), Kind::Conflict);
        assert_eq!(refused(&partial, json!({"size": 1}), 100), Kind::Expired);
    }

    #[test]
    fn a_context_keeps_the_newest_answers() {
        let first = answer(&record(), &answers(json!({"tone": "warm"})), moment(5)).unwrap();
        let known = context(None, &first).unwrap();
        assert_eq!(context(Some(&known), &first), None, "a repeat");
        let older = answer(&record(), &answers(json!({"tone": "plain", "size": 2})), moment(4)).unwrap();
        let both = context(Some(&known), &older).unwrap();
        assert_eq!((&both.answers["tone"].value, &both.answers["size"].value), (&json!("warm"), &json!(2)));
    }

    #[test]
    fn a_context_never_outgrows_its_bounds() {
        let mut known = TenantContext { contract: 1, tenant: "octo-org".to_owned(), answers: BTreeMap::new() };
        for n in 0..1_000 {
            known.answers.insert(format!("q{n}"), Answer { value: json!("x".repeat(4_000)), at: moment(n) });
        }
        let newest = answer(&record(), &answers(json!({"tone": "warm"})), moment(99)).unwrap();
        let newest = QuestionnaireRecord {
            answers: newest.answers.into_iter().map(|(id, answer)| (id, Answer { at: moment(5_000), ..answer })).collect(),
            ..newest
        };
        let kept = context(Some(&known), &newest).unwrap();
        assert!(kept.answers.contains_key("tone") && kept.answers.contains_key("q999") && !kept.answers.contains_key("q0"));
        assert!(serde_json::to_vec(&kept).unwrap().len() < 600 * 1024 && kept.answers.len() <= MAX_CONTEXT);
    }
}
