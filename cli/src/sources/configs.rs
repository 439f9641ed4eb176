//! Where the prompts of a Track come from: a ConfigMap, a kustomization that will make one, or plain files.

use super::{Sources, is_kustomization, walk, yaml::Document};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// A file and a line in it, from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// The line.
    pub line: u32,
}

/// A prompt or schema and the place of the line before its first.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its text.
    pub text: String,
    /// Where it is kept; add a line number of the text to get one of the file.
    pub before: Place,
}

/// The keys a ConfigMap has, or would have.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// By key.
    pub entries: BTreeMap<String, Entry>,
    /// What is wrong with it.
    pub faults: Vec<(Place, String)>,
}

impl Config {
    /// The texts by key.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, String> {
        self.entries.iter().map(|(key, entry)| (key.clone(), entry.text.clone())).collect()
    }

    fn add(&mut self, key: String, text: String, before: Place) {
        self.entries.insert(key, Entry { text, before });
    }
}

impl Sources {
    /// The ConfigMap `name`, else what a kustomization makes under this name, else all plain files by their names.
    #[must_use]
    pub fn config(&self, name: &str) -> Config {
        let mut config_maps = self.of_kind("ConfigMap").filter(|(_, document)| document.text("/metadata/name") == Some(name));
        if let Some((file, document)) = config_maps.next() {
            return from_config_map(file, document);
        }
        let kustomizations = self.documents.iter().filter(|(file, _)| is_kustomization(file));
        let made = kustomizations.filter_map(|(file, document)| from_kustomization(file, document, name)).next();
        made.unwrap_or_else(|| self.plain_config())
    }

    fn plain_config(&self) -> Config {
        let mut config = Config::default();
        for (file, text) in &self.plain {
            let Some(key) = file.file_name().and_then(|name| name.to_str()) else { continue };
            if let Some(other) = config.entries.get(key).filter(|other| other.text != *text) {
                let message =
                    format!("{key} is there twice, the other is {}: give only the one you mean", other.before.file.display());
                config.faults.push((Place { file: file.clone(), line: 1 }, message));
                continue;
            }
            config.add(key.to_owned(), text.clone(), Place { file: file.clone(), line: 0 });
        }
        config
    }
}

fn from_config_map(file: &Path, document: &Document) -> Config {
    let mut config = Config::default();
    let data = document.value.get("data").and_then(Value::as_object);
    for (key, value) in data.into_iter().flatten() {
        let line = document.line_of(&format!("data.{key}"));
        match value.as_str() {
            Some(text) => config.add(key.clone(), text.to_owned(), Place { file: file.to_owned(), line }),
            None => {
                config.faults.push((
                    Place { file: file.to_owned(), line },
                    format!("data.{key}: not a text: quote it, or use a block (|)"),
                ));
            }
        }
    }
    config
}

/// What `configMapGenerator` makes under `name`: `files` as `path` or `key=path`, and `literals`.
fn from_kustomization(file: &Path, document: &Document, name: &str) -> Option<Config> {
    let generators = document.value.get("configMapGenerator")?.as_array()?;
    let index = generators.iter().position(|generator| generator.get("name").and_then(Value::as_str) == Some(name))?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut config = Config::default();
    let entries = |field: &str| generators[index].get(field).and_then(Value::as_array).cloned().unwrap_or_default();
    for (number, entry) in entries("files").iter().enumerate() {
        let Some(entry) = entry.as_str() else { continue };
        let (key, path) = match entry.split_once('=') {
            Some((key, path)) => (key.to_owned(), path),
            None => (entry.rsplit('/').next().unwrap_or(entry).to_owned(), entry),
        };
        let path = folder.join(path);
        match walk::text(&path) {
            Ok(Some(text)) => config.add(key, text, Place { file: path, line: 0 }),
            Ok(None) | Err(_) => {
                let line = document.line_of(&format!("configMapGenerator[{index}].files[{number}]"));
                let place = Place { file: file.to_owned(), line };
                config.faults.push((place, format!("cannot read {} as text: add the file, or correct its name", path.display())));
            }
        }
    }
    for (number, entry) in entries("literals").iter().enumerate() {
        if let Some((key, text)) = entry.as_str().and_then(|entry| entry.split_once('=')) {
            let line = document.line_of(&format!("configMapGenerator[{index}].literals[{number}]"));
            config.add(key.to_owned(), text.to_owned(), Place { file: file.to_owned(), line: line.saturating_sub(1) });
        }
    }
    Some(config)
}
