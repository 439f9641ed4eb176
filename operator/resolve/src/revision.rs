//! What is published: the resolved track and its files, under a name made from their content.

use std::collections::BTreeMap;
use trackway_crds::{
    contracts::{REVISION_KEY, Revision},
    names::sha256_hex,
};

/// Most bytes of a revision; a ConfigMap holds 1 MiB, metadata and escapes included.
pub(crate) const MAX_BYTES: usize = 768 * 1024;
/// Hexadecimal digits of the content's hash in a revision's name.
const HASH_DIGITS: usize = 10;

/// A Track that can be run.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// What workers and planner read.
    pub revision: Revision,
    /// The prompts and schemas it names, by key; no other.
    pub files: BTreeMap<String, String>,
    document: String,
}

impl Resolved {
    pub(crate) fn new(revision: Revision, files: BTreeMap<String, String>) -> Result<Self, serde_json::Error> {
        let document = sorted(serde_json::to_value(&revision)?).to_string();
        Ok(Self { revision, files, document })
    }

    /// Size of the ConfigMap's data.
    pub(crate) fn bytes(&self) -> usize {
        let files: usize = self.files.iter().map(|(key, text)| key.len() + text.len()).sum();
        files + REVISION_KEY.len() + self.document.len()
    }
}

/// `<track>-<10 hexadecimal digits of the content's hash>`: the same content has the same name, wherever and whenever it is made.
#[must_use]
pub fn revision_name(track: &str, resolved: &Resolved) -> String {
    let mut content = String::new();
    for (key, text) in config_map_data(resolved) {
        content.push_str(&format!("{} {}\n{key}{text}", key.len(), text.len()));
    }
    let hash = sha256_hex(content.as_bytes());
    format!("{track}-{}", hash.get(..HASH_DIGITS).unwrap_or(&hash))
}

/// The data of the revision's ConfigMap: [`REVISION_KEY`] and the files.
#[must_use]
pub fn config_map_data(resolved: &Resolved) -> BTreeMap<String, String> {
    let mut data = resolved.files.clone();
    data.insert(REVISION_KEY.to_owned(), resolved.document.clone());
    data
}

/// Keys in order, whether or not some crate of the build has switched on serde_json's `preserve_order`.
fn sorted(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => {
            let ordered: BTreeMap<_, _> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            serde_json::Value::Object(ordered.into_iter().collect())
        }
        serde_json::Value::Array(values) => serde_json::Value::Array(values.into_iter().map(sorted).collect()),
        other => other,
    }
}
