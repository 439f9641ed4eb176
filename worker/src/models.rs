//! Clients for the models of a revision, with the keys a revision does not hold.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use secrecy::{ExposeSecret, SecretString};
use trackway_crds::contracts::ResolvedModel;
use trackway_llm::{Endpoint, LlmClient};

use crate::failure::{Failure, Step};

/// What a model is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Use {
    /// The stage's own work.
    Generate,
    /// Scoring it.
    Judge,
    /// Explaining a failure.
    Debug,
}

impl Use {
    /// As records and headers call it.
    pub(crate) fn purpose(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Judge => "judge",
            Self::Debug => "debug",
        }
    }
}

/// What reaching a model needs beyond its revision.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The API key.
    pub api_key: Option<SecretString>,
    /// Certificate authorities to trust, PEM.
    pub ca_bundle_pem: Option<Vec<u8>>,
}

type AccessOf = dyn Fn(Use, &ResolvedModel) -> Access + Send + Sync;

/// Clients by endpoint and use, each made once. Knows every key it used, to keep them out of messages.
pub struct Models {
    access: Box<AccessOf>,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    clients: HashMap<(Use, String, String), Arc<LlmClient>>,
    keys: Vec<SecretString>,
}

impl fmt::Debug for Models {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Models").finish_non_exhaustive()
    }
}

impl Models {
    /// `access` gives key and certificates for a model and its use; asked once per endpoint and use.
    pub fn new(access: impl Fn(Use, &ResolvedModel) -> Access + Send + Sync + 'static) -> Self {
        Self { access: Box::new(access), made: Mutex::default() }
    }

    /// Models that need no key.
    #[must_use]
    pub fn without_keys() -> Self {
        Self::new(|_, _| Access::default())
    }

    pub(crate) fn client(&self, used_for: Use, model: &ResolvedModel) -> Step<Arc<LlmClient>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (used_for, model.endpoint.clone(), model.base_url.clone());
        if let Some(client) = made.clients.get(&key) {
            return Ok(client.clone());
        }
        let Access { api_key, ca_bundle_pem } = (self.access)(used_for, model);
        let endpoint = &model.endpoint;
        if let (Some(secret), None) = (&model.api_key_secret_ref, &api_key) {
            let message = format!(
                "ModelEndpoint {endpoint} takes its API key from Secret {} key {}, and no key was given: create the Secret",
                secret.name, secret.key
            );
            return Err(Failure::permanent("MissingSecret", message));
        }
        if let (Some(config_map), None) = (&model.ca_bundle_ref, &ca_bundle_pem) {
            let message = format!(
                "ModelEndpoint {endpoint} takes its certificate authorities from ConfigMap {} key {}, and they could not be read: \
                 create the ConfigMap with that key",
                config_map.name, config_map.key
            );
            return Err(Failure::permanent("CaBundleUnreadable", message));
        }
        made.keys.extend(api_key.iter().cloned());
        let target = Endpoint { base_url: model.base_url.clone(), api_key, headers: model.headers.clone(), ca_bundle_pem };
        let client = LlmClient::new(target)
            .map_err(|error| Failure::permanent("EndpointInvalid", format!("ModelEndpoint {endpoint}: {error}")))?;
        let client = Arc::new(client);
        made.clients.insert(key, client.clone());
        Ok(client)
    }

    /// `text` without any key that was used.
    pub(crate) fn scrubbed(&self, text: &str) -> String {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let secrets = made.keys.iter().map(ExposeSecret::expose_secret).filter(|key| key.len() >= 4);
        secrets.fold(text.to_owned(), |text, key| text.replace(key, "[secret]"))
    }
}
