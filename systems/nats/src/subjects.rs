//! Names of subjects, and what may stand in them.

use crate::NatsError;

/// Subject prefix of events.
pub(crate) const EVENTS: &str = "EVENTS";
/// Subject prefix of results.
pub(crate) const RESULTS: &str = "RESULTS";
/// Subject prefix of sealed batches.
pub(crate) const BATCH_READY: &str = "BATCH_READY";
/// Subject prefix of messages nobody could handle.
pub(crate) const DLQ: &str = "DLQ";
/// Subject prefix of questions for past events.
pub(crate) const RETRIEVE: &str = "RETRIEVE";

/// `RESULTS.<namespace>.<run uid>.<stage>.<attempt>.<try>.<index>`.
///
/// # Errors
/// [`NatsError::Permanent`] when a part holds what a subject cannot.
pub fn result_subject(
    namespace: &str,
    run_uid: &str,
    stage: &str,
    attempt: u32,
    try_: u32,
    index: u32,
) -> Result<String, NatsError> {
    token("namespace", namespace)?;
    token("run uid", run_uid)?;
    token("stage", stage)?;
    Ok(format!("{RESULTS}.{namespace}.{run_uid}.{stage}.{attempt}.{try_}.{index}"))
}

/// The subjects of every result of `namespace`, or of all namespaces for `None`.
///
/// # Errors
/// [`NatsError::Permanent`] when the namespace holds what a subject cannot.
pub fn results_of_namespace(namespace: Option<&str>) -> Result<String, NatsError> {
    match namespace {
        None => Ok(format!("{RESULTS}.>")),
        Some(namespace) => token("namespace", namespace).map(|()| format!("{RESULTS}.{namespace}.>")),
    }
}

/// One token of a subject or key: letters, digits, `-` and `_`, 1 to 128 of them. A dot would be two tokens and `*` or `>`
/// somebody else's.
pub(crate) fn token(field: &str, value: &str) -> Result<(), NatsError> {
    let fits = (1..=128).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fits {
        return Ok(());
    }
    let reason = format!("{field} {value:?} cannot be part of a subject: use 1 to 128 letters, digits, '-' or '_'");
    Err(NatsError::permanent("build a NATS subject", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_has_its_own_subject() {
        assert_eq!(result_subject("team-a", "3f2-9", "insights", 2, 1, 0).unwrap(), "RESULTS.team-a.3f2-9.insights.2.1.0");
    }

    #[test]
    fn nobody_reaches_another_namespace_through_a_name() {
        for evil in ["", "a.b", "*", ">", "a b", "a\nb"] {
            let error = result_subject(evil, "uid", "stage", 1, 0, 0).unwrap_err().to_string();
            assert!(error.contains(&format!("namespace {evil:?}")), "{error}");
        }
    }
}
