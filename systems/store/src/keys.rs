//! Where things are.

use trackway_crds::contracts::NameKind;

use crate::StoreError;

/// The owner part of a batch document's key; a run's uid is never this word.
const BATCHES: &str = "batches";

/// Whose payloads: those of one run. Nothing is shared between runs, so a run's payloads can go with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    namespace: String,
    owner: String,
}

impl Scope {
    /// The payloads of the run with uid `run_uid` in `namespace`.
    ///
    /// # Errors
    /// [`StoreError::Permanent`] for a part that is not 1 to 128 letters, digits, `-` or `_`.
    pub fn run(namespace: &str, run_uid: &str) -> Result<Self, StoreError> {
        let owner = part("run uid", run_uid)?;
        if owner == BATCHES {
            return Err(StoreError::permanent(
                "build a payload key",
                format!("run uid {BATCHES:?} is reserved: use the run's uid"),
            ));
        }
        Ok(Self { namespace: part("namespace", namespace)?, owner })
    }

    /// The batch documents of `namespace`, which belong to no run.
    pub(crate) fn batches(namespace: &str) -> Result<Self, StoreError> {
        Ok(Self { namespace: part("namespace", namespace)?, owner: BATCHES.to_owned() })
    }

    pub(crate) fn blob(&self, sha256: &str) -> Result<Key, StoreError> {
        if sha256.len() != 64 || !sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            let reason = format!("sha256 {sha256:?} is not 64 lower-case hexadecimal digits");
            return Err(StoreError::permanent("build a payload key", reason));
        }
        Ok(self.key([String::from("blob"), sha256.to_owned()]))
    }

    pub(crate) fn name(&self, name: &Name) -> Result<Key, StoreError> {
        let stage = part("stage", &name.stage)?;
        Ok(self.key([stage, name.attempt.to_string(), name.index.to_string(), name.kind.as_str().to_owned()]))
    }

    fn key<const N: usize>(&self, rest: [String; N]) -> Key {
        Key([self.namespace.clone(), self.owner.clone()].into_iter().chain(rest).collect())
    }
}

/// A document of one attempt: the write-once name under which the first pod's version is kept. Holds no `try`, so a later pod
/// of the same attempt finds what an earlier one left.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// Name of the stage.
    pub stage: String,
    /// Number of the attempt.
    pub attempt: u32,
    /// Index of the target, 0 outside a fan-out.
    pub index: u32,
    /// Which of the attempt's documents.
    pub kind: NameKind,
}

/// A key, its parts still apart: joined by dots in NATS, by slashes in folders and buckets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key(Vec<String>);

impl Key {
    pub(crate) fn joined(&self, separator: &str) -> String {
        self.0.join(separator)
    }

    pub(crate) fn chunk(&self, number: usize) -> Self {
        let number = number.to_string();
        Self(self.0.iter().cloned().chain([number]).collect())
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.joined("."))
    }
}

fn part(field: &str, value: &str) -> Result<String, StoreError> {
    let fits = (1..=128).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fits {
        return Ok(value.to_owned());
    }
    let reason = format!("{field} {value:?} cannot be part of a key: use 1 to 128 letters, digits, '-' or '_'");
    Err(StoreError::permanent("build a payload key", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_as_the_contract_says() {
        let scope = Scope::run("team-a", "0b1f-22").unwrap();
        let name = Name { stage: "insights".to_owned(), attempt: 2, index: 7, kind: NameKind::Verdict };
        assert_eq!(scope.name(&name).unwrap().joined("."), "team-a.0b1f-22.insights.2.7.verdict");
        let sha256 = "a".repeat(64);
        assert_eq!(scope.blob(&sha256).unwrap().joined("/"), format!("team-a/0b1f-22/blob/{sha256}"));
        assert_eq!(scope.blob(&sha256).unwrap().chunk(3).to_string(), format!("team-a.0b1f-22.blob.{sha256}.3"));
        let batches = Scope::batches("team-a").unwrap();
        assert_eq!(batches.blob(&sha256).unwrap().to_string(), format!("team-a.batches.blob.{sha256}"));
    }

    #[test]
    fn nobody_leaves_the_namespace_through_a_key() {
        for evil in ["", "..", "a/b", "a.b", "*", ">"] {
            assert!(Scope::run(evil, "uid").is_err(), "{evil:?}");
            assert!(Scope::run("ns", evil).is_err(), "{evil:?}");
            assert!(Scope::run("ns", "uid").unwrap().blob(evil).is_err(), "{evil:?}");
        }
        assert!(Scope::run("ns", "batches").is_err(), "batch documents are not a run's");
    }
}
