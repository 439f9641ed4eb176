//! Clients for the channels of a stage, with the secrets a revision does not hold.

use std::{collections::BTreeMap, fmt, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use trackway_crds::contracts::ResolvedChannel;
use trackway_webhook::{BuildError, WebhookClient};

use crate::failure::{Failure, Step};

/// Beginning of the variables that hold the signing secrets; the channel's ordinal, from 0, follows.
const VARIABLE: &str = "TRACKWAY_WEBHOOK_SECRET_";
/// More than a stage can have.
const MAX_CHANNELS: usize = 16;

/// What becomes of notices.
#[derive(Clone)]
pub enum Webhooks {
    /// They are sent, signed with the secret of their channel, by its ordinal in the stage.
    Send(BTreeMap<usize, SecretString>),
    /// Nothing is sent, whatever the Track says.
    DryRun,
}

impl fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Send(secrets) => f.debug_tuple("Send").field(&secrets.keys()).finish(),
            Self::DryRun => f.write_str("DryRun"),
        }
    }
}

impl Webhooks {
    /// Sending, with the secrets of `TRACKWAY_WEBHOOK_SECRET_0` and so on.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let secret = |ordinal: usize| Some((ordinal, SecretString::from(variable(&format!("{VARIABLE}{ordinal}"))?)));
        Self::Send((0..MAX_CHANNELS).filter_map(secret).collect())
    }

    /// `text` without any signing secret.
    #[must_use]
    pub fn scrubbed(&self, text: &str) -> String {
        let Self::Send(secrets) = self else { return text.to_owned() };
        let secrets = secrets.values().map(|secret| secret.expose_secret().trim()).filter(|secret| secret.len() >= 4);
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "[secret]"))
    }

    /// A client for each channel, or `None` where nothing is to be sent.
    pub(super) fn clients(&self, channels: &[ResolvedChannel], dry_run: bool) -> Step<Option<Vec<WebhookClient>>> {
        let Self::Send(secrets) = self else { return Ok(None) };
        if dry_run {
            return Ok(None);
        }
        let client = |(ordinal, channel)| client(channel, secrets.get(&ordinal));
        channels.iter().enumerate().map(client).collect::<Step<Vec<_>>>().map(Some)
    }
}

fn client(channel: &ResolvedChannel, secret: Option<&SecretString>) -> Step<WebhookClient> {
    let ResolvedChannel { name, url, signing_secret_ref: secret_ref, timeout_millis } = channel;
    let Some(secret) = secret else {
        let message = format!(
            "channel {name} signs with Secret {} key {}, and no secret was given: create the Secret",
            secret_ref.name, secret_ref.key
        );
        return Err(Failure::permanent("MissingSecret", message));
    };
    WebhookClient::new(url, secret, Duration::from_millis(*timeout_millis)).map_err(|error| match error {
        BuildError::Key(fault) => {
            let message = format!("channel {name}: Secret {} key {}: {fault}", secret_ref.name, secret_ref.key);
            Failure::permanent("SigningSecretInvalid", message)
        }
        other => Failure::permanent("WebhookInvalid", format!("channel {name}: {other}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use trackway_crds::contracts::SecretKeyRef;

    fn channel(url: &str) -> ResolvedChannel {
        let signing_secret_ref = SecretKeyRef { name: "hooks".to_owned(), key: "inbox".to_owned() };
        ResolvedChannel { name: "inbox".to_owned(), url: url.to_owned(), signing_secret_ref, timeout_millis: 1000 }
    }

    fn failure(url: &str, secret: Option<&str>) -> Failure {
        let webhooks = Webhooks::from_variables(|name| secret.filter(|_| name == "TRACKWAY_WEBHOOK_SECRET_0").map(str::to_owned));
        webhooks.clients(&[channel(url)], false).unwrap_err()
    }

    #[test]
    fn what_a_channel_lacks_is_named_and_its_secret_is_not() {
        let good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        for (url, secret, reason, words) in [
            ("http://a/", None, "MissingSecret", "channel inbox signs with Secret hooks key inbox"),
            ("http://a/", Some("topsecret"), "SigningSecretInvalid", "Secret hooks key inbox: it does not begin with whsec_"),
            ("ftp://a/", Some(good), "WebhookInvalid", "channel inbox: url \"ftp://a/\" is neither http nor https"),
        ] {
            let failure = failure(url, secret);
            assert_eq!(failure.reason, reason);
            assert!(failure.message.contains(words) && !failure.message.contains("topsecret"), "{}", failure.message);
        }
    }

    #[test]
    fn nobody_is_reached_in_a_dry_run() {
        assert!(Webhooks::DryRun.clients(&[channel("ftp://a/")], false).unwrap().is_none());
        assert!(Webhooks::Send(BTreeMap::new()).clients(&[channel("ftp://a/")], true).unwrap().is_none());
    }

    #[test]
    fn neither_debug_nor_scrubbed_texts_show_a_secret() {
        let webhooks = Webhooks::Send([(0, SecretString::from("whsec_topsecret\n"))].into());
        assert_eq!(format!("{webhooks:?}"), "Send([0])");
        assert_eq!(webhooks.scrubbed("key whsec_topsecret is wrong"), "key [secret] is wrong");
    }
}
