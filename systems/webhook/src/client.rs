//! Sending one notice, and again.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use reqwest::{StatusCode, redirect};
use secrecy::SecretString;
use tokio::time::Instant;
use url::Url;

use crate::{
    error::{BuildError, Refusal, TransientError, WebhookError},
    key::SigningKey,
    repeat::{RepeatPolicy, left, retry_after},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// As much of an answer is read as its words can be worth; the rest breaks the connection.
const MAX_ANSWER_BYTES: usize = 16 * 1024;
const MAX_EXCERPT_BYTES: usize = 200;

/// A client of one receiver. Keeps its connections; share it.
pub struct WebhookClient {
    url: Url,
    /// The same for people: no user, no query.
    shown: String,
    key: SigningKey,
    timeout: Duration,
    policy: RepeatPolicy,
    http: reqwest::Client,
}

impl fmt::Debug for WebhookClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookClient").field("url", &self.shown).finish_non_exhaustive()
    }
}

/// A notice that its receiver took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The receiver's HTTP status, 200 to 299.
    pub status: u16,
    /// How often it was sent before it was taken.
    pub repeats: u32,
}

/// Answer to one request.
struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    excerpt: String,
}

impl WebhookClient {
    /// A client that posts to `url`, signs with `secret` (`whsec_<base64>`) and gives each request at most `timeout`. Nothing is
    /// sent.
    ///
    /// # Errors
    /// [`BuildError`] naming what is wrong with the address or the secret.
    pub fn new(url: &str, secret: &SecretString, timeout: Duration) -> Result<Self, BuildError> {
        let url = receiver(url)?;
        let key = SigningKey::parse(secret)?;
        let http = http_client(&url)?;
        Ok(Self { shown: shown(&url), url, key, timeout, policy: RepeatPolicy::default(), http })
    }

    /// The same client with other bounds for repeats.
    #[must_use]
    pub fn with_policy(self, policy: RepeatPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Posts `body`, a structured CloudEvent, under `id`, again and again while the failure is one that passes and there is time
    /// for it. `unix_seconds` is asked before each request, because a receiver refuses old signatures.
    ///
    /// # Errors
    /// [`WebhookError`], by whether the same notice may be taken later.
    pub async fn send(
        &self,
        id: &str,
        body: &Bytes,
        deadline: Instant,
        unix_seconds: impl Fn() -> i64,
    ) -> Result<Sent, WebhookError> {
        let mut waits = ExponentialBuilder::default()
            .with_jitter()
            .with_min_delay(self.policy.first_wait)
            .with_max_delay(self.policy.longest_wait)
            .without_max_times()
            .build();
        let mut waited = Duration::ZERO;
        let mut repeats = 0;
        loop {
            let error = match self.once(id, body, deadline, unix_seconds()).await {
                Ok(status) => return Ok(Sent { status, repeats }),
                Err(WebhookError::Transient(error)) => error,
                Err(error) => return Err(error),
            };
            let planned = waits.next().unwrap_or(self.policy.longest_wait);
            let Some(wait) = self.policy.wait(planned, error.retry_after, waited, left(deadline)) else {
                return Err(WebhookError::Transient(TransientError { repeats, ..error }));
            };
            tracing::warn!(
                url = self.shown,
                id,
                status = error.status,
                wait_millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                "sending a notice again"
            );
            repeats += 1;
            waited += wait;
            tokio::time::sleep(wait).await;
        }
    }

    async fn once(&self, id: &str, body: &Bytes, deadline: Instant, unix_seconds: i64) -> Result<u16, WebhookError> {
        let place = format!("POST {}", self.shown);
        let timeout = self.timeout.min(left(deadline));
        if timeout.is_zero() {
            let message = format!("{place} was not sent: the deadline has passed. Give the stage a longer timeout.");
            return Err(transient(message, None));
        }
        let headers = self.headers(id, body, unix_seconds)?;
        let answer = self.exchange(&place, headers, body.clone(), timeout).await?;
        let Answer { status, retry_after, excerpt } = answer;
        if status.is_success() {
            return Ok(status.as_u16());
        }
        if matches!(status.as_u16(), 408 | 429) || status.is_server_error() {
            let message = format!("{place} answered {status}: {excerpt}");
            let status = Some(status.as_u16());
            return Err(WebhookError::Transient(TransientError { message, status, retry_after, repeats: 0 }));
        }
        Err(WebhookError::Refused(Refusal { status: status.as_u16(), excerpt }))
    }

    fn headers(&self, id: &str, body: &[u8], unix_seconds: i64) -> Result<HeaderMap, WebhookError> {
        let signature = self.key.signature(id, unix_seconds, body);
        let values = [("webhook-id", id), ("webhook-timestamp", &unix_seconds.to_string()), ("webhook-signature", &signature)];
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            let value = HeaderValue::from_str(value).map_err(|_| WebhookError::Permanent {
                message: format!("header {name} holds what HTTP does not allow; use visible ASCII characters only"),
            })?;
            headers.insert(name, value);
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/cloudevents+json; charset=utf-8"));
        Ok(headers)
    }

    async fn exchange(&self, place: &str, headers: HeaderMap, body: Bytes, timeout: Duration) -> Result<Answer, WebhookError> {
        let request = self.http.post(self.url.clone()).headers(headers).body(body).timeout(timeout);
        let mut response = request.send().await.map_err(|error| self.transport_error(error, place, timeout))?;
        let status = response.status();
        let wait = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let wait = wait.and_then(|value| retry_after(value, SystemTime::now()));
        let mut words = BytesMut::new();
        // The status has said it all; an answer that breaks off only leaves fewer words.
        while let Ok(Some(chunk)) = response.chunk().await {
            words.extend_from_slice(&chunk);
            if words.len() >= MAX_ANSWER_BYTES {
                break;
            }
        }
        Ok(Answer { status, retry_after: wait, excerpt: self.excerpt(&String::from_utf8_lossy(&words)) })
    }

    fn transport_error(&self, error: reqwest::Error, place: &str, timeout: Duration) -> WebhookError {
        let (timed_out, connecting, building) = (error.is_timeout(), error.is_connect(), error.is_builder());
        let words = self.excerpt(&chain(&error.without_url()));
        if building {
            return WebhookError::Permanent { message: format!("{place} cannot be sent: {words}.") };
        }
        if connecting && words.contains("certificate") {
            let message = format!("{place} is not trusted: {words}. The receiver needs a certificate of a public authority.");
            return WebhookError::Permanent { message };
        }
        let message = if connecting {
            format!("{place} cannot be reached: {words}. Check url, name resolution and network policies.")
        } else if timed_out {
            format!("{place} gave no answer within {timeout:?}. Give the channel a longer timeout.")
        } else {
            format!("{place} broke off before it answered: {words}.")
        };
        transient(message, None)
    }

    /// The receiver's words in one line, without the secret. Scrubbed before it is cut, so that no half of it stays.
    fn excerpt(&self, words: &str) -> String {
        let line = self.key.scrubbed(words).split_whitespace().collect::<Vec<_>>().join(" ");
        let line: String = line.chars().filter(|c| !c.is_control()).collect();
        if line.is_empty() {
            return "(no words)".to_owned();
        }
        let mut end = line.len().min(MAX_EXCERPT_BYTES);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.get(..end).unwrap_or_default().to_owned()
    }
}

fn transient(message: String, status: Option<u16>) -> WebhookError {
    WebhookError::Transient(TransientError { message, status, retry_after: None, repeats: 0 })
}

fn receiver(text: &str) -> Result<Url, BuildError> {
    // The text is not shown: what does not parse may hold a token anywhere.
    let url = Url::parse(text)
        .map_err(|error| BuildError::Url { url: "(not shown)".to_owned(), why: format!("is no URL ({error})") })?;
    let refuse = |why: &str| BuildError::Url { url: shown(&url), why: why.to_owned() };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("holds a user or password; receivers know us by the signature"));
    }
    Ok(url)
}

/// A URL without the parts that may hold secrets.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // Both fail only for URLs that cannot have a user at all.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.to_string()
}

fn http_client(url: &Url) -> Result<reqwest::Client, BuildError> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // reqwest panics without one. Losing a race to another installer is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("trackway/", env!("CARGO_PKG_VERSION")));
    if url.scheme() == "http" {
        // The system's authorities are read when the client is built, and an image without any would fail here.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| BuildError::Client(chain(&error)))
}

/// An error and its sources in one line, without addresses.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let text = inner.to_string();
        if !words.contains(&text) {
            words = format!("{words}: {text}");
        }
        source = inner.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn client(url: &str) -> Result<WebhookClient, BuildError> {
        WebhookClient::new(url, &SecretString::from(SECRET), Duration::from_secs(1))
    }

    #[test]
    fn a_bad_address_is_refused_without_showing_what_it_hides() {
        for (url, message) in [
            (
                "hooks.example",
                "url \"(not shown)\" is no URL (relative URL without a base); give an absolute address such as https://hooks.example/notices",
            ),
            (
                "ftp://hooks.example/v1?token=secret",
                "url \"ftp://hooks.example/v1\" is neither http nor https; give an absolute address such as https://hooks.example/notices",
            ),
            (
                "http://me:secret@hooks.example/",
                "url \"http://hooks.example/\" holds a user or password; receivers know us by the signature; give an absolute address such as https://hooks.example/notices",
            ),
        ] {
            assert_eq!(client(url).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn debug_shows_neither_secret_nor_query() {
        let client = client("http://hooks.example/a?token=topsecret").unwrap();
        assert_eq!(format!("{client:?}"), "WebhookClient { url: \"http://hooks.example/a\", .. }");
    }

    #[test]
    fn words_of_a_receiver_are_short_and_without_the_secret() {
        let client = client("http://hooks.example/").unwrap();
        let said = format!("bad key MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\r\n\u{1b}[31m{}", "é".repeat(500));
        let excerpt = client.excerpt(&said);
        assert!(excerpt.starts_with("bad key [redacted] [31mé") && excerpt.len() <= MAX_EXCERPT_BYTES, "{excerpt}");
        assert_eq!(client.excerpt(" \n"), "(no words)");
    }
}
