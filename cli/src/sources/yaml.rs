//! YAML documents with the line of every node.

use granit_parser::{Event, Parser};
use serde_json::Value;
use serde_saphyr::granit_parser;
use std::collections::BTreeMap;

/// One document of a YAML file.
#[derive(Clone, Debug, Default)]
pub struct Document {
    /// Its content.
    pub value: Value,
    /// Its first line in the file, from 1.
    pub first_line: u32,
    lines: BTreeMap<String, u32>,
}

/// A file that is not YAML, and where that shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotYaml {
    /// Line in the file, from 1.
    pub line: u32,
    /// What is wrong.
    pub message: String,
}

impl Document {
    /// The line of the node at `path` (`spec.stages[1].name`), or of the nearest node around it.
    #[must_use]
    pub fn line_of(&self, path: &str) -> u32 {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return *line;
            }
            let Some(end) = path.rfind(['.', '[']) else { return self.first_line };
            path = &path[..end];
        }
    }

    /// A text at the root of the document, for example its `kind`.
    #[must_use]
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.value.pointer(pointer).and_then(Value::as_str)
    }
}

/// Reads the documents of a file; empty ones are left out.
///
/// # Errors
/// The first place that is not YAML.
pub fn documents(text: &str) -> Result<Vec<Document>, NotYaml> {
    let mut documents = positions(text)?;
    let starts: Vec<_> = documents.iter().map(|document| document.first_line).skip(1).chain([u32::MAX]).collect();
    for (document, end) in documents.iter_mut().zip(starts) {
        let first = document.first_line;
        let lines = text.lines().skip(index(first) - 1).take(index(end.saturating_sub(first)));
        let source: String = lines.flat_map(|line| [line, "\n"]).collect();
        document.value = serde_saphyr::from_str(&source).map_err(|error| not_yaml(&error, first))?;
    }
    documents.retain(|document| !document.value.is_null());
    Ok(documents)
}

fn not_yaml(error: &serde_saphyr::Error, first_line: u32) -> NotYaml {
    let line = error.location().and_then(|location| u32::try_from(location.line()).ok()).unwrap_or(1).max(1);
    let message = error.to_string();
    NotYaml { line: first_line + line - 1, message: message.lines().next().unwrap_or_default().to_owned() }
}

fn index(line: u32) -> usize {
    usize::try_from(line).unwrap_or(usize::MAX)
}

/// What the next node is to the collection it stands in.
enum Parent {
    Mapping { path: String, key: Option<(String, u32)> },
    Sequence { path: String, next: usize },
}

fn positions(text: &str) -> Result<Vec<Document>, NotYaml> {
    let mut documents: Vec<Document> = Vec::new();
    let mut parents: Vec<Parent> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| NotYaml {
            line: u32::try_from(error.marker().line()).unwrap_or(1).max(1),
            message: error.to_string(),
        })?;
        let line = u32::try_from(span.start.line()).unwrap_or(u32::MAX).max(1);
        match event {
            Event::DocumentStart(..) => documents.push(Document { first_line: line, ..Document::default() }),
            Event::MappingEnd | Event::SequenceEnd => {
                parents.pop();
            }
            Event::Scalar(text, ..) if expects_key(&parents) => {
                if let Some(Parent::Mapping { key, .. }) = parents.last_mut() {
                    *key = Some((text.into_owned(), line));
                }
            }
            Event::Scalar(..) | Event::Alias(..) => {
                record(&mut parents, &mut documents, line);
            }
            Event::MappingStart(..) => {
                let path = record(&mut parents, &mut documents, line);
                parents.push(Parent::Mapping { path, key: None });
            }
            Event::SequenceStart(..) => {
                let path = record(&mut parents, &mut documents, line);
                parents.push(Parent::Sequence { path, next: 0 });
            }
            _ => {}
        }
    }
    Ok(documents)
}

fn expects_key(parents: &[Parent]) -> bool {
    matches!(parents.last(), Some(Parent::Mapping { key: None, .. }))
}

/// Notes the line of the node that begins here (its key's, if it has one) and tells its path.
fn record(parents: &mut [Parent], documents: &mut [Document], line: u32) -> String {
    let (path, line) = match parents.last_mut() {
        Some(Parent::Mapping { path, key }) => {
            let (key, line) = key.take().unwrap_or_default();
            (if path.is_empty() { key } else { format!("{path}.{key}") }, line)
        }
        Some(Parent::Sequence { path, next }) => {
            *next += 1;
            (format!("{path}[{}]", *next - 1), line)
        }
        None => (String::new(), line),
    };
    if let Some(document) = documents.last_mut() {
        document.lines.insert(path.clone(), line);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# two documents\na:\n  b: 1\n  c:\n  - x: {y: 2}\n  - z\n---\nd: |\n  text\n---\n# nothing\n";

    #[test]
    fn every_node_has_its_line_in_the_file() {
        let documents = documents(TEXT).unwrap();
        assert_eq!(documents.len(), 2);
        for (path, line) in [("a", 2), ("a.b", 3), ("a.c", 4), ("a.c[0].x", 5), ("a.c[0].x.y", 5), ("a.c[1]", 6)] {
            assert_eq!(documents[0].line_of(path), line, "{path}");
        }
        assert_eq!(documents[1].line_of("d"), 8);
        assert_eq!(documents[1].text("/d"), Some("text\n"));
    }

    #[test]
    fn what_is_not_there_has_the_line_of_what_is_around_it() {
        let documents = documents(TEXT).unwrap();
        assert_eq!(documents[0].line_of("a.c[0].missing.too"), 5);
        assert_eq!(documents[0].line_of("elsewhere"), documents[0].first_line);
    }

    #[test]
    fn a_broken_file_says_where() {
        assert_eq!(documents("a: 1\nb: [2\nc: 3\n").unwrap_err().line, 3);
        assert_eq!(documents("a: 1\n---\nb: 1\nb: 2\n").unwrap_err().line, 4, "a key twice");
    }
}
