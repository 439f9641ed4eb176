//! One secret: from a mounted file to a key.

use crate::signature::HubKey;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use std::{fmt, path::Path};
use trackway_sources::{AuthKind, Credential};
use trackway_webhook::SigningKey;

/// Longest secret in bytes.
const LONGEST: u64 = 4096;

/// One credential that was read.
pub(super) enum Key {
    /// SHA-256 of the token, so that comparing takes the same time for every length.
    Bearer([u8; 32]),
    /// Of Standard Webhooks.
    Signing(Box<SigningKey>),
    /// Of GitHub.
    Hub(Box<HubKey>),
}

impl Key {
    /// What it makes of an empty request: the same for two keys of one kind that let in the same ones. As secret as the key.
    pub(super) fn fingerprint(&self) -> Vec<u8> {
        match self {
            Self::Bearer(sha256) => sha256.to_vec(),
            Self::Signing(key) => key.signature("", 0, b"").into_bytes(),
            Self::Hub(key) => key.signature(b"").into_bytes(),
        }
    }
}

/// Reads one credential; `Err` says why not, without a word of it.
pub(super) fn read_key(folder: &Path, kind: AuthKind, credential: &Credential) -> Result<Key, String> {
    let secret = &credential.secret;
    let fault = |why: &dyn fmt::Display| format!("Secret {} key {}: {why}", secret.name, secret.key);
    let path = folder.join(&secret.name).join(&secret.key);
    let length = std::fs::metadata(&path).map_err(|error| fault(&error))?.len();
    if length > LONGEST {
        return Err(fault(&format!("it has {length} bytes, at most {LONGEST} are read")));
    }
    let text: SecretString = std::fs::read_to_string(&path).map_err(|error| fault(&error))?.into();
    // Editors and `--from-file` leave a line end that nobody means.
    let trimmed = text.expose_secret().trim();
    if trimmed.is_empty() {
        return Err(fault(&"it is empty"));
    }
    match kind {
        AuthKind::Bearer => Ok(Key::Bearer(Sha256::digest(trimmed).into())),
        AuthKind::StandardWebhooks => match SigningKey::parse(&text) {
            Ok(key) => Ok(Key::Signing(Box::new(key))),
            Err(error) => Err(fault(&error)),
        },
        AuthKind::GitHub => match HubKey::new(trimmed.as_bytes()) {
            Some(key) => Ok(Key::Hub(Box::new(key))),
            None => Err(fault(&"it cannot be a key")),
        },
    }
}
