//! One request over HTTP: sent, repeated while its failures pass, and its answer read.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use reqwest::StatusCode;
use serde::Serialize;
use serde_json::Value;

use crate::{
    classify::{Refusal, classify, shortened},
    endpoint::{Target, chain, header_map},
    error::{LlmError, PermanentReason, TransientReason, millis_of},
    repeat::{Repeat, RepeatPolicy, retry_after},
};

/// Largest answer that is read, in bytes after decompression.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// One request as it goes over the wire, the same for every repeat.
pub(crate) struct Post<'a> {
    target: &'a Target,
    body: Bytes,
    headers: HeaderMap,
    /// Limit of one exchange.
    timeout: Duration,
    /// Who is asked for what, the beginning of every message.
    place: String,
}

/// Why one exchange gave nothing.
pub(crate) struct Failure {
    pub(crate) error: LlmError,
    /// The server's words when it found the request itself wrong (400, 422).
    pub(crate) refusal: Option<String>,
}

impl From<LlmError> for Failure {
    fn from(error: LlmError) -> Self {
        Failure { error, refusal: None }
    }
}

/// Repeats and waits of one question, over all its requests.
#[derive(Default)]
pub(crate) struct Spent {
    pub(crate) repeats: Vec<Repeat>,
    waited: Duration,
}

impl<'a> Post<'a> {
    /// A request to `model` at `target`. The endpoint's own headers win over `headers`.
    pub(crate) fn new(
        target: &'a Target,
        model: &str,
        body: &impl Serialize,
        timeout: Duration,
        headers: &BTreeMap<String, String>,
    ) -> Result<Self, LlmError> {
        let place = format!("POST {} (model {model})", target.shown);
        let invalid = |what: String| LlmError::permanent(PermanentReason::InvalidRequest, format!("{place}: {what}"));
        let mut all = header_map(headers).map_err(|name| invalid(format!("header {name:?} is not allowed in HTTP")))?;
        all.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        all.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        all.extend(target.headers.clone());
        let body = serde_json::to_vec(body).map_err(|error| invalid(error.to_string()))?;
        Ok(Post { target, body: body.into(), headers: all, timeout, place })
    }

    /// Sends it, again and again while the failure is one that passes and the policy has time for it. `read` says what an
    /// answer lacks that it cannot read.
    pub(crate) async fn repeated<T>(
        &self,
        policy: &RepeatPolicy,
        spent: &mut Spent,
        read: impl Fn(&Value) -> Result<T, String>,
    ) -> Result<T, Failure> {
        let mut waits = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(policy.first_wait)
            .with_max_delay(policy.longest_wait)
            .without_max_times()
            .build();
        loop {
            let failure = match self.once(policy, &read).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let LlmError::Transient(error) = &failure.error else { return Err(failure) };
            let planned = waits.next().filter(|_| error.reason.repeats());
            let wait = planned.and_then(|wait| policy.wait(wait, error.retry_after, spent.waited, Instant::now()));
            let Some(wait) = wait else { return Err(failure) };
            let repeat = Repeat { reason: error.reason.as_str(), waited_millis: millis_of(wait) };
            tracing::warn!(
                place = self.place,
                reason = repeat.reason,
                wait_millis = repeat.waited_millis,
                "repeating a model request"
            );
            spent.repeats.push(repeat);
            spent.waited += wait;
            tokio::time::sleep(wait).await;
        }
    }

    async fn once<T>(&self, policy: &RepeatPolicy, read: impl Fn(&Value) -> Result<T, String>) -> Result<T, Failure> {
        let place = &self.place;
        let Some(timeout) = policy.request_timeout(self.timeout, Instant::now()) else {
            let message = format!("{place} was not sent: the deadline has passed. Give the stage a longer timeout.");
            return Err(LlmError::transient(TransientReason::Timeout, message, None).into());
        };
        let (status, wait, text) = self.exchange(timeout).await?;
        if !status.is_success() {
            return Err(self.refused(status, wait, &text));
        }
        let json: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let lack = match read(&json) {
            Ok(answer) => return Ok(answer),
            Err(lack) => lack,
        };
        if let Some(error) = json.get("error").filter(|error| !error.is_null()) {
            // Gateways answer 200 before the model behind them fails, and put its status into the body.
            let code = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
            let status = code.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::BAD_GATEWAY);
            return Err(self.refused(status, wait, &text));
        }
        let start = shortened(&self.target.secrets.redact(&text));
        let message =
            format!("{place} answered {status}, but {lack}: {start:?}. Check that baseURL is an OpenAI-compatible API.");
        Err(LlmError::transient(TransientReason::Malformed, message, wait).into())
    }

    fn refused(&self, status: StatusCode, wait: Option<Duration>, text: &str) -> Failure {
        let refusal = Refusal::read(&self.target.secrets.redact(text));
        let about_request = matches!(status.as_u16(), 400 | 422);
        let error = classify(status, &refusal, wait, &self.place);
        Failure { error, refusal: about_request.then_some(refusal.words) }
    }

    /// One HTTP exchange: status, Retry-After and the text of the answer.
    async fn exchange(&self, timeout: Duration) -> Result<(StatusCode, Option<Duration>, String), LlmError> {
        let failed = |error: reqwest::Error| self.transport_error(error, timeout);
        let request = self.target.http.post(self.target.url.clone()).headers(self.headers.clone());
        let mut response = request.body(self.body.clone()).timeout(timeout).send().await.map_err(failed)?;
        let status = response.status();
        let wait = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wait = wait.and_then(|value| retry_after(value, SystemTime::now()));
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                let message = format!("{} answered more than {MAX_ANSWER_BYTES} bytes. Lower maxOutputTokens.", self.place);
                return Err(LlmError::permanent(PermanentReason::AnswerTooLarge, message));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, wait, String::from_utf8_lossy(&body).into_owned()))
    }

    fn transport_error(&self, error: reqwest::Error, timeout: Duration) -> LlmError {
        let place = &self.place;
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
