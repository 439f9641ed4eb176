//! Where a model is reached, and the HTTP client made for it.

use std::{collections::BTreeMap, fmt, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use reqwest::{Certificate, redirect};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

/// Where and how a server is reached, as a ModelEndpoint says.
#[derive(Clone)]
pub struct Endpoint {
    /// `http://` or `https://` address that `/chat/completions` or `/embeddings` is appended to, usually ending in `/v1`. A query stays.
    pub base_url: String,
    /// Sent as `authorization: Bearer …`.
    pub api_key: Option<SecretString>,
    /// Headers sent with every request. Their values are treated as secrets.
    pub headers: BTreeMap<String, String>,
    /// Further certificate authorities to trust, PEM. Needed in an image without any, and for private authorities.
    pub ca_bundle_pem: Option<Vec<u8>>,
}

impl Endpoint {
    /// An endpoint without key, headers or certificates of its own.
    pub fn at(base_url: impl Into<String>) -> Endpoint {
        Endpoint { base_url: base_url.into(), api_key: None, headers: BTreeMap::new(), ca_bundle_pem: None }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("base_url", &Url::parse(&self.base_url).map_or_else(|_| "invalid".to_owned(), |url| shown(&url)))
            .field("api_key", &self.api_key.is_some())
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("ca_bundle_pem", &self.ca_bundle_pem.is_some())
            .finish()
    }
}

/// An endpoint no client can be made for. Permanent: it needs another ModelEndpoint or Secret.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Not an absolute `http://` or `https://` URL.
    #[error("baseURL {url:?} {why}; give an absolute address such as https://llm.example/v1")]
    BaseUrl {
        /// The address without user, password and query.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A header name or value HTTP does not allow.
    #[error("header {name:?} has a name or value that HTTP does not allow; use visible ASCII characters only")]
    Header {
        /// The header's name; its value may be a secret.
        name: String,
    },
    /// The CA bundle holds no readable certificate.
    #[error("the CA bundle holds no usable certificate: {0}; give PEM blocks \"BEGIN CERTIFICATE\"")]
    CaBundle(String),
    /// The HTTP client cannot be set up, usually because there is no certificate authority to trust.
    #[error("no HTTPS client: {0}; give the certificate authority in the endpoint's caBundleRef")]
    Client(String),
}

/// A parsed endpoint.
pub(crate) struct Target {
    /// Where to post.
    pub(crate) url: Url,
    /// The same for people: no user, no query.
    pub(crate) shown: String,
    /// Key and endpoint headers, marked sensitive.
    pub(crate) headers: HeaderMap,
    pub(crate) secrets: Secrets,
    pub(crate) http: reqwest::Client,
}

impl Target {
    /// What is at `path` below the base URL.
    pub(crate) fn new(endpoint: &Endpoint, path: &[&str]) -> Result<Target, BuildError> {
        let url = api_url(&endpoint.base_url, path)?;
        Ok(Target {
            shown: shown(&url),
            headers: headers(endpoint)?,
            secrets: Secrets::of(endpoint),
            http: http_client(&url, endpoint.ca_bundle_pem.as_deref())?,
            url,
        })
    }
}

fn api_url(base: &str, path: &[&str]) -> Result<Url, BuildError> {
    let parsed = Url::parse(base);
    let mut url = match parsed {
        Ok(url) => url,
        // The text is not shown: what does not parse may hold a key anywhere.
        Err(error) => return Err(BuildError::BaseUrl { url: "(not shown)".to_owned(), why: format!("is no URL ({error})") }),
    };
    let refuse = |why: &str| BuildError::BaseUrl { url: shown(&url), why: why.to_owned() };
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refuse("is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("holds a user or password, which belong into apiKeySecretRef"));
    }
    let cannot_be_base = refuse("has no path");
    url.path_segments_mut().map_err(|()| cannot_be_base)?.pop_if_empty().extend(path);
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

fn headers(endpoint: &Endpoint) -> Result<HeaderMap, BuildError> {
    let mut headers = header_map(&endpoint.headers).map_err(|name| BuildError::Header { name })?;
    if let Some(key) = &endpoint.api_key {
        let value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret().trim()))
            .map_err(|_| BuildError::Header { name: header::AUTHORIZATION.to_string() })?;
        headers.insert(header::AUTHORIZATION, value);
    }
    headers.values_mut().for_each(|value| value.set_sensitive(true));
    Ok(headers)
}

/// Reads names and values; an `Err` is the name of the first one HTTP does not allow.
pub(crate) fn header_map(headers: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let read = |(name, value): (&String, &String)| {
        let pair = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
        pair.ok_or_else(|| name.clone())
    };
    headers.iter().map(read).collect()
}

fn http_client(url: &Url, ca_bundle_pem: Option<&[u8]>) -> Result<reqwest::Client, BuildError> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // reqwest panics without one. Losing a race to another installer is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let mut builder = reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(10))
        .redirect(redirect::Policy::none())
        .user_agent(concat!("trackway/", env!("CARGO_PKG_VERSION")));
    if let Some(pem) = ca_bundle_pem {
        let certificates = Certificate::from_pem_bundle(pem).map_err(|error| BuildError::CaBundle(chain(&error)))?;
        if certificates.is_empty() {
            return Err(BuildError::CaBundle("no PEM block found".to_owned()));
        }
        builder = builder.tls_certs_merge(certificates);
    } else if url.scheme() == "http" {
        // The system's authorities are read when the client is built, and an image without any would fail here.
        builder = builder.tls_certs_only([]);
    }
    builder.build().map_err(|error| BuildError::Client(chain(&error)))
}

/// An error and its sources in one line, without addresses.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
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

/// Values that must not appear in any text.
pub(crate) struct Secrets(Vec<SecretString>);

/// A shorter header value is a flag, not a secret, and would eat ordinary words.
const SHORTEST_SECRET: usize = 8;

impl Secrets {
    fn of(endpoint: &Endpoint) -> Secrets {
        let key = endpoint.api_key.iter().map(|key| key.expose_secret().trim().to_owned()).filter(|key| !key.is_empty());
        let values = endpoint.headers.values().filter(|value| value.len() >= SHORTEST_SECRET).cloned();
        Secrets(key.chain(values).map(SecretString::from).collect())
    }

    /// `text` with every secret in it replaced.
    pub(crate) fn redact(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret.expose_secret(), "[redacted]"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_appended_and_a_query_stays() {
        for (base, url) in [
            ("http://llm/v1", "http://llm/v1/chat/completions"),
            ("http://llm/v1/", "http://llm/v1/chat/completions"),
            ("https://llm", "https://llm/chat/completions"),
            ("https://llm/openai?api-version=1", "https://llm/openai/chat/completions?api-version=1"),
        ] {
            assert_eq!(api_url(base, &["chat", "completions"]).unwrap().as_str(), url);
        }
    }

    #[test]
    fn a_bad_address_is_refused_without_showing_what_it_hides() {
        for (base, message) in [
            (
                "llm.internal",
                "baseURL \"(not shown)\" is no URL (relative URL without a base); give an absolute address such as https://llm.example/v1",
            ),
            (
                "ftp://llm/v1?key=secret",
                "baseURL \"ftp://llm/v1\" is neither http nor https; give an absolute address such as https://llm.example/v1",
            ),
            (
                "http://me:secret@llm/v1",
                "baseURL \"http://llm/v1\" holds a user or password, which belong into apiKeySecretRef; give an absolute address such as https://llm.example/v1",
            ),
        ] {
            assert_eq!(api_url(base, &["embeddings"]).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn neither_debug_nor_errors_show_secrets() {
        let mut endpoint = Endpoint::at("https://llm/v1?key=topsecret");
        endpoint.api_key = Some(SecretString::from("topsecret"));
        endpoint.headers.insert("x-key".into(), "topsecret".into());
        assert_eq!(
            format!("{endpoint:?}"),
            "Endpoint { base_url: \"https://llm/v1\", api_key: true, headers: [\"x-key\"], ca_bundle_pem: false }"
        );
        assert!(!format!("{:?}", headers(&endpoint).unwrap()).contains("topsecret"));
        endpoint.headers.insert("x-key".into(), "topsecret\n".into());
        assert_eq!(
            headers(&endpoint).unwrap_err().to_string(),
            "header \"x-key\" has a name or value that HTTP does not allow; use visible ASCII characters only"
        );
        assert_eq!(Secrets::of(&endpoint).redact("key topsecret is wrong"), "key [redacted] is wrong");
    }

    #[test]
    fn a_bundle_without_certificates_is_refused() {
        let mut endpoint = Endpoint::at("https://llm/v1");
        endpoint.ca_bundle_pem = Some(b"hello".to_vec());
        assert!(matches!(Target::new(&endpoint, &[]), Err(BuildError::CaBundle(_))));
    }
}
