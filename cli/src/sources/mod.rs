//! What people write, read from files: Tracks, ModelEndpoints, ConfigMaps, kustomizations, prompts and schemas.

mod configs;
mod walk;
pub mod yaml;

pub use configs::{Config, Entry, Place};

use std::path::{Path, PathBuf};
use yaml::Document;

/// Everything found under the given paths.
#[derive(Debug, Default)]
pub struct Sources {
    /// YAML documents, with the file they are in.
    pub documents: Vec<(PathBuf, Document)>,
    /// Every other text file: prompts and schemas.
    pub plain: Vec<(PathBuf, String)>,
    /// Files that are not what their name says.
    pub broken: Vec<(PathBuf, yaml::NotYaml)>,
}

impl Sources {
    /// Reads files, and folders with everything below them.
    ///
    /// # Errors
    /// A path that cannot be read.
    pub fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut sources = Self::default();
        for path in walk::files(paths)? {
            let Some(text) = walk::text(&path)? else { continue };
            if !is_yaml(&path) {
                sources.plain.push((path, text));
                continue;
            }
            match yaml::documents(&text) {
                Ok(documents) => sources.documents.extend(documents.into_iter().map(|document| (path.clone(), document))),
                Err(broken) => sources.broken.push((path, broken)),
            }
        }
        Ok(sources)
    }

    /// The documents of one kind of `trackway.dev`.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = (&'a Path, &'a Document)> {
        let documents = self.documents.iter().map(|(path, document)| (path.as_path(), document));
        documents.filter(move |(_, document)| document.text("/kind") == Some(kind))
    }
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
}

/// Whether a file is a kustomization, by its name.
#[must_use]
pub fn is_kustomization(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "kustomization.yaml" || name == "kustomization.yml")
}
