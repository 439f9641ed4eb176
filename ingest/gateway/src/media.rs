//! What kind of body a request has, and its value.

use crate::problem::{Kind, Problem};
use http::{HeaderMap, header};

/// A media type, without its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media(String);

impl Media {
    /// Of a request.
    ///
    /// # Errors
    /// When the body is compressed, or not in UTF-8.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
        if encoding.is_some_and(|encoding| encoding != b"identity") {
            return Err(unsupported("the body is compressed; send it as it is").about("content-encoding"));
        }
        let value = headers.get(header::CONTENT_TYPE).map(|value| value.to_str());
        match value {
            None => Ok(Self(String::new())),
            Some(Ok(text)) => Self::parse(text),
            Some(Err(_)) => Err(unsupported("the media type is no visible ASCII")),
        }
    }

    /// `type/subtype; charset=…`; empty: nothing is said.
    ///
    /// # Errors
    /// When it names another charset than UTF-8.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
        let charset = parameters.split(';').find_map(|one| {
            let (name, value) = one.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_ascii_lowercase())
        });
        if charset.is_some_and(|charset| !matches!(charset.as_str(), "utf-8" | "utf8" | "us-ascii")) {
            return Err(unsupported("the body is not in UTF-8; send it in UTF-8"));
        }
        Ok(Self(essence.trim().to_ascii_lowercase()))
    }

    /// In small letters; empty when nothing was said.
    #[must_use]
    pub fn essence(&self) -> &str {
        &self.0
    }

    /// Whether a body of this kind is JSON. One of which nothing is said is read as JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.0.is_empty() || self.0 == "application/json" || self.0 == "text/json" || self.0.ends_with("+json")
    }
}

/// A body of a kind that is not read here.
pub fn unsupported(detail: &'static str) -> Problem {
    Problem::new(Kind::UnsupportedMedia, detail).about("content-type")
}
