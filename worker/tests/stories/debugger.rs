use serde_json::{Value, json};
use trackway_crds::{
    contracts::{
        AttemptRecord, ErrorClass, FailureRecord, MAX_TERMINATION_BYTES, NameKind, ResultPhase, StageInput, StageResult,
        StoredDiagnosis,
    },
    names::DEBUGGER,
};
use trackway_scripted_llm::{Kind, Rules};
use trackway_worker::{AttemptJob, DEBUGGER_INSTRUCTION};

use crate::world::{API_KEY, Setup, World};

const LOW: &str = r#"
- {name: text, when: {kind: generate}, then: {text: "Something happened somewhere."}}
- {name: low, when: {kind: judge}, then: {scores: {"*": 0.4}, feedback: "It names no event and no reader."}}
"#;

/// A stage that was judged too low three times, and what explains it.
struct Failed {
    world: World,
    records: Vec<Value>,
}

impl Failed {
    async fn with_rules(rules: &str) -> Self {
        let mut world = World::new(Setup { rules: format!("{LOW}{rules}"), ..Setup::default() }).await;
        let model = match json!(world.revision.stages[0].work)["model"].clone() {
            Value::Object(model) => model,
            other => panic!("{other}"),
        };
        world.revision.debugger = serde_json::from_value(json!({"model": model, "timeoutMillis": 60_000})).unwrap();
        let mut records = Vec::new();
        for attempt in 1..=3 {
            records.push(json!(world.run(attempt, 1).await.record));
        }
        Self { world, records }
    }

    fn job(&self, try_: u32) -> AttemptJob {
        let mut job = self.world.job(1, try_);
        job.assignment.stage = DEBUGGER.to_owned();
        let failure = json!({
            "stage": "insights", "class": "quality", "reason": "QualityExhausted", "attempts": 3, "records": self.records,
            "message": "3 of 3 attempts below 0.7, best 0.4",
        });
        job.assignment.failure = serde_json::from_value(failure).unwrap();
        job
    }

    async fn debug(&self, try_: u32) -> StageResult {
        self.world.run_job(&self.job(try_)).await
    }

    async fn stored(&self, result: &StageResult) -> StoredDiagnosis {
        self.world.read(&result.diagnosis.as_ref().unwrap().full).await
    }
}

/// A rule that answers the debugger's question.
fn answering(answer: &Value) -> String {
    format!("- {{name: diagnosis, when: {{kind: debug}}, then: {{json: {answer}}}}}\n")
}

fn usual() -> Value {
    json!({
        "rootCause": "The prompt does not ask for events.", "suggestedFix": "Ask for the event behind each claim.",
        "continuationPrompt": "Rewrite insights.md so that it asks for events.", "confidence": 0.85,
        "evidence": [
            {"piece": "verdict of attempt 3", "quote": "It names no event and no reader."},
            {"piece": "prompt insights.md", "quote": "You write for {{ track.audience }}."},
        ],
    })
}

#[tokio::test]
async fn a_failure_is_explained_with_what_shows_it() {
    let failed = Failed::with_rules(&answering(&usual())).await;
    let result = failed.debug(1).await;
    assert_eq!((result.phase, result.error.as_ref()), (ResultPhase::Done, None));
    assert_eq!((result.stage.as_str(), result.attempt, result.try_, result.index), (DEBUGGER, 1, 1, 0));
    assert!(result.tokens.input > 0 && serde_json::to_string(&result).unwrap().len() <= MAX_TERMINATION_BYTES);

    let diagnosis = result.diagnosis.as_ref().unwrap();
    assert_eq!(diagnosis.root_cause, "The prompt does not ask for events.");
    assert_eq!((diagnosis.confidence.thousandths(), diagnosis.model.as_str()), (850, "m"));
    assert_eq!((diagnosis.dropped_evidence, result.output.as_ref()), (0, Some(&diagnosis.full)));
    let quoted: Vec<&str> = diagnosis.evidence.iter().map(|evidence| evidence.piece.as_str()).collect();
    assert_eq!(quoted, ["verdict of attempt 3", "prompt insights.md"]);

    let stored = failed.stored(&result).await;
    let names: Vec<&str> = stored.pieces.iter().map(|piece| piece.name.as_str()).collect();
    for name in [
        "error",
        "stage definition",
        "verdict of attempt 3",
        "output of attempt 3",
        "input of attempt 3",
        "prompt insights.md",
        "verdict of attempt 1",
        "output of attempt 2",
        "batch",
    ] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    assert_eq!((stored.call.purpose.as_str(), stored.evidence.len()), ("debug", 2));
    let record: AttemptRecord = failed.world.read(&result.record.unwrap()).await;
    assert_eq!((record.output, record.stage.as_str()), (result.output.unwrap(), DEBUGGER));
}

#[tokio::test]
async fn the_continuation_prompt_is_complete_by_itself() {
    let failed = Failed::with_rules(&answering(&usual())).await;
    let result = failed.debug(1).await;
    let prompt = failed.stored(&result).await.continuation_prompt;
    for part in [
        "You are debugging one stage of a Trackway run",
        "Run admin-b7k2f9q1 (namespace team-a) of Track admin, written for: Org admin",
        "Stage insights failed after 3 attempt(s): QualityExhausted (quality): 3 of 3 attempts below 0.7, best 0.4",
        "\"criterion\": \"Every claim is supported by an event.\"",
        "You write for {{ track.audience }}.",
        "Batch b7k2f9q1: [{",
        "Something happened somewhere.",
        "It names no event and no reader.",
        "Root cause: The prompt does not ask for events.",
        "Suggested fix: Ask for the event behind each claim.",
        "Rewrite insights.md so that it asks for events.",
        "## What is wanted of you",
    ] {
        assert!(prompt.contains(part), "{part:?} is not in:\n{prompt}");
    }
    assert!(!prompt.contains("output of attempt 2"), "only the attempt that decided is shown");
    let shown = result.diagnosis.unwrap().continuation_prompt;
    assert!(shown.len() <= 1024 && shown.starts_with("You are debugging one stage of a Trackway run"), "{shown}");
}

#[tokio::test]
async fn the_model_is_told_that_everything_it_reads_is_data() {
    let failed = Failed::with_rules("").await;
    let result = failed.debug(1).await;
    assert_eq!(result.error, None, "the scripted model quotes what it is shown");
    assert_eq!(result.diagnosis.as_ref().unwrap().dropped_evidence, 0);
    assert!(!result.diagnosis.as_ref().unwrap().evidence.is_empty());
    let input: StageInput = failed.world.read(result.input.as_ref().unwrap()).await;
    assert_eq!(input.system.as_deref(), Some(DEBUGGER_INSTRUCTION));
    assert!(input.user.contains("<<<verdict of attempt 3 "), "{}", input.user);
    let call = failed.world.llm.calls().into_iter().rfind(|call| call.kind == Kind::Debug).unwrap();
    assert_eq!((call.trackway.stage.as_str(), call.trackway.purpose.as_str()), (DEBUGGER, "debug"));
}

#[tokio::test]
async fn prose_is_a_failure_of_the_model() {
    let failed = Failed::with_rules("- {name: prose, when: {kind: debug}, then: {prose: It was the prompt.}}\n").await;
    let result = failed.debug(1).await;
    let error = result.error.unwrap();
    assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Model, "DiagnosisProse"));
    assert_eq!(failed.world.calls(Kind::Debug), 2, "one repair turn");
    let record: FailureRecord = failed.world.read(&result.record.unwrap()).await;
    assert_eq!((record.stage.as_str(), record.calls.len()), (DEBUGGER, 2));

    failed.world.llm.set_rules(&Rules::from_yaml(&answering(&usual())).unwrap());
    assert_eq!(failed.debug(2).await.phase, ResultPhase::Done);
}

#[tokio::test]
async fn an_answer_that_lacks_something_is_asked_for_again() {
    for (field, value) in [("rootCause", json!(" ")), ("confidence", json!(7)), ("suggestedFix", json!(null))] {
        let mut answer = usual();
        answer[field] = value;
        let failed = Failed::with_rules(&answering(&answer)).await;
        let error = failed.debug(1).await.error.unwrap();
        assert_eq!((error.class, error.reason.as_str()), (ErrorClass::Model, "MalformedDiagnosis"), "{field}");
    }
}

#[tokio::test]
async fn invented_quotes_are_dropped_and_counted() {
    let mut answer = usual();
    answer["evidence"] = json!([
        {"piece": "verdict of attempt 3", "quote": "names no event"},
        {"piece": "verdict of attempt 3", "quote": "The server was on fire."},
        {"piece": "a piece of mine", "quote": "names no event"},
    ]);
    let failed = Failed::with_rules(&answering(&answer)).await;
    let result = failed.debug(1).await;
    let diagnosis = result.diagnosis.as_ref().unwrap();
    assert_eq!((diagnosis.evidence.len(), diagnosis.dropped_evidence), (1, 2));
    let stored = failed.stored(&result).await;
    assert_eq!((stored.evidence.len(), stored.dropped_evidence.len()), (1, 2));
    assert!(!stored.continuation_prompt.contains("on fire"));
}

#[tokio::test]
async fn inv13_a_key_that_turns_up_anywhere_is_taken_out() {
    let mut answer = usual();
    answer["rootCause"] = json!(format!("The key {API_KEY} is wrong."));
    answer["continuationPrompt"] = json!(format!("Try {API_KEY} again."));
    let failed = Failed::with_rules(&answering(&answer)).await;
    // An earlier attempt wrote it, too.
    let mut job = failed.job(1);
    job.assignment.failure.as_mut().unwrap().message = format!("echoed {API_KEY}");
    job.files.insert("insights.md".to_owned(), format!("You write. {API_KEY}"));
    let result = failed.world.run_job(&job).await;
    assert_eq!(result.diagnosis.as_ref().unwrap().root_cause, "The key [secret] is wrong.");
    let stored: Value = failed.world.read(result.output.as_ref().unwrap()).await;
    let input: Value = failed.world.read(result.input.as_ref().unwrap()).await;
    for text in [json!(result).to_string(), stored.to_string(), input.to_string()] {
        assert!(!text.contains(API_KEY), "{text}");
    }
}

#[tokio::test]
async fn inv03_a_second_pod_adopts_the_diagnosis_and_calls_no_model() {
    let failed = Failed::with_rules("").await;
    let first = failed.debug(1).await;
    let second = failed.debug(2).await;
    assert_eq!((&second.diagnosis, &second.output), (&first.diagnosis, &first.output));
    assert_eq!((second.phase, second.try_, failed.world.calls(Kind::Debug)), (ResultPhase::Done, 2, 1));
}

#[tokio::test]
async fn a_failure_that_left_nothing_is_explained_with_what_there_is() {
    let failed = Failed::with_rules("").await;
    let mut job = failed.job(1);
    let failure = job.assignment.failure.as_mut().unwrap();
    (failure.attempts, failure.records) = (0, Vec::new());
    failure.target = serde_json::from_value(json!({"index": 7, "key": "hubot"})).unwrap();
    let result = failed.world.run_job(&job).await;
    let names: Vec<String> = failed.stored(&result).await.pieces.into_iter().map(|piece| piece.name).collect();
    assert_eq!(names, ["error", "stage definition", "prompt insights.md", "batch"]);
}

#[tokio::test]
async fn the_record_of_a_failed_try_is_shown() {
    let failed = Failed::with_rules("- {name: prose, when: {kind: debug}, then: {prose: no}, times: 2}\n").await;
    let record = failed.debug(1).await.record.unwrap();
    let mut job = failed.job(2);
    job.assignment.failure.as_mut().unwrap().records.push(record);
    let result = failed.world.run_job(&job).await;
    let names: Vec<String> = failed.stored(&result).await.pieces.into_iter().map(|piece| piece.name).collect();
    assert!(names.contains(&"failure 1 of attempt 1 try 1".to_owned()), "{names:?}");
    assert_eq!(failed.world.name(1, NameKind::Output).await.map(|name| name.request_hash.is_some()), Some(true));
}
