//! Signatures over bodies: Standard Webhooks, and GitHub's `X-Hub-Signature-256`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac as _};
use http::{HeaderMap, HeaderName};
use jiff::Timestamp;
use sha2::Sha256;
use std::fmt;
use subtle::ConstantTimeEq as _;
use trackway_webhook::SigningKey;

/// How far a sender's clock may differ from ours, in seconds; older requests may be repeats of somebody who listened.
pub const TOLERANCE_SECONDS: i64 = 300;
/// A header holds one signature for each secret in use; more than these are not looked at.
const MAX_SIGNATURES: usize = 8;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const HUB_SIGNATURE: HeaderName = HeaderName::from_static("x-hub-signature-256");

/// Why a signature is not accepted. Says nothing of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A header is missing, there twice, or no text.
    #[error("header {0} must be there once")]
    Header(&'static str),
    /// The timestamp is no number of seconds.
    #[error("header webhook-timestamp must be seconds since 1970")]
    NoTime,
    /// Too old, or too far ahead.
    #[error("header webhook-timestamp differs from now by more than 300 s; sign each sending anew and set the clock")]
    Stale,
    /// No key makes one of the signatures.
    #[error("no signature fits the body under a secret of this source")]
    NoMatch,
}

/// What a Standard Webhooks request carries beside its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    id: &'a str,
    timestamp: &'a str,
    signatures: &'a str,
}

impl<'a> Signed<'a> {
    /// Reads the three headers and looks at the time.
    ///
    /// # Errors
    /// [`Refused`], but never [`Refused::NoMatch`].
    pub fn read(headers: &'a HeaderMap, now: Timestamp) -> Result<Self, Refused> {
        let signed = Self {
            id: once(headers, &ID, "webhook-id")?,
            timestamp: once(headers, &TIMESTAMP, "webhook-timestamp")?,
            signatures: once(headers, &SIGNATURE, "webhook-signature")?,
        };
        let digits = !signed.timestamp.is_empty() && signed.timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let seconds: i64 = signed.timestamp.parse().ok().filter(|_| digits).ok_or(Refused::NoTime)?;
        if seconds.abs_diff(now.as_second()) > TOLERANCE_SECONDS.unsigned_abs() {
            return Err(Refused::Stale);
        }
        Ok(signed)
    }

    /// Whether `key` makes one of the signatures over `body`. Each is compared in constant time.
    #[must_use]
    pub fn fits(&self, key: &SigningKey, body: &[u8]) -> bool {
        let claimed = self.signatures.split(' ').filter_map(|one| one.strip_prefix("v1,")).take(MAX_SIGNATURES);
        claimed
            .filter_map(|text| STANDARD.decode(text).ok())
            .any(|signature| key.verifies(self.id, self.timestamp, body, &signature))
    }
}

/// The key of GitHub's signatures: the secret's bytes as they are.
#[derive(Clone)]
pub struct HubKey(Hmac<Sha256>);

impl fmt::Debug for HubKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HubKey")
    }
}

impl HubKey {
    /// The key of `secret`; `None` when there is nothing to it.
    #[must_use]
    pub fn new(secret: &[u8]) -> Option<Self> {
        if secret.is_empty() {
            return None;
        }
        Hmac::new_from_slice(secret).ok().map(Self)
    }

    /// The value of `X-Hub-Signature-256` for `body`.
    pub fn signature(&self, body: &[u8]) -> String {
        format!("sha256={}", hex::encode(self.0.clone().chain_update(body).finalize().into_bytes()))
    }

    /// Whether this key makes `claimed`, the header's value, over `body`; compared as text, so that no other spelling passes, and
    /// in constant time.
    #[must_use]
    pub fn fits(&self, claimed: &str, body: &[u8]) -> bool {
        self.signature(body).as_bytes().ct_eq(claimed.as_bytes()).into()
    }
}

/// The value of `X-Hub-Signature-256`.
///
/// # Errors
/// When it is not there exactly once.
pub fn hub_signature(headers: &HeaderMap) -> Result<&str, Refused> {
    once(headers, &HUB_SIGNATURE, "x-hub-signature-256")
}

/// A header that is there once, as visible text. Twice is refused: which of the two was signed?
fn once<'a>(headers: &'a HeaderMap, name: &HeaderName, shown: &'static str) -> Result<&'a str, Refused> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| Refused::Header(shown)),
        _ => Err(Refused::Header(shown)),
    }
}
