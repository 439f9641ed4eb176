//! The senders' credentials: read from mounted files, read again when they change, shown to nobody.

use crate::{
    problem::{Kind, Problem},
    signature::{self, HubKey, Refused, Signed},
};
use http::{HeaderMap, header};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};
use subtle::ConstantTimeEq as _;
use tokio_util::sync::CancellationToken;
use trackway_service::unless;
use trackway_sources::{AuthKind, Credential, IngestConfig, Source};
use trackway_webhook::SigningKey;

/// How often the files are read again: a new secret counts, and an old one no longer, within this time of its file's change.
pub const READ_EVERY: Duration = Duration::from_secs(2);
/// A sender whose secret cannot be read is asked to come again after this time.
const UNREADABLE: Duration = Duration::from_secs(30);
/// Longest secret in bytes.
const LONGEST: u64 = 4096;

/// One credential that was read.
enum Key {
    /// SHA-256 of the token, so that comparing takes the same time for every length.
    Bearer([u8; 32]),
    /// Of Standard Webhooks.
    Signing(Box<SigningKey>),
    /// Of GitHub.
    Hub(Box<HubKey>),
}

impl Key {
    /// The same for two keys of one kind that let in the same requests.
    fn fingerprint(&self) -> [u8; 32] {
        match self {
            Self::Bearer(sha256) => *sha256,
            Self::Signing(key) => key.fingerprint(),
            Self::Hub(key) => key.fingerprint(),
        }
    }
}

/// A credential, and whose it is.
struct Held {
    tenant: Arc<str>,
    /// `None`: its file cannot be read or used, or a tenant's secret is another's as well.
    key: Option<Key>,
}

/// Why a credential is not used; says nothing of what its secret is.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    /// Its secret cannot be read or used.
    Unusable(String),
    /// Tenants of one source have the same secret.
    Shared(String),
}

/// All credentials as they were at one moment, by source.
#[derive(Default)]
struct Ring(BTreeMap<String, Vec<Held>>);

/// The credentials of all sources. Clones share them.
#[derive(Clone)]
pub struct Keys {
    config: Arc<IngestConfig>,
    folder: PathBuf,
    ring: Arc<RwLock<Arc<Ring>>>,
    /// Faults that were logged already.
    told: Arc<Mutex<BTreeSet<Fault>>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Keys").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Keys {
    /// Reads the secrets that `config` names from `folder`: `<folder>/<name>/<key>`. One that cannot be read is logged; its sender is
    /// asked to come again until it can be.
    #[must_use]
    pub fn read(config: Arc<IngestConfig>, folder: &Path) -> Self {
        let keys = Self { config, folder: folder.to_owned(), ring: Arc::default(), told: Arc::default() };
        keys.read_again();
        keys
    }

    /// Reads them again every [`READ_EVERY`] until `stop`.
    pub async fn keep_fresh(self, stop: CancellationToken) {
        while unless(&stop, tokio::time::sleep(READ_EVERY)).await.is_some() {
            let keys = self.clone();
            if tokio::task::spawn_blocking(move || keys.read_again()).await.is_err() {
                return;
            }
        }
    }

    fn read_again(&self) {
        let mut faults = BTreeSet::new();
        let mut ring = Ring::default();
        for source in &self.config.sources {
            let held = source.credentials.iter().map(|credential| {
                let key = read_key(&self.folder, source.auth, credential);
                let key = key.map_err(|fault| faults.insert(Fault::Unusable(fault))).ok();
                Held { tenant: credential.tenant.as_str().into(), key }
            });
            let mut held: Vec<Held> = held.collect();
            faults.extend(take_out_shared(source, &mut held));
            ring.0.insert(source.id.clone(), held);
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for fault in faults.difference(&told) {
            match fault {
                Fault::Unusable(why) => {
                    tracing::warn!(fault = why, "a credential cannot be used; its sender is asked to come again");
                }
                Fault::Shared(whose) => tracing::error!(
                    fault = whose,
                    "tenants of a source have the same secret, so nobody can say whose an event is; none of these credentials is \
                     used until each tenant has a secret of its own"
                ),
            }
        }
        *told = faults;
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }

    fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The tenant whose token the headers carry, at a source of kind [`AuthKind::Bearer`].
    ///
    /// # Errors
    /// When there is no token, or it is none of this source's.
    pub fn of_bearer(&self, source: &Source, headers: &HeaderMap) -> Result<Arc<str>, Problem> {
        let token = token(headers)?;
        self.fitting(source, |key| matches!(key, Key::Bearer(known) if known.ct_eq(&token).into()))
    }

    /// The tenant whose secret signed the body, at a source of another kind.
    ///
    /// # Errors
    /// When nothing or something else was signed.
    pub fn of_signature(&self, source: &Source, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<Arc<str>, Problem> {
        if source.auth == AuthKind::GitHub {
            let claimed = signature::hub_signature(headers).map_err(refused)?;
            return self.fitting(source, |key| matches!(key, Key::Hub(key) if key.fits(claimed, body)));
        }
        let signed = Signed::read(headers, now).map_err(refused)?;
        self.fitting(source, |key| matches!(key, Key::Signing(key) if signed.fits(key, body)))
    }

    /// Sources of kind [`AuthKind::Bearer`] and tenants whose token the headers carry; never empty.
    ///
    /// # Errors
    /// When there is no token, or nobody's.
    pub fn holders(&self, headers: &HeaderMap) -> Result<Vec<(String, Arc<str>)>, Problem> {
        let token = token(headers)?;
        let ring = self.ring();
        let mut holders = Vec::new();
        for (source, held) in &ring.0 {
            let fits = |held: &&Held| matches!(&held.key, Some(Key::Bearer(known)) if known.ct_eq(&token).into());
            holders.extend(held.iter().filter(fits).map(|held| (source.clone(), Arc::clone(&held.tenant))));
        }
        if holders.is_empty() { Err(refused(Refused::NoMatch)) } else { Ok(holders) }
    }

    /// Tries all keys of the source, also after one fits, so that the time tells nothing.
    fn fitting(&self, source: &Source, fits: impl Fn(&Key) -> bool) -> Result<Arc<str>, Problem> {
        let ring = self.ring();
        let held = ring.0.get(&source.id).map_or(&[][..], Vec::as_slice);
        let (mut found, mut unreadable) = (None, false);
        for one in held {
            match &one.key {
                Some(key) if fits(key) && found.is_none() => found = Some(Arc::clone(&one.tenant)),
                Some(_) => {}
                None => unreadable = true,
            }
        }
        found.ok_or_else(|| {
            if unreadable {
                let detail = "a secret of this source cannot be read at the moment; send it again later";
                return Problem::new(Kind::Unavailable, detail).after(UNREADABLE);
            }
            refused(Refused::NoMatch)
        })
    }
}

/// Takes secrets that several tenants of `source` have out of use: the first of them would get the others' events.
fn take_out_shared(source: &Source, held: &mut [Held]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut places: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
    for (place, one) in held.iter().enumerate() {
        if let Some(key) = &one.key {
            places.entry(key.fingerprint()).or_default().push(place);
        }
    }
    for places in places.into_values() {
        let tenants: BTreeSet<&str> = places.iter().map(|place| &*held[*place].tenant).collect();
        if tenants.len() == 1 {
            continue;
        }
        let whose = places.iter().map(|place| {
            let Credential { tenant, secret } = &source.credentials[*place];
            format!("Secret {} key {} of tenant {tenant}", secret.name, secret.key)
        });
        faults.push(Fault::Shared(format!("source {}: {}", source.id, whose.collect::<Vec<_>>().join(", "))));
        places.iter().for_each(|place| held[*place].key = None);
    }
    faults
}

/// SHA-256 of the bearer token.
fn token(headers: &HeaderMap) -> Result<[u8; 32], Problem> {
    let problem = || {
        let detail = "send the source's token once: Authorization: Bearer <token>";
        Problem::new(Kind::NotAuthenticated, detail).about("authorization")
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(problem()) };
    let (scheme, token) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(problem)?;
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
        return Err(problem());
    }
    Ok(Sha256::digest(token).into())
}

fn refused(refused: Refused) -> Problem {
    let problem = Problem::new(Kind::NotAuthenticated, refused.to_string());
    match refused {
        Refused::Header(name) => problem.about(name),
        Refused::NoTime | Refused::Stale => problem.about("webhook-timestamp"),
        Refused::NoMatch => problem,
    }
}

/// Reads one credential; `Err` says why not, without a word of it.
fn read_key(folder: &Path, kind: AuthKind, credential: &Credential) -> Result<Key, String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use hmac::{Hmac, Mac as _};
    use http::{HeaderName, HeaderValue};

    const CONFIG: &str = "
sources:
- id: app
  auth: {kind: Bearer}
  credentials:
  - {tenant: octo-org, secretRef: {name: octo, key: a}}
  - {tenant: octo-org, secretRef: {name: octo, key: b}}
  - {tenant: acme, secretRef: {name: acme, key: a}}
- id: other
  auth: {kind: Bearer}
  credentials: [{tenant: acme, secretRef: {name: octo, key: a}}]
- id: hooks
  auth: {kind: StandardWebhooks}
  credentials:
  - {tenant: octo-org, secretRef: {name: octo, key: sign}}
  - {tenant: acme, secretRef: {name: acme, key: sign}}
- id: github
  auth: {kind: GitHub}
  credentials:
  - {tenant: octo-org, secretRef: {name: octo, key: hub}}
  - {tenant: acme, secretRef: {name: acme, key: hub}}
namespaces: [{name: team-a}]
";

    /// Keys of these secrets: NAME/KEY, text.
    fn keys(secrets: &[(&str, &str)]) -> (Keys, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let usual = [
            ("octo/a", "one"),
            ("octo/b", "two"),
            ("acme/a", "three"),
            ("octo/sign", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            ("acme/sign", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            ("octo/hub", "one"),
            ("acme/hub", "two"),
        ];
        for (path, text) in usual.iter().chain(secrets) {
            write(&folder, path, text);
        }
        (Keys::read(Arc::new(IngestConfig::parse(CONFIG).unwrap()), folder.path()), folder)
    }

    fn write(folder: &tempfile::TempDir, path: &str, text: &str) {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The tenant of a token at a source, or the kind of problem.
    fn whose(keys: &Keys, source: &str, token: &str) -> Result<String, Kind> {
        let source = keys.config.sources.iter().find(|one| one.id == source).unwrap();
        keys.of_bearer(source, &bearer(token)).map(|tenant| tenant.to_string()).map_err(|problem| problem.kind)
    }

    fn bearer(token: &str) -> HeaderMap {
        headers(&[("authorization", &format!("Bearer {token}"))])
    }

    fn headers(headers: &[(&'static str, &str)]) -> HeaderMap {
        let header =
            |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        headers.iter().map(header).collect()
    }

    fn told(keys: &Keys) -> Vec<String> {
        let told = keys.told.lock().unwrap();
        let text = |fault: &Fault| match fault {
            Fault::Unusable(why) => format!("unusable: {why}"),
            Fault::Shared(whose) => format!("shared: {whose}"),
        };
        told.iter().map(text).collect()
    }

    #[test]
    fn a_token_of_two_tenants_lets_nobody_in_until_each_has_its_own() {
        let (keys, folder) = keys(&[("acme/a", "two\n")]);
        assert_eq!(whose(&keys, "app", "two"), Err(Kind::Unavailable));
        assert_eq!(whose(&keys, "app", "one").unwrap(), "octo-org", "the other secrets of the source count");
        assert_eq!(keys.holders(&bearer("two")).unwrap_err().kind, Kind::NotAuthenticated);
        let expected = "shared: source app: Secret octo key b of tenant octo-org, Secret acme key a of tenant acme";
        assert_eq!(told(&keys), [expected]);

        write(&folder, "acme/a", "three");
        keys.read_again();
        assert_eq!(whose(&keys, "app", "two").unwrap(), "octo-org");
        assert_eq!(whose(&keys, "app", "three").unwrap(), "acme");
        assert!(told(&keys).is_empty());
    }

    #[test]
    fn the_same_token_twice_for_a_tenant_or_at_another_source_is_no_fault() {
        let (keys, _folder) = keys(&[("octo/b", "one")]);
        assert_eq!(whose(&keys, "app", "one").unwrap(), "octo-org");
        assert_eq!(whose(&keys, "other", "one").unwrap(), "acme");
        let holders = keys.holders(&bearer("one")).unwrap();
        let tenants: BTreeSet<&str> = holders.iter().map(|(_, tenant)| &**tenant).collect();
        assert_eq!(tenants, BTreeSet::from(["acme", "octo-org"]));
        assert!(told(&keys).is_empty());
    }

    #[test]
    fn a_token_that_a_third_tenant_has_twice_takes_all_of_them_out() {
        let (keys, _folder) = keys(&[("octo/b", "one"), ("acme/a", "one")]);
        assert_eq!(whose(&keys, "app", "one"), Err(Kind::Unavailable));
        assert!(
            told(&keys)[0].contains("Secret octo key a of tenant octo-org, Secret octo key b of tenant octo-org, Secret acme")
        );
    }

    #[test]
    fn signing_keys_of_two_tenants_are_the_same_however_they_are_written() {
        let (octo, acme) = ("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n");
        // A key shorter than a block of SHA-256 is filled up with zeros.
        let (keys, _folder) = keys(&[("octo/sign", octo), ("acme/sign", acme), ("octo/hub", "hub"), ("acme/hub", "hub\0\0")]);
        let told = told(&keys);
        assert_eq!(told.len(), 2, "{told:?}");
        for (told, source) in told.iter().zip(["github", "hooks"]) {
            assert!(told.starts_with(&format!("shared: source {source}: Secret octo key ")), "{told}");
            assert!(!told.contains("AAAA"), "{told}");
        }
        let whose = |id: &str, headers: &HeaderMap| {
            let source = keys.config.sources.iter().find(|one| one.id == id).unwrap();
            keys.of_signature(source, headers, b"{}", Timestamp::from_second(1_000).unwrap()).unwrap_err().kind
        };
        let hub = Hmac::<Sha256>::new_from_slice(b"hub").unwrap().chain_update("{}").finalize().into_bytes();
        let hub = format!("sha256={}", hex::encode(hub));
        assert_eq!(whose("github", &headers(&[("x-hub-signature-256", &hub)])), Kind::Unavailable);
        let signature = standardwebhooks::Webhook::new(acme.trim()).unwrap().sign("m", 1_000, b"{}").unwrap();
        let signed = [("webhook-id", "m"), ("webhook-timestamp", "1000"), ("webhook-signature", &signature)];
        assert_eq!(whose("hooks", &headers(&signed)), Kind::Unavailable);
    }
}
