//! The senders' credentials: read from mounted files, read again when they change, shown to nobody.

mod read;
mod shared;

use crate::{
    problem::{Kind, Problem},
    signature::{self, Refused, Signed},
};
use http::{HeaderMap, header};
use jiff::Timestamp;
use read::{Key, read_key};
use sha2::{Digest as _, Sha256};
use shared::take_out_shared;
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
use trackway_sources::{AuthKind, IngestConfig, Source};

/// How often the files are read again: a new secret counts, and an old one no longer, within this time of its file's change.
pub const READ_EVERY: Duration = Duration::from_secs(2);
/// A sender whose secret cannot be read is asked to come again after this time.
const UNREADABLE: Duration = Duration::from_secs(30);

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
