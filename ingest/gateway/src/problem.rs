//! What a sender is told when a request is not taken: a problem document (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use std::{borrow::Cow, time::Duration};

/// Where the names of problems begin. Nothing need answer there: they are names.
const TYPES: &str = "https://trackway.dev/problems/";

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Every way in which a request can fail, each with a status of its own meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// It cannot be read: no JSON, no event, a header that makes no sense.
    Malformed,
    /// No credential fits.
    NotAuthenticated,
    /// The credential is good, and of another tenant.
    OtherTenant,
    /// There is no such source, questionnaire or path.
    NotFound,
    /// The path knows other methods.
    MethodNotAllowed,
    /// It did not arrive in time.
    TooSlow,
    /// The same key was taken before with another content.
    Conflict,
    /// The questionnaire has expired.
    Expired,
    /// The body is too large.
    TooLarge,
    /// The body is of a kind that is not read here.
    UnsupportedMedia,
    /// It can be read, and what it says is not allowed.
    Invalid,
    /// The source sends faster than it may.
    RateLimited,
    /// Too many or too long headers.
    HeadersTooLarge,
    /// A fault of ours.
    Internal,
    /// It cannot be kept at the moment.
    Unavailable,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Malformed,
        Self::NotAuthenticated,
        Self::OtherTenant,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::TooSlow,
        Self::Conflict,
        Self::Expired,
        Self::TooLarge,
        Self::UnsupportedMedia,
        Self::Invalid,
        Self::RateLimited,
        Self::HeadersTooLarge,
        Self::Internal,
        Self::Unavailable,
    ];

    /// Status, name and title.
    const fn facts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed", "The request cannot be read"),
            Self::NotAuthenticated => (StatusCode::UNAUTHORIZED, "not-authenticated", "No credential fits"),
            Self::OtherTenant => (StatusCode::FORBIDDEN, "other-tenant", "The credential is of another tenant"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "There is no such thing"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "The path knows other methods"),
            Self::TooSlow => (StatusCode::REQUEST_TIMEOUT, "too-slow", "The request did not arrive in time"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "Something else was taken under this name before"),
            Self::Expired => (StatusCode::GONE, "expired", "It is too late"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Self::UnsupportedMedia => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media", "The body is of an unknown kind"),
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The content is not allowed"),
            Self::RateLimited => (StatusCode::TOO_MANY_REQUESTS, "rate-limited", "Too many events in too short a time"),
            Self::HeadersTooLarge => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large", "The headers are too large")
            }
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "A fault of the gateway"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "It cannot be kept at the moment"),
        }
    }

    /// Its HTTP status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.facts().0
    }

    /// Its name: the end of `type`, and a label of metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().1
    }

    /// What it is, for people; the same at each occurrence.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.facts().2
    }
}

/// A problem document.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct Document {
    /// Name of the kind of problem; the same for each occurrence.
    #[serde(rename = "type")]
    pub type_: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time, and what to do.
    pub detail: String,
    /// The header, attribute or part of the body it is about, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Answers that were not accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub questions: Vec<Complaint>,
}

/// What is wrong with the answer to one question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Complaint {
    /// The question.
    pub id: String,
    /// What its schema says to the answer.
    pub detail: String,
}

/// A request that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    /// What kind.
    pub kind: Kind,
    /// What happened this time, and what to do. Holds no secret and no text of the body beyond names of fields.
    pub detail: Cow<'static, str>,
    /// What it is about.
    pub field: Option<String>,
    /// When to come again.
    pub retry_after: Option<Duration>,
    /// Answers that were not accepted.
    pub questions: Vec<Complaint>,
}

impl Problem {
    /// A problem of `kind`; `detail` says what happened and what to do.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), field: None, retry_after: None, questions: Vec::new() }
    }

    /// The same about `field`.
    #[must_use]
    pub fn about(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// The same with a time to come again.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// As it is sent.
    #[must_use]
    pub fn document(&self) -> Document {
        Document {
            type_: format!("{TYPES}{}", self.kind.name()),
            title: self.kind.title().to_owned(),
            status: self.kind.status().as_u16(),
            detail: self.detail.clone().into_owned(),
            field: self.field.clone(),
            questions: self.questions.clone(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.document()).unwrap_or_default();
        let mut response = (self.kind.status(), [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        if let Some(wait) = self.retry_after {
            // Whole seconds, rounded up: who comes at the second named must find it free.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if self.kind == Kind::NotAuthenticated {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"trackway\""));
        }
        response.extensions_mut().insert(self.kind);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_names_of_their_own() {
        let names: std::collections::BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }

    #[test]
    fn a_problem_says_kind_status_and_when_to_come_again() {
        let problem = Problem::new(Kind::RateLimited, "slow down").about("source").after(Duration::from_millis(1_200));
        let document = serde_json::to_value(problem.document()).unwrap();
        assert_eq!(
            document,
            serde_json::json!({
                "type": "https://trackway.dev/problems/rate-limited", "title": "Too many events in too short a time",
                "status": 429, "detail": "slow down", "field": "source"
            })
        );
        let response = problem.into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
        assert_eq!(response.headers()[header::CONTENT_TYPE], MEDIA_TYPE);
    }
}
