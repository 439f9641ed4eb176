//! From a URL to a store.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use trackway_nats::Nats;
use url::Url;

use crate::StoreError;

const ACTION: &str = "open the store";
const FORMS: &str = "nats://HOST:PORT, s3://BUCKET/PREFIX?endpoint=…&region=…&allow_http=true, file:///PATH, memory://";

/// What a URL names.
#[derive(Debug)]
pub(crate) enum Place {
    /// Buckets on the component's own connection.
    Nats(Nats),
    /// What lies below the path.
    Objects(Arc<dyn ObjectStore>, Path),
}

/// The environment's variables, as [`open`] takes them.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    let readable =
        |(name, value): (std::ffi::OsString, std::ffi::OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    std::env::vars_os().filter_map(readable)
}

/// Opens what `url` names; see [`crate::PayloadStore::open`].
pub(crate) fn open(
    url: &str,
    nats: Option<&Nats>,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Place, StoreError> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
        let reason = "the URL holds credentials, and logs show it: set TRACKWAY_NATS_USER and TRACKWAY_NATS_PASSWORD, or \
                      AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, instead";
        return Err(StoreError::permanent(ACTION, reason));
    }
    match (scheme, nats) {
        ("nats", Some(nats)) => open_nats(url, nats),
        ("nats", None) => Err(StoreError::permanent(ACTION, format!("{url} needs a NATS connection: set TRACKWAY_NATS_URL"))),
        ("s3", _) => open_s3(&parse(url)?, variables),
        ("file", _) => open_folder(&parse(url)?),
        ("memory", _) => Ok(objects(InMemory::new(), Path::default())),
        _ => Err(StoreError::permanent(ACTION, format!("{url:?} is no store: use one of {FORMS}"))),
    }
}

fn objects(store: impl ObjectStore, prefix: Path) -> Place {
    Place::Objects(Arc::new(store), prefix)
}

fn parse(url: &str) -> Result<Url, StoreError> {
    Url::parse(url).map_err(|error| StoreError::permanent(ACTION, format!("{url:?}: {error}; use one of {FORMS}")))
}

/// The connection is the component's own; the URL may only name the same servers, or none.
fn open_nats(url: &str, nats: &Nats) -> Result<Place, StoreError> {
    let connected = hosts(nats.url());
    match hosts(url).iter().find(|host| !connected.contains(host)) {
        None => Ok(Place::Nats(nats.clone())),
        Some(host) => {
            let reason = format!("{url} names {host}, and this component is connected to {}: set both to the same", nats.url());
            Err(StoreError::permanent(ACTION, reason))
        }
    }
}

fn hosts(urls: &str) -> Vec<String> {
    urls.split(',')
        .map(|url| url.trim().split_once("://").map_or(url.trim(), |(_, rest)| rest).trim_end_matches('/'))
        .filter(|host| !host.is_empty())
        .map(|host| if host.contains(':') { host.to_owned() } else { format!("{host}:4222") })
        .collect()
}

fn open_folder(url: &Url) -> Result<Place, StoreError> {
    let folder = url.to_file_path().map_err(|()| {
        StoreError::permanent(ACTION, format!("{url} names no local folder: use file:///PATH with three slashes"))
    })?;
    let failed = |error: String| StoreError::permanent(ACTION, format!("folder {}: {error}", folder.display()));
    std::fs::create_dir_all(&folder).map_err(|error| failed(error.to_string()))?;
    let store = LocalFileSystem::new_with_prefix(&folder).map_err(|error| failed(error.to_string()))?;
    // What was put must outlive a power loss: checkpoints and references are written after it.
    Ok(objects(store.with_fsync(true), Path::default()))
}

fn open_s3(url: &Url, variables: impl IntoIterator<Item = (String, String)>) -> Result<Place, StoreError> {
    let bucket =
        url.host_str().ok_or_else(|| StoreError::permanent(ACTION, format!("{url} names no bucket: use s3://BUCKET")))?;
    let settings = S3Settings::parse(url)?;
    let client = ClientOptions::new()
        .with_allow_http(settings.allow_http)
        .with_connect_timeout(Duration::from_secs(5))
        .with_timeout(Duration::from_secs(60));
    // Callers retry until their own deadline; here only what a fresh connection mends.
    let retry = RetryConfig { max_retries: 2, retry_timeout: Duration::from_secs(20), ..RetryConfig::default() };
    let mut builder = from_variables(variables).with_bucket_name(bucket).with_client_options(client).with_retry(retry);
    if let Some(endpoint) = settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = settings.region {
        builder = builder.with_region(region);
    }
    let store = builder.build().map_err(|error| StoreError::permanent(ACTION, format!("{url}: {error}")))?;
    Ok(objects(store, Path::from(url.path())))
}

/// Credentials and the rest of the client's settings, by its usual variables (`AWS_ACCESS_KEY_ID`, `AWS_WEB_IDENTITY_TOKEN_FILE`, …).
fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> AmazonS3Builder {
    variables
        .into_iter()
        .filter(|(name, _)| name.starts_with("AWS_"))
        .filter_map(|(name, value)| name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>().ok().map(|key| (key, value)))
        .fold(AmazonS3Builder::new(), |builder, (key, value)| builder.with_config(key, value))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct S3Settings {
    endpoint: Option<String>,
    region: Option<String>,
    allow_http: bool,
}

impl S3Settings {
    fn parse(url: &Url) -> Result<Self, StoreError> {
        let wrong = |reason: String| StoreError::permanent(ACTION, reason);
        let mut settings = Self::default();
        for (name, value) in url.query_pairs() {
            match (name.as_ref(), value.as_ref()) {
                ("endpoint", endpoint) => settings.endpoint = Some(endpoint.to_owned()),
                ("region", region) => settings.region = Some(region.to_owned()),
                ("allow_http", "true") => settings.allow_http = true,
                ("allow_http", "false") => settings.allow_http = false,
                ("allow_http", other) => return Err(wrong(format!("{url}: allow_http={other:?} must be true or false"))),
                (other, _) => {
                    return Err(wrong(format!("{url}: parameter {other:?} is unknown: use endpoint, region, allow_http")));
                }
            }
        }
        if settings.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://")) && !settings.allow_http {
            return Err(wrong(format!("{url}: the endpoint is not encrypted: use https, or add allow_http=true")));
        }
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(url: &str) -> String {
        match open(url, None, []) {
            Err(StoreError::Permanent { reason, .. }) => reason,
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn a_wrong_url_is_told_what_is_right() {
        for (url, expected) in [
            ("payloads", "is no store: use one of nats://"),
            ("gs://bucket", "is no store"),
            ("nats://nats:4222", "needs a NATS connection"),
            ("s3://bucket?endpoints=x", "\"endpoints\" is unknown: use endpoint, region, allow_http"),
            ("s3://bucket?allow_http=yes", "must be true or false"),
            ("s3://bucket?endpoint=http://minio:9000", "add allow_http=true"),
            ("s3://key:secret@bucket", "holds credentials"),
            ("nats://key:secret@host:4222", "holds credentials"),
            ("https://key:secret@host", "holds credentials"),
            ("file://relative/path", "three slashes"),
        ] {
            let reason = refusal(url);
            assert!(reason.contains(expected) && !reason.contains("secret@"), "{url}: {reason}");
        }
    }

    #[test]
    fn hosts_are_compared_with_their_default_port() {
        assert_eq!(hosts("nats://a, tls://b:4223/"), ["a:4222", "b:4223"]);
        assert_eq!(hosts("nats://"), Vec::<String>::new());
    }
}
