//! What an attempt reports, gathered while it goes on: a failure too tells what was reached and spent.

use std::{collections::BTreeMap, time::Duration};

use trackway_crds::{
    contracts::{
        Assignment, CONTRACT, CallRecord, Diagnosis, ErrorClass, ListInfo, Question, Reference, ResultError, ResultMillis,
        ResultPhase, StageResult, StoredVerdict, TargetAssignment, Tokens,
    },
    text::cut,
};

use crate::{
    Outside, Use,
    failure::Failure,
    job::{Task, parts},
};

const MAX_FEEDBACK: usize = 192;
const MAX_MESSAGE: usize = 256;
const MAX_KEY: usize = 64;

/// Everything about a try that its result and record tell.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) input: Option<Reference>,
    pub(crate) output: Option<Reference>,
    pub(crate) record: Option<Reference>,
    pub(crate) gaps: Option<u32>,
    pub(crate) questions: Vec<Question>,
    pub(crate) lists: BTreeMap<String, ListInfo>,
    pub(crate) diagnosis: Option<Diagnosis>,
    pub(crate) tokens: Tokens,
    pub(crate) calls: Vec<CallRecord>,
    millis: ResultMillis,
}

impl Report {
    /// A model was asked; without an answer the call has no tokens.
    pub(crate) fn called(&mut self, used_for: Use, call: CallRecord) {
        let (input, output, millis) = match used_for {
            Use::Generate | Use::Debug => (&mut self.tokens.input, &mut self.tokens.output, &mut self.millis.generate),
            Use::Judge => (&mut self.tokens.judge_input, &mut self.tokens.judge_output, &mut self.millis.judge),
        };
        *input = input.saturating_add(call.input_tokens);
        *output = output.saturating_add(call.output_tokens);
        *millis = millis.saturating_add(call.millis);
        self.calls.push(call);
    }

    /// The stage's own work took so long, without a model.
    pub(crate) fn worked(&mut self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.millis.generate = self.millis.generate.saturating_add(millis);
    }

    /// The result of a try that came to its end.
    pub(crate) fn finished(self, task: Task<'_>, verdict: Option<&StoredVerdict>) -> StageResult {
        let phase = if verdict.is_some() { ResultPhase::Judged } else { ResultPhase::Done };
        let mut result = self.result_of(task, phase);
        if let Some(verdict) = verdict {
            result.score = Some(verdict.score.thousandths());
            result.dimensions = verdict.dimensions.iter().map(|one| (one.name.clone(), one.score.thousandths())).collect();
            result.feedback = Some(cut(&verdict.feedback, MAX_FEEDBACK)).filter(|feedback| !feedback.is_empty());
        }
        result
    }

    /// The result of a try that stopped at `failure`.
    pub(crate) fn failed(self, task: Task<'_>, failure: &Failure, outside: &Outside<'_>) -> StageResult {
        let mut result = self.result_of(task, ResultPhase::Error);
        let retry_after = failure.retry_after.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        result.error = Some(ResultError {
            class: failure.class,
            reason: failure.reason.to_owned(),
            message: cut(&outside.scrubbed(&failure.message), MAX_MESSAGE),
            retry_after_millis: retry_after,
        });
        result
    }

    fn result_of(self, task: Task<'_>, phase: ResultPhase) -> StageResult {
        let mut result = self.result(&task.job.assignment, task.part, &task.job.pod_uid, phase);
        result.key = task.target.map(|target| cut(&target.key, MAX_KEY));
        result
    }

    fn result(self, assignment: &Assignment, part: TargetAssignment, pod: &str, phase: ResultPhase) -> StageResult {
        StageResult {
            contract: CONTRACT,
            run: assignment.run.uid.clone(),
            stage: assignment.stage.clone(),
            index: part.index,
            attempt: part.attempt,
            try_: part.try_,
            pod: pod.to_owned(),
            phase,
            score: None,
            dimensions: [].into(),
            feedback: None,
            input: self.input,
            output: self.output,
            record: self.record,
            gaps: self.gaps,
            questions: self.questions,
            key: None,
            lists: self.lists,
            diagnosis: self.diagnosis,
            tokens: self.tokens,
            millis: self.millis,
            error: None,
        }
    }
}

/// The results of a pod that could not begin: its revision or store could not be opened. `message` must hold no secret.
#[must_use]
pub fn failed_results(
    assignment: &Assignment,
    pod_index: u32,
    pod_uid: &str,
    class: ErrorClass,
    reason: &str,
    message: &str,
) -> Vec<StageResult> {
    let error = ResultError { class, reason: reason.to_owned(), message: cut(message, MAX_MESSAGE), retry_after_millis: None };
    let failed = |part| {
        let mut result = Report::default().result(assignment, part, pod_uid, ResultPhase::Error);
        result.error = Some(error.clone());
        result
    };
    parts(assignment, pod_index).into_iter().map(failed).collect()
}
