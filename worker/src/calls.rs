//! Calls of models, each on record.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use tokio::time::Instant;
use trackway_crds::contracts::{Assignment, CallRecord, ResolvedModel};
use trackway_llm::{ChatReply, ChatRequest, LlmError, Message, NamedSchema, Parameters, RepeatPolicy};

use crate::{
    Models, Use,
    answer::{Fault, repair_request},
    failure::{Failure, Step},
    report::Report,
};

/// A conversation with one model, and where it is put on record.
pub(crate) struct Calls<'a> {
    pub(crate) models: &'a Models,
    pub(crate) assignment: &'a Assignment,
    pub(crate) deadline: Instant,
    pub(crate) clock: fn() -> Timestamp,
}

/// An answer that was taken.
pub(crate) struct Taken<T> {
    pub(crate) answer: T,
    pub(crate) call: CallRecord,
}

impl Calls<'_> {
    /// Asks `model`, and once more when `check` finds a fault in the answer. The inner `Err` is the fault that stayed.
    pub(crate) async fn ask<T>(
        &self,
        used_for: Use,
        model: &ResolvedModel,
        question: (Vec<Message>, NamedSchema),
        report: &mut Report,
        check: impl Fn(&ChatReply) -> Result<T, Fault>,
    ) -> Step<Result<Taken<T>, Fault>> {
        let purpose = match used_for {
            Use::Generate => "generate",
            Use::Judge => "judge",
        };
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
        let client = self.models.client(used_for, model)?;
        let policy = RepeatPolicy { deadline: Some(self.deadline.into_std()), ..RepeatPolicy::default() };
        let at = (self.clock)();
        let outcome = client.chat(request, &policy, &self.headers(purpose)).await;
        let reply = outcome.map_err(|error| {
            report.spent(used_for, millis_of(&error));
            tracing::warn!(purpose, reason = error.reason(), repeats = error.repeats().len(), "the model gave no answer");
            Failure::from(error)
        })?;
        let call = CallRecord {
            purpose: purpose.to_owned(),
            model_asked: model.model.clone(),
            model_answered: Some(reply.model_answered.clone()),
            response_id: reply.response_id.clone(),
            finish_reason: reply.finish_reason.clone(),
            at,
            millis: reply.millis,
            repeats: u32::try_from(reply.repeats.len()).unwrap_or(u32::MAX),
            input_tokens: reply.usage.input,
            output_tokens: reply.usage.output,
        };
        tracing::info!(purpose, millis = call.millis, repeats = call.repeats, output_tokens = call.output_tokens, "answered");
        report.called(used_for, call.clone());
        Ok((reply, call))
    }

    fn headers(&self, purpose: &str) -> BTreeMap<String, String> {
        let Assignment { run, stage, attempt, try_, .. } = self.assignment;
        [
            ("x-trackway-run", run.uid.clone()),
            ("x-trackway-run-name", run.name.clone()),
            ("x-trackway-stage", stage.clone()),
            ("x-trackway-attempt", attempt.to_string()),
            ("x-trackway-try", try_.to_string()),
            ("x-trackway-index", "0".to_owned()),
            ("x-trackway-purpose", purpose.to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

fn millis_of(error: &LlmError) -> u64 {
    match error {
        LlmError::Transient(error) => error.millis,
        LlmError::Permanent(error) => error.millis,
    }
}
