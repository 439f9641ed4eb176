//! Reading a diagnosis. Servers do not always enforce a schema, so everything is checked here.

use trackway_crds::{
    Score,
    contracts::{DebuggerAnswer, Quote},
};
use trackway_llm::ChatReply;

use crate::answer::{Fault, object_of};

const MALFORMED: &str = "MalformedDiagnosis";
/// Longest text of an answer that is kept, in characters.
const MAX_CHARACTERS: usize = 20_000;
/// Most quotes that are looked up.
const MAX_QUOTES: usize = 32;

/// A usable answer.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) root_cause: String,
    pub(super) suggested_fix: String,
    pub(super) continuation_prompt: String,
    pub(super) evidence: Vec<Quote>,
    pub(super) confidence: Score,
}

/// Reads an answer: all texts there and not empty, confidence a number from 0 to 1. Without evidence it is still an answer.
pub(super) fn read(reply: &ChatReply) -> Result<Read, Fault> {
    let answer = object_of(reply, "DiagnosisProse")?;
    let answer: DebuggerAnswer =
        serde_json::from_value(answer).map_err(|error| Fault::new(MALFORMED, format!("the answer is no diagnosis: {error}")))?;
    let text = |name: &str, text: &str| match text.trim() {
        "" => Err(Fault::new(MALFORMED, format!("{name} is empty"))),
        text => Ok(text.chars().take(MAX_CHARACTERS).collect::<String>()),
    };
    let confidence = Score::from_number(answer.confidence)
        .map_err(|error| Fault::new(MALFORMED, format!("confidence is outside 0..1: {error}")))?;
    Ok(Read {
        root_cause: text("rootCause", &answer.root_cause)?,
        suggested_fix: text("suggestedFix", &answer.suggested_fix)?,
        continuation_prompt: text("continuationPrompt", &answer.continuation_prompt)?,
        evidence: answer.evidence.into_iter().take(MAX_QUOTES).collect(),
        confidence,
    })
}

impl Read {
    /// The answer with every text gone through `scrub`: what a model was shown, it may say.
    pub(super) fn scrubbed(self, scrub: impl Fn(&str) -> String) -> Self {
        let quote = |quote: Quote| Quote { piece: scrub(&quote.piece), quote: scrub(&quote.quote) };
        Self {
            root_cause: scrub(&self.root_cause),
            suggested_fix: scrub(&self.suggested_fix),
            continuation_prompt: scrub(&self.continuation_prompt),
            evidence: self.evidence.into_iter().map(quote).collect(),
            confidence: self.confidence,
        }
    }
}
