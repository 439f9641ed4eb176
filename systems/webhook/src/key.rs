//! Signing as Standard Webhooks says: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.

use std::fmt;

use base64::{
    Engine as _,
    alphabet::STANDARD as ALPHABET,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
/// As the standard asks: shorter keys can be guessed, longer ones add nothing.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// People drop the padding when they copy a secret, and nothing depends on it.
const DECODER: GeneralPurpose =
    GeneralPurpose::new(&ALPHABET, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// A text that is no signing secret. Says nothing of what the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{fault}; a signing secret is whsec_ followed by the base64 of 24 to 64 random bytes: echo whsec_$(openssl rand -base64 32)"
)]
pub struct KeyError {
    fault: &'static str,
}

/// A signing secret, read.
#[derive(Clone)]
pub struct SigningKey {
    mac: Hmac<Sha256>,
    text: SecretString,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

impl SigningKey {
    /// Reads `whsec_<base64>`; blanks and line ends around it are not part of it.
    ///
    /// # Errors
    /// [`KeyError`] for anything else.
    pub fn parse(secret: &SecretString) -> Result<Self, KeyError> {
        let error = |fault| KeyError { fault };
        let encoded = secret.expose_secret().trim();
        let encoded = encoded.strip_prefix(PREFIX).ok_or(error("it does not begin with whsec_"))?;
        let key = DECODER.decode(encoded).map_err(|_| error("what follows whsec_ is not base64"))?;
        if !KEY_BYTES.contains(&key.len()) {
            return Err(error("its key has not 24 to 64 bytes"));
        }
        let mac = Hmac::new_from_slice(&key).map_err(|_| error("its key has a length that cannot be used"))?;
        Ok(Self { mac, text: encoded.into() })
    }

    /// The value of `webhook-signature`.
    #[must_use]
    pub fn signature(&self, id: &str, unix_seconds: i64, body: &[u8]) -> String {
        let mac = self.over(id, &unix_seconds.to_string(), body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }

    /// Whether `signature`, decoded, is this key's over `body` and the headers `webhook-id` and `webhook-timestamp` exactly as they
    /// came. Takes the same time whatever it finds.
    #[must_use]
    pub fn verifies(&self, id: &str, timestamp: &str, body: &[u8], signature: &[u8]) -> bool {
        self.over(id, timestamp, body).verify_slice(signature).is_ok()
    }

    fn over(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        self.mac.clone().chain_update(format!("{id}.{timestamp}.")).chain_update(body)
    }

    /// `text` without the secret.
    pub(crate) fn scrubbed(&self, text: &str) -> String {
        text.replace(self.text.expose_secret(), "[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Result<SigningKey, KeyError> {
        SigningKey::parse(&SecretString::from(text))
    }

    #[test]
    fn the_signature_is_the_one_of_the_standards_own_example() {
        // From the test vectors of the reference libraries.
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = key.signature("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_read_with_line_end_and_without_padding() {
        let usual = key("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap();
        for other in ["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", " whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"] {
            assert_eq!(key(other).unwrap().signature("id", 1, b"x"), usual.signature("id", 1, b"x"), "{other:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for (text, fault) in [
            ("", "it does not begin with whsec_"),
            ("topsecret", "it does not begin with whsec_"),
            ("whsec_top secret", "what follows whsec_ is not base64"),
            ("whsec_dG9wc2VjcmV0", "its key has not 24 to 64 bytes"),
            ("whsec_", "its key has not 24 to 64 bytes"),
        ] {
            let error = key(text).unwrap_err();
            assert_eq!(error.fault, fault, "{text:?}");
            assert!(!error.to_string().contains("topsecret") && !error.to_string().contains("dG9w"), "{error}");
        }
        assert!(!format!("{:?}", key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap()).contains("MfKQ"));
    }
}
