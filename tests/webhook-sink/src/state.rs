//! What came, and what is to be answered.

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::sync::watch;

/// Notices that came under one id.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    /// The `webhook-id`: what a receiver tells repeats by.
    pub id: String,
    /// The item's key, by the event's `data.key`.
    pub key: String,
    /// Where it was posted, as `/inbox`.
    pub path: String,
    /// Whether every request had a valid signature.
    pub verified: bool,
    /// Requests that came.
    pub times: u64,
    /// Requests that were answered with 2xx.
    pub accepted: u64,
    /// Whether every request had the same body.
    pub same_body: bool,
    /// The first one's CloudEvent.
    pub event: Value,
}

/// How some requests are answered instead of 204.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Behaviour {
    /// Only notices of the item with this key. Left out: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Only notices posted there, as `/inbox`. Left out: everywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How many requests. Left out: all that come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
    /// The status. Left out: 204.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The answer's words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// The header Retry-After, in seconds or as an HTTP date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<String>,
    /// Wait this long before answering.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_millis: Option<u64>,
}

/// A text that is no signing secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretError;

impl std::fmt::Display for SecretError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a secret is not whsec_ followed by base64")
    }
}

impl std::error::Error for SecretError {}

#[derive(Default)]
struct Inner {
    received: Vec<Received>,
    bodies: Vec<String>,
    behaviours: Vec<Behaviour>,
    requests: u64,
    answered: u64,
}

pub(crate) struct State {
    secrets: Vec<Webhook>,
    inner: Mutex<Inner>,
    changed: watch::Sender<u64>,
}

/// A request that came, and how it is to be answered.
pub(crate) struct Arrival {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) verified: bool,
    pub(crate) behaviour: Behaviour,
}

impl State {
    pub(crate) fn new(secrets: &[String]) -> Result<Self, SecretError> {
        let read = |secret: &String| match secret.trim().strip_prefix("whsec_") {
            Some(key) => Webhook::new(key).map_err(|_| SecretError),
            None => Err(SecretError),
        };
        let secrets = secrets.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { secrets, inner: Mutex::default(), changed: watch::channel(0).0 })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request on record and finds its behaviour.
    pub(crate) fn arrive(&self, path: &str, headers: &HeaderMap, body: &str) -> Arrival {
        let verified = self.secrets.iter().any(|secret| secret.verify(body.as_bytes(), headers).is_ok());
        let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
        let event: Value = serde_json::from_str(body).unwrap_or_default();
        let key = event.pointer("/data/key").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut inner = self.inner();
        inner.requests += 1;
        match inner.received.iter().position(|one| one.id == id && one.path == path) {
            Some(at) => {
                let same = inner.bodies.get(at).is_some_and(|first| first == body);
                if let Some(one) = inner.received.get_mut(at) {
                    one.times += 1;
                    one.verified &= verified;
                    one.same_body &= same;
                }
            }
            None => {
                let (id, key, path) = (id.clone(), key.clone(), path.to_owned());
                inner.received.push(Received { id, key, path, verified, times: 1, accepted: 0, same_body: true, event });
                inner.bodies.push(body.to_owned());
            }
        }
        let behaviour = inner.behave(path, &key);
        drop(inner);
        self.tell();
        Arrival { id, key, verified, behaviour }
    }

    pub(crate) fn answered(&self, path: &str, id: &str, accepted: bool) {
        let mut inner = self.inner();
        inner.answered += 1;
        if let Some(one) = inner.received.iter_mut().find(|one| one.id == id && one.path == path).filter(|_| accepted) {
            one.accepted += 1;
        }
        drop(inner);
        self.tell();
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        self.inner().behaviours.push(behaviour);
    }

    pub(crate) fn well(&self) {
        self.inner().behaviours.clear();
    }

    pub(crate) fn reset(&self) {
        *self.inner() = Inner::default();
        self.tell();
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.inner().received.clone()
    }

    /// Requests that came, and those of them that were answered.
    pub(crate) fn requests(&self) -> (u64, u64) {
        let inner = self.inner();
        (inner.requests, inner.answered)
    }

    pub(crate) async fn until(&self, mut reached: impl FnMut(&Self) -> bool) {
        let mut changes = self.changed.subscribe();
        while !reached(self) {
            // The sender lives as long as `self`.
            let _ = changes.changed().await;
        }
    }

    fn tell(&self) {
        self.changed.send_modify(|version| *version += 1);
    }
}

impl Inner {
    /// The first behaviour that fits and is not used up.
    fn behave(&mut self, path: &str, key: &str) -> Behaviour {
        let fits = |one: &Behaviour| {
            one.key.as_ref().is_none_or(|wanted| wanted == key)
                && one.path.as_ref().is_none_or(|wanted| wanted == path)
                && one.times != Some(0)
        };
        let Some(found) = self.behaviours.iter_mut().find(|one| fits(one)) else { return Behaviour::default() };
        found.times = found.times.map(|times| times.saturating_sub(1));
        found.clone()
    }
}
