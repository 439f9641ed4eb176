//! What an attempt reports, gathered while it goes on: a failure too tells what was reached and spent.

use trackway_crds::{
    contracts::{
        Assignment, CONTRACT, CallRecord, ErrorClass, Reference, ResultError, ResultMillis, ResultPhase, StageResult,
        StoredVerdict, Tokens,
    },
    text::cut,
};

use crate::{Models, Use, failure::Failure};

const MAX_FEEDBACK: usize = 192;
const MAX_MESSAGE: usize = 256;

/// Everything about a try that its result and record tell.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) input: Option<Reference>,
    pub(crate) output: Option<Reference>,
    pub(crate) record: Option<Reference>,
    pub(crate) gaps: Option<u32>,
    pub(crate) tokens: Tokens,
    pub(crate) calls: Vec<CallRecord>,
    millis: ResultMillis,
}

impl Report {
    /// A model answered.
    pub(crate) fn called(&mut self, used_for: Use, call: CallRecord) {
        self.spent(used_for, call.millis);
        let (input, output) = match used_for {
            Use::Generate => (&mut self.tokens.input, &mut self.tokens.output),
            Use::Judge => (&mut self.tokens.judge_input, &mut self.tokens.judge_output),
        };
        *input = input.saturating_add(call.input_tokens);
        *output = output.saturating_add(call.output_tokens);
        self.calls.push(call);
    }

    /// Time went by, with or without an answer.
    pub(crate) fn spent(&mut self, used_for: Use, millis: u64) {
        let sum = match used_for {
            Use::Generate => &mut self.millis.generate,
            Use::Judge => &mut self.millis.judge,
        };
        *sum = sum.saturating_add(millis);
    }

    /// The result of a try that came to its end.
    pub(crate) fn finished(self, assignment: &Assignment, pod: &str, verdict: Option<&StoredVerdict>) -> StageResult {
        let phase = if verdict.is_some() { ResultPhase::Judged } else { ResultPhase::Done };
        let mut result = self.result(assignment, pod, phase);
        if let Some(verdict) = verdict {
            result.score = Some(verdict.score.thousandths());
            result.dimensions = verdict.dimensions.iter().map(|one| (one.name.clone(), one.score.thousandths())).collect();
            result.feedback = Some(cut(&verdict.feedback, MAX_FEEDBACK)).filter(|feedback| !feedback.is_empty());
        }
        result
    }

    /// The result of a try that stopped at `failure`.
    pub(crate) fn failed(self, assignment: &Assignment, pod: &str, failure: &Failure, models: &Models) -> StageResult {
        let mut result = self.result(assignment, pod, ResultPhase::Error);
        let retry_after = failure.retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        result.error = Some(ResultError {
            class: failure.class,
            reason: failure.reason.to_owned(),
            message: cut(&models.scrubbed(&failure.message), MAX_MESSAGE),
            retry_after_millis: retry_after,
        });
        result
    }

    fn result(self, assignment: &Assignment, pod: &str, phase: ResultPhase) -> StageResult {
        StageResult {
            contract: CONTRACT,
            run: assignment.run.uid.clone(),
            stage: assignment.stage.clone(),
            index: 0,
            attempt: assignment.attempt,
            try_: assignment.try_,
            pod: pod.to_owned(),
            phase,
            score: None,
            dimensions: [].into(),
            feedback: None,
            input: self.input,
            output: self.output,
            record: self.record,
            gaps: self.gaps,
            key: None,
            lists: [].into(),
            diagnosis: None,
            tokens: self.tokens,
            millis: self.millis,
            error: None,
        }
    }
}

/// The result of a try that could not begin: its revision or store could not be opened. `message` must hold no secret.
#[must_use]
pub fn failed_result(assignment: &Assignment, pod_uid: &str, class: ErrorClass, reason: &str, message: &str) -> StageResult {
    let mut result = Report::default().result(assignment, pod_uid, ResultPhase::Error);
    result.error =
        Some(ResultError { class, reason: reason.to_owned(), message: cut(message, MAX_MESSAGE), retry_after_millis: None });
    result
}
