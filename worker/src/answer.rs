//! Reading a model's answer, and asking for a better one.

use serde_json::Value;
use trackway_crds::contracts::ErrorClass;
use trackway_llm::{ChatReply, Message, parse_json_answer};

use crate::failure::Failure;

/// Violations told to the model and to people.
const MAX_VIOLATIONS: usize = 8;
/// Longest part of a bad answer that is sent back.
const MAX_SENT_BACK: usize = 100_000;

/// Why an answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// One CamelCase word.
    pub(crate) reason: &'static str,
    /// For the model: may quote its answer.
    pub(crate) for_model: String,
    /// For people and resources: quotes nothing of it.
    pub(crate) for_people: String,
    /// Asking for a repair would bring nothing.
    pub(crate) hopeless: bool,
    /// The next try would bring the same: the stage's definition asks for what its output does not have.
    pub(crate) permanent: bool,
}

impl Fault {
    pub(crate) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { reason, for_model: message.clone(), for_people: message, hopeless: false, permanent: false }
    }
}

impl Fault {
    /// The failure it is when it stays. `class` says who gave the answer.
    #[track_caller]
    pub(crate) fn failure(self, class: ErrorClass) -> Failure {
        Failure::new(if self.permanent { ErrorClass::Permanent } else { class }, self.reason, self.for_people)
    }
}

/// The JSON object of an answer. `reason` is what its absence is called.
pub(crate) fn object_of(reply: &ChatReply, reason: &'static str) -> Result<Value, Fault> {
    if let (true, Some(words)) = (reply.text.trim().is_empty(), &reply.refusal) {
        let message =
            format!("the model refused to answer ({} characters); change the prompt or the model", words.chars().count());
        return Err(Fault { hopeless: true, ..Fault::new("ModelRefused", message) });
    }
    parse_json_answer(&reply.text).map_err(|error| {
        let cut = match reply.finish_reason.as_deref() {
            Some("length") => "; it was cut off, raise the model's maxOutputTokens",
            _ => "",
        };
        Fault::new(reason, format!("{error}{cut}"))
    })
}

/// Checks `answer` against `schema`.
pub(crate) fn valid_for(schema: &jsonschema::Validator, answer: &Value, reason: &'static str) -> Result<(), Fault> {
    let (mut for_model, mut for_people) = (Vec::new(), Vec::new());
    for error in schema.iter_errors(answer) {
        if for_model.len() < MAX_VIOLATIONS {
            let path = error.instance_path().to_string();
            let at = if path.is_empty() { "the root" } else { &path };
            for_model.push(format!("{at}: {error}"));
            for_people.push(format!("{at}: {}", error.masked()));
        }
    }
    if for_model.is_empty() {
        return Ok(());
    }
    let fault = |violations: Vec<String>| format!("the answer is not valid for its schema: {}", violations.join("; "));
    Err(Fault { for_model: fault(for_model), ..Fault::new(reason, fault(for_people)) })
}

/// The repair turn: the bad answer, what is wrong with it, and the same question.
pub(crate) fn repair_request(answer: &str, fault: &Fault) -> [Message; 2] {
    let sent_back: String = answer.chars().take(MAX_SENT_BACK).collect();
    let sent_back = if sent_back.trim().is_empty() { "(nothing)".to_owned() } else { sent_back };
    let request = format!(
        "That answer cannot be used: {}.\nAnswer the request again, completely, with one JSON object that is valid for the schema \
         and nothing else: no explanation, no code fence.",
        fault.for_model
    );
    [Message::assistant(sent_back), Message::user(request)]
}
