//! Calls of models, each on record.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use trackway_crds::contracts::{Assignment, CallRecord, ResolvedModel};
use trackway_llm::{ChatReply, ChatRequest, LlmError, Message, NamedSchema, Parameters, Repeat, RepeatPolicy};

use crate::{
    Models, Use,
    answer::{Fault, repair_request},
    failure::{Failure, Step},
    job::{Env, Task},
    report::Report,
};

/// Longest value of the header that names a target.
const MAX_KEY_HEADER: usize = 64;

/// A conversation with one model, and where it is put on record.
pub(crate) struct Calls<'a> {
    models: &'a Models,
    task: Task<'a>,
    clock: fn() -> Timestamp,
}

/// An answer that was taken.
pub(crate) struct Taken<T> {
    pub(crate) answer: T,
    pub(crate) call: CallRecord,
}

impl<'a> Calls<'a> {
    pub(crate) fn new(env: Env<'a>, task: Task<'a>) -> Self {
        Self { models: env.outside.models, task, clock: env.clock }
    }

    /// Asks `model`, and once more when `check` finds a fault in the answer. The inner `Err` is the fault that stayed.
    pub(crate) async fn ask<T>(
        &self,
        used_for: Use,
        model: &ResolvedModel,
        question: (Vec<Message>, NamedSchema),
        report: &mut Report,
        check: impl Fn(&ChatReply) -> Result<T, Fault>,
    ) -> Step<Result<Taken<T>, Fault>> {
        let purpose = used_for.purpose();
        let (messages, schema) = question;
        let mut request = ChatRequest {
            model: model.model.clone(),
            messages,
            parameters: Parameters {
                temperature: model.parameters.temperature,
                max_output_tokens: model.parameters.max_output_tokens,
                seed: None,
            },
            response_schema: Some(schema),
            timeout: Duration::from_millis(model.timeout_millis),
        };
        let (reply, call) = self.call(used_for, purpose, model, &request, report).await?;
        let fault = match check(&reply) {
            Ok(answer) => return Ok(Ok(Taken { answer, call })),
            Err(fault) if fault.hopeless => return Ok(Err(fault)),
            Err(fault) => fault,
        };
        tracing::info!(purpose, reason = fault.reason, "the answer is not usable; asking for a repair");
        request.messages.extend(repair_request(&reply.text, &fault));
        let (reply, call) = self.call(used_for, "repair", model, &request, report).await?;
        Ok(check(&reply).map(|answer| Taken { answer, call }))
    }

    async fn call(
        &self,
        used_for: Use,
        purpose: &str,
        model: &ResolvedModel,
        request: &ChatRequest,
        report: &mut Report,
    ) -> Step<(ChatReply, CallRecord)> {
        self.within_budget(report)?;
        let client = self.models.client(used_for, model)?;
        let policy = RepeatPolicy { deadline: Some(self.task.job.deadline.into_std()), ..RepeatPolicy::default() };
        let unanswered = CallRecord {
            purpose: purpose.to_owned(),
            model_asked: model.model.clone(),
            model_answered: None,
            response_id: None,
            finish_reason: None,
            at: (self.clock)(),
            millis: 0,
            repeats: 0,
            input_tokens: 0,
            output_tokens: 0,
        };
        let reply = match client.chat(request, &policy, &self.headers(purpose)).await {
            Ok(reply) => reply,
            Err(error) => {
                tracing::warn!(purpose, reason = error.reason(), repeats = error.repeats().len(), "the model gave no answer");
                report.called(used_for, CallRecord { millis: millis_of(&error), repeats: count(error.repeats()), ..unanswered });
                return Err(error.into());
            }
        };
        let call = CallRecord {
            model_answered: Some(reply.model_answered.clone()),
            response_id: reply.response_id.clone(),
            finish_reason: reply.finish_reason.clone(),
            millis: reply.millis,
            repeats: count(&reply.repeats),
            input_tokens: reply.usage.input,
            output_tokens: reply.usage.output,
            ..unanswered
        };
        tracing::info!(purpose, millis = call.millis, repeats = call.repeats, output_tokens = call.output_tokens, "answered");
        report.called(used_for, call.clone());
        Ok((reply, call))
    }

    /// No call is begun when the run's tokens are used up.
    fn within_budget(&self, report: &Report) -> Step<()> {
        let spent = report.tokens.total();
        match self.task.job.assignment.tokens_left {
            Some(left) if spent >= left => {
                let message = format!(
                    "the run has used up its tokens: {left} were left for this try, and {spent} are spent. Raise limits.tokens of the \
                     Track, or let prompts and answers be shorter"
                );
                Err(Failure::permanent("TokenBudgetExhausted", message))
            }
            _ => Ok(()),
        }
    }

    fn headers(&self, purpose: &str) -> BTreeMap<String, String> {
        let Assignment { run, stage, .. } = &self.task.job.assignment;
        let part = self.task.part;
        let key = self.task.target.map(|target| ("x-trackway-target", header_text(&target.key)));
        [
            ("x-trackway-run", run.uid.clone()),
            ("x-trackway-run-name", run.name.clone()),
            ("x-trackway-stage", stage.clone()),
            ("x-trackway-attempt", part.attempt.to_string()),
            ("x-trackway-try", part.try_.to_string()),
            ("x-trackway-index", part.index.to_string()),
            ("x-trackway-purpose", purpose.to_owned()),
        ]
        .into_iter()
        .chain(key)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

/// A key as a header can carry it.
fn header_text(key: &str) -> String {
    key.chars().take(MAX_KEY_HEADER).map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect()
}

fn count(repeats: &[Repeat]) -> u32 {
    u32::try_from(repeats.len()).unwrap_or(u32::MAX)
}

fn millis_of(error: &LlmError) -> u64 {
    match error {
        LlmError::Transient(error) => error.millis,
        LlmError::Permanent(error) => error.millis,
    }
}
