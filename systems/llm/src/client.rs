//! Asking: one exchange, its repeats, and the walk down the dialects.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant, SystemTime},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use reqwest::StatusCode;
use serde_json::Value;

use crate::{
    classify::{Refusal, classify, shortened},
    dialect::{Dialect, Dialects},
    endpoint::{BuildError, Endpoint, Target, chain, header_map},
    error::{LlmError, PermanentReason, TransientReason, millis_of},
    repeat::{Repeat, RepeatPolicy, retry_after},
    reply::{ChatReply, Completion},
    request::{Body, ChatRequest},
};

/// Largest answer that is read, in bytes after decompression.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// A client of one endpoint. Keeps connections and what the server turned out not to understand; share it.
pub struct LlmClient {
    target: Target,
    dialects: Dialects,
}

impl fmt::Debug for LlmClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LlmClient").field("url", &self.target.shown).finish_non_exhaustive()
    }
}

/// One request as it goes over the wire, the same for every repeat.
struct Call<'a> {
    request: &'a ChatRequest,
    body: Bytes,
    headers: HeaderMap,
    /// Who is asked for what, the beginning of every message.
    place: String,
}

/// Why one exchange gave no completion.
struct Failure {
    error: LlmError,
    /// The server's words when it found the request itself wrong (400, 422).
    refusal: Option<String>,
}

impl From<LlmError> for Failure {
    fn from(error: LlmError) -> Self {
        Failure { error, refusal: None }
    }
}

/// Repeats and waits of one `chat`, across dialects.
#[derive(Default)]
struct Spent {
    repeats: Vec<Repeat>,
    waited: Duration,
}

impl LlmClient {
    /// Makes a client; nothing is sent.
    pub fn new(endpoint: Endpoint) -> Result<LlmClient, BuildError> {
        Ok(LlmClient { target: Target::new(&endpoint)?, dialects: Dialects::default() })
    }

    /// Asks once. `headers` go with every HTTP request of it, so that a server's log can be matched to ours; the
    /// endpoint's own headers win over them.
    pub async fn chat(
        &self,
        request: &ChatRequest,
        policy: &RepeatPolicy,
        headers: &BTreeMap<String, String>,
    ) -> Result<ChatReply, LlmError> {
        let started = Instant::now();
        let mut spent = Spent::default();
        let asked = self.in_some_dialect(request, policy, headers, &mut spent).await;
        match asked {
            Ok((completion, dialect)) => Ok(reply(completion, dialect, request, spent.repeats, started.elapsed())),
            Err(error) => Err(error.after(spent.repeats, started.elapsed())),
        }
    }

    async fn in_some_dialect(
        &self,
        request: &ChatRequest,
        policy: &RepeatPolicy,
        headers: &BTreeMap<String, String>,
        spent: &mut Spent,
    ) -> Result<(Completion, Dialect), LlmError> {
        let mut dialect = self.dialects.of(&request.model);
        loop {
            let call = self.call(request, dialect, headers)?;
            let failure = match self.repeated(&call, policy, spent).await {
                Ok(completion) => return Ok((completion, dialect)),
                Err(failure) => failure,
            };
            let words = failure.refusal.unwrap_or_default();
            let Some(next) = dialect.after_refusal(request, &words) else { return Err(failure.error) };
            tracing::info!(model = request.model, ?dialect, ?next, "the server refuses this form of request");
            self.dialects.remember(&request.model, next, &words);
            dialect = next;
        }
    }

    fn call<'a>(
        &self,
        request: &'a ChatRequest,
        dialect: Dialect,
        headers: &BTreeMap<String, String>,
    ) -> Result<Call<'a>, LlmError> {
        let place = format!("POST {} (model {})", self.target.shown, request.model);
        let invalid = |what: String| LlmError::permanent(PermanentReason::InvalidRequest, format!("{place}: {what}"));
        let mut all = header_map(headers).map_err(|name| invalid(format!("header {name:?} is not allowed in HTTP")))?;
        all.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        all.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        all.extend(self.target.headers.clone());
        let body = serde_json::to_vec(&Body::new(request, dialect)).map_err(|error| invalid(error.to_string()))?;
        Ok(Call { request, body: body.into(), headers: all, place })
    }

    /// Sends `call`, again and again while the failure is one that passes and the policy has time for it.
    async fn repeated(&self, call: &Call<'_>, policy: &RepeatPolicy, spent: &mut Spent) -> Result<Completion, Failure> {
        let mut waits = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(policy.first_wait)
            .with_max_delay(policy.longest_wait)
            .without_max_times()
            .build();
        loop {
            let failure = match self.once(call, policy).await {
                Ok(completion) => return Ok(completion),
                Err(failure) => failure,
            };
            let LlmError::Transient(error) = &failure.error else { return Err(failure) };
            let planned = waits.next().filter(|_| error.reason.repeats());
            let wait = planned.and_then(|wait| policy.wait(wait, error.retry_after, spent.waited, Instant::now()));
            let Some(wait) = wait else { return Err(failure) };
            let repeat = Repeat { reason: error.reason.as_str(), waited_millis: millis_of(wait) };
            tracing::warn!(
                place = call.place,
                reason = repeat.reason,
                wait_millis = repeat.waited_millis,
                "repeating a model request"
            );
            spent.repeats.push(repeat);
            spent.waited += wait;
            tokio::time::sleep(wait).await;
        }
    }

    async fn once(&self, call: &Call<'_>, policy: &RepeatPolicy) -> Result<Completion, Failure> {
        let place = &call.place;
        let Some(timeout) = policy.request_timeout(call.request.timeout, Instant::now()) else {
            let message = format!("{place} was not sent: the deadline has passed. Give the stage a longer timeout.");
            return Err(LlmError::transient(TransientReason::Timeout, message, None).into());
        };
        let (status, wait, text) = self.exchange(call, timeout).await?;
        if !status.is_success() {
            return Err(self.refused(status, wait, &text, place));
        }
        let json: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if let Some(completion) = Completion::read(&json, call.request) {
            return Ok(completion);
        }
        if let Some(error) = json.get("error").filter(|error| !error.is_null()) {
            // Gateways answer 200 before the model behind them fails, and put its status into the body.
            let code = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
            let status = code.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::BAD_GATEWAY);
            return Err(self.refused(status, wait, &text, place));
        }
        let start = shortened(&self.target.secrets.redact(&text));
        let message = format!(
            "{place} answered {status}, but no chat completion: {start:?}. Check that baseURL is an OpenAI-compatible API."
        );
        Err(LlmError::transient(TransientReason::Malformed, message, wait).into())
    }

    fn refused(&self, status: StatusCode, wait: Option<Duration>, text: &str, place: &str) -> Failure {
        let refusal = Refusal::read(&self.target.secrets.redact(text));
        let about_request = matches!(status.as_u16(), 400 | 422);
        let error = classify(status, &refusal, wait, place);
        Failure { error, refusal: about_request.then_some(refusal.words) }
    }

    /// One HTTP exchange: status, Retry-After and the text of the answer.
    async fn exchange(&self, call: &Call<'_>, timeout: Duration) -> Result<(StatusCode, Option<Duration>, String), LlmError> {
        let failed = |error: reqwest::Error| self.transport_error(error, &call.place, timeout);
        let request = self.target.http.post(self.target.url.clone()).headers(call.headers.clone());
        let mut response = request.body(call.body.clone()).timeout(timeout).send().await.map_err(failed)?;
        let status = response.status();
        let wait = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wait = wait.and_then(|value| retry_after(value, SystemTime::now()));
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                let message = format!("{} answered more than {MAX_ANSWER_BYTES} bytes. Lower maxOutputTokens.", call.place);
                return Err(LlmError::permanent(PermanentReason::AnswerTooLarge, message));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, wait, String::from_utf8_lossy(&body).into_owned()))
    }

    fn transport_error(&self, error: reqwest::Error, place: &str, timeout: Duration) -> LlmError {
        let (timed_out, connecting, building) = (error.is_timeout(), error.is_connect(), error.is_builder());
        let words = shortened(&self.target.secrets.redact(&chain(&error.without_url())));
        if building {
            return LlmError::permanent(PermanentReason::InvalidRequest, format!("{place} cannot be sent: {words}."));
        }
        if connecting && words.contains("certificate") {
            let message =
                format!("{place} is not trusted: {words}. Give its certificate authority in the endpoint's caBundleRef.");
            return LlmError::permanent(PermanentReason::CertificateRejected, message);
        }
        let (reason, message) = if connecting {
            let message = format!("{place} cannot be reached: {words}. Check baseURL, name resolution and network policies.");
            (TransientReason::Connect, message)
        } else if timed_out {
            let message = format!("{place} gave no complete answer within {timeout:?}. Give the model a longer timeout.");
            (TransientReason::Timeout, message)
        } else {
            (TransientReason::ConnectionLost, format!("{place} broke off before the answer was complete: {words}."))
        };
        LlmError::transient(reason, message, None)
    }
}

fn reply(completion: Completion, dialect: Dialect, request: &ChatRequest, repeats: Vec<Repeat>, took: Duration) -> ChatReply {
    let Completion { text, model, finish_reason, usage, id, refusal } = completion;
    ChatReply {
        text,
        model_answered: model.unwrap_or_else(|| request.model.clone()),
        finish_reason,
        usage,
        response_id: id,
        refusal,
        format: dialect.format,
        repeats,
        millis: millis_of(took),
    }
}
