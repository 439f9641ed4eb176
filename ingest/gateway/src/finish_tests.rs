use super::*;
use crate::store::{Kept, Versioned};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use trackway_crds::contracts::{StoredEvent, TenantContext};

/// A bucket of one namespace in memory.
#[derive(Clone, Default)]
struct Bucket(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    records: BTreeMap<String, Versioned<QuestionnaireRecord>>,
    context: Option<TenantContext>,
    written: u64,
    /// No context can be replaced.
    away: bool,
    /// Questionnaires that were met.
    met: Vec<String>,
}

impl Bucket {
    fn write(&self, name: &str, record: QuestionnaireRecord) {
        let mut inside = self.0.lock().unwrap();
        inside.written += 1;
        let written = inside.written;
        inside.records.insert(name.to_owned(), (record, written));
    }

    fn answered_at(&self, name: &str) -> Option<i64> {
        self.0.lock().unwrap().records[name].0.answered_at.map(Timestamp::as_second)
    }

    fn learned(&self) -> Vec<String> {
        self.0.lock().unwrap().context.iter().flat_map(|context| context.answers.keys().cloned()).collect()
    }

    /// Looks once; where the next look begins, and what was met.
    async fn look(&self, from: u64) -> (u64, Vec<String>) {
        let from = look(self, from).await;
        (from, std::mem::take(&mut self.0.lock().unwrap().met))
    }
}

impl Store for Bucket {
    async fn keep(&self, _: &StoredEvent) -> Result<Kept, NatsError> {
        unreachable!("it finishes questionnaires only")
    }

    async fn questionnaire(&self, _: &str, name: &str) -> Result<Option<Versioned<QuestionnaireRecord>>, NatsError> {
        Ok(self.0.lock().unwrap().records.get(name).cloned())
    }

    async fn replace_questionnaire(
        &self,
        _: &str,
        name: &str,
        record: &QuestionnaireRecord,
        revision: u64,
    ) -> Result<bool, NatsError> {
        let fits = self.0.lock().unwrap().records[name].1 == revision;
        if fits {
            self.write(name, record.clone());
        }
        Ok(fits)
    }

    async fn next_questionnaire(&self, revision: u64) -> Result<Option<Met>, NatsError> {
        let mut inside = self.0.lock().unwrap();
        let later = inside.records.iter().filter(|(_, (_, written))| *written >= revision);
        let first = later.min_by_key(|(_, (_, written))| *written).map(|(name, value)| (name.clone(), value.clone()));
        let Some((name, (record, revision))) = first else { return Ok(None) };
        inside.met.push(name.clone());
        Ok(Some(Met { namespace: "team-a".to_owned(), name, record: Some(record), revision }))
    }

    async fn context(&self, _: &str, _: &str) -> Result<Option<Versioned<TenantContext>>, NatsError> {
        Ok(self.0.lock().unwrap().context.clone().map(|context| (context, 1)))
    }

    async fn replace_context(&self, _: &str, context: &TenantContext, _: Option<u64>) -> Result<bool, NatsError> {
        let mut inside = self.0.lock().unwrap();
        if inside.away {
            return Err(NatsError::Transient { action: "write".to_owned(), reason: "away".to_owned() });
        }
        inside.context = Some(context.clone());
        Ok(true)
    }
}

/// A questionnaire of two questions with `answers`, given at second 1, 2 and so on.
fn record(answers: &[&str]) -> QuestionnaireRecord {
    let second = |second: usize| Timestamp::from_second(i64::try_from(second).unwrap()).unwrap();
    let given = answers.iter().enumerate().map(|(n, id)| ((*id).to_owned(), json!({"value": "x", "at": second(n + 1)})));
    let questions = ["tone", "size"].map(|id| json!({"id": id, "question": "?", "answer": {}}));
    serde_json::from_value(json!({
        "contract": 1, "tenant": "octo-org", "questions": questions, "expiresAt": second(100),
        "answers": given.collect::<serde_json::Map<String, Value>>(),
    }))
    .unwrap()
}

#[tokio::test]
async fn an_unanswered_questionnaire_is_left_alone() {
    let bucket = Bucket::default();
    bucket.write("none", record(&[]));
    bucket.write("half", record(&["tone"]));
    bucket.write("empty", QuestionnaireRecord { questions: Vec::new(), ..record(&[]) });
    bucket.look(0).await;
    for name in ["none", "half", "empty"] {
        assert_eq!(bucket.answered_at(name), None, "{name}");
    }
    assert_eq!(bucket.0.lock().unwrap().written, 3);
    assert!(bucket.learned().is_empty());
}

#[tokio::test]
async fn an_answered_one_that_is_not_marked_is_finished_once_and_met_no_more() {
    let bucket = Bucket::default();
    bucket.write("a", record(&["tone", "size"]));
    bucket.write("b", record(&["tone"]));
    let (from, met) = bucket.look(0).await;
    assert_eq!((bucket.answered_at("a"), bucket.learned()), (Some(2), vec!["size".to_owned(), "tone".to_owned()]));
    assert_eq!(met, ["a", "b", "a"], "what it has written itself is met, too");

    bucket.write("b", record(&["size", "tone"]));
    let (from, met) = bucket.look(from).await;
    assert_eq!((met, bucket.answered_at("b")), (vec!["a".to_owned(), "b".to_owned(), "b".to_owned()], Some(2)));
    assert_eq!(bucket.look(from).await, (from, vec!["b".to_owned()]), "only the last one is read when nothing was written");
    assert_eq!(bucket.0.lock().unwrap().written, 5);
}

#[tokio::test]
async fn what_could_not_be_finished_is_met_again_and_keeps_nobody_waiting() {
    let bucket = Bucket::default();
    bucket.write("a", record(&["tone", "size"]));
    bucket.write("b", record(&["tone"]));
    bucket.0.lock().unwrap().away = true;
    let (from, met) = bucket.look(0).await;
    assert_eq!((met, bucket.answered_at("a")), (vec!["a".to_owned(), "b".to_owned()], None));
    bucket.0.lock().unwrap().away = false;
    bucket.look(from).await;
    assert_eq!(bucket.answered_at("a"), Some(2));
}

#[tokio::test]
async fn a_bucket_that_was_made_anew_is_read_from_its_beginning() {
    let bucket = Bucket::default();
    bucket.write("a", record(&["tone", "size"]));
    let (from, _) = bucket.look(0).await;
    *bucket.0.lock().unwrap() = Inside::default();
    bucket.write("a", record(&["tone", "size"]));
    let (from, met) = bucket.look(from).await;
    assert_eq!((from, met), (0, Vec::new()));
    bucket.look(from).await;
    assert_eq!(bucket.answered_at("a"), Some(2));
}
