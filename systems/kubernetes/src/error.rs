//! What a failed request means, sorted by who can mend it.

use http::StatusCode;
use kube::core::Status;
use std::{future::Future, time::Duration};

/// How long one request may take, connection included.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// A failed request. `action` says what was tried, `reason` what happened and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The object is not the one we looked at any more: read again and decide again.
    #[error("{action}: {reason}")]
    Conflict {
        /// What was tried.
        action: String,
        /// What happened.
        reason: String,
    },
    /// There is no such object.
    #[error("{action}: {reason}")]
    NotFound {
        /// What was tried.
        action: String,
        /// What happened.
        reason: String,
    },
    /// The API server was away, slow, busy or out of quota; the same call may work later. A write may have been done.
    #[error("{action}: {reason}")]
    Transient {
        /// What was tried.
        action: String,
        /// What happened.
        reason: String,
        /// The server's wish not to be asked again before.
        retry_after: Option<Duration>,
    },
    /// The same call will fail again until somebody changes something.
    #[error("{action}: {reason}")]
    Permanent {
        /// What was tried.
        action: String,
        /// What happened and what to change.
        reason: String,
        /// What the API server answered, if it was it who refused.
        code: Option<u16>,
    },
}

impl ApiError {
    /// What `error` means for `action`, for example `create Job team-a/admin-b7k2f9q1-x`.
    #[must_use]
    pub fn new(action: &str, error: &kube::Error) -> Self {
        let action = action.to_owned();
        match error {
            kube::Error::Api(status) => Self::answered(action, status),
            kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) | kube::Error::Auth(_) => {
                Self::Transient { action, reason: format!("cannot reach the API server: {}", chain(error)), retry_after: None }
            }
            _ => Self::Permanent { action, reason: chain(error), code: None },
        }
    }

    /// Whether the same call may work later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }

    pub(crate) fn permanent(action: &str, reason: impl ToString) -> Self {
        Self::Permanent { action: action.to_owned(), reason: reason.to_string(), code: None }
    }

    fn answered(action: String, status: &Status) -> Self {
        let reason = match (status.message.as_str(), status.reason.as_str()) {
            ("", "") => format!("the API server answered {}", status.code),
            ("", reason) => format!("the API server answered {} {reason}", status.code),
            (message, _) => message.to_owned(),
        };
        let code = Some(status.code);
        match StatusCode::from_u16(status.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR) {
            StatusCode::NOT_FOUND => Self::NotFound { action, reason },
            StatusCode::CONFLICT => Self::Conflict { action, reason },
            StatusCode::FORBIDDEN if is_for_now(&status.message) => Self::Transient { action, reason, retry_after: None },
            StatusCode::FORBIDDEN => {
                Self::Permanent { action, reason: format!("{reason}; allow it in the component's Role"), code }
            }
            code if code.is_server_error() || later(code) => {
                let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
                let retry_after = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
                Self::Transient { action, reason, retry_after }
            }
            _ => Self::Permanent { action, reason, code },
        }
    }
}

/// 401 is among them because a service account's token is rotated under us; 410 because a list may be asked for anew.
fn later(code: StatusCode) -> bool {
    matches!(code, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::UNAUTHORIZED | StatusCode::GONE)
}

/// Quota is full until something ends; the API server says so with 403, in words only.
fn is_for_now(message: &str) -> bool {
    message.contains("exceeded quota") || message.contains("failed quota")
}

/// An error with its causes; kube's own texts repeat theirs, so a cause already said is left out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    text
}

/// Runs one request of `action` for at most [`REQUEST_LIMIT`].
///
/// # Errors
/// What [`ApiError::new`] makes of the failure; [`ApiError::Transient`] without an answer in time.
pub async fn within<T>(action: &str, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ApiError> {
    match tokio::time::timeout(REQUEST_LIMIT, request).await {
        Ok(outcome) => outcome.map_err(|error| ApiError::new(action, &error)),
        Err(_) => Err(ApiError::Transient {
            action: action.to_owned(),
            reason: format!("no answer from the API server within {} s", REQUEST_LIMIT.as_secs()),
            retry_after: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::response::StatusDetails;

    fn answer(code: u16, message: &str) -> ApiError {
        let status = Status { code, message: message.to_owned(), ..Status::failure("", "") };
        ApiError::new("create Job a/b", &kube::Error::Api(Box::new(status)))
    }

    fn class(error: &ApiError) -> &'static str {
        match error {
            ApiError::Conflict { .. } => "conflict",
            ApiError::NotFound { .. } => "not found",
            ApiError::Transient { .. } => "transient",
            ApiError::Permanent { .. } => "permanent",
        }
    }

    #[test]
    fn answers_are_sorted_by_who_can_mend_them() {
        for (code, message, expected) in [
            (404, "jobs \"b\" not found", "not found"),
            (409, "the object has been modified", "conflict"),
            (429, "too many requests", "transient"),
            (500, "etcdserver: request timed out", "transient"),
            (503, "apiserver is shutting down", "transient"),
            (504, "", "transient"),
            (401, "Unauthorized", "transient"),
            (403, "jobs \"b\" is forbidden: exceeded quota: q, requested: count/jobs.batch=1", "transient"),
            (403, "jobs is forbidden: User \"x\" cannot create resource", "permanent"),
            (422, "Job \"b\" is invalid: spec.template: Required value", "permanent"),
            (400, "", "permanent"),
            (413, "Request entity too large", "permanent"),
        ] {
            let error = answer(code, message);
            assert_eq!(class(&error), expected, "{code} {message}");
            assert!(error.to_string().starts_with("create Job a/b: "), "{error}");
        }
    }

    #[test]
    fn the_servers_wish_to_wait_is_kept() {
        let mut status = Status { code: 429, ..Status::failure("slow down", "TooManyRequests") };
        status.details = Some(StatusDetails {
            retry_after_seconds: 3,
            name: String::new(),
            group: String::new(),
            kind: String::new(),
            uid: String::new(),
            causes: Vec::new(),
        });
        let error = ApiError::new("x", &kube::Error::Api(Box::new(status)));
        assert!(matches!(error, ApiError::Transient { retry_after: Some(wait), .. } if wait.as_secs() == 3), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_never_answered_ends_as_transient() {
        let outcome = within::<()>("replace status of BatchRun a/b", std::future::pending()).await;
        let error = outcome.unwrap_err();
        assert!(error.is_transient());
        assert_eq!(error.to_string(), "replace status of BatchRun a/b: no answer from the API server within 10 s");
    }
}
