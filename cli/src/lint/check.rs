//! Holding what was written against what would be accepted.

use super::report::{Finding, Report, Severity};
use crate::sources::{Config, Sources, is_kustomization, yaml::Document};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};
use trackway_crds::{GROUP, ModelEndpointSpec, TrackSpec};
use trackway_resolve::{Fault, Reason, check_manifest, resolve};

const KINDS: [&str; 3] = ["Track", "ModelEndpoint", "BatchRun"];

/// Checks everything. Endpoints are checked when there is a ModelEndpoint among the files, or when `strict_endpoints`.
#[must_use]
pub fn check(sources: &Sources, strict_endpoints: bool) -> Report {
    let mut report = Report::default();
    for (file, broken) in &sources.broken {
        report.add(file, broken.line, Severity::Fault, None, "NotYaml", format!("not YAML: {}", broken.message));
    }
    for (file, document) in &sources.documents {
        check_document(file, document, &mut report);
    }
    let endpoints = endpoints(sources);
    let endpoints_known = strict_endpoints || sources.of_kind("ModelEndpoint").next().is_some();
    for (file, document) in sources.of_kind("Track") {
        check_track(sources, file, document, &endpoints, endpoints_known, &mut report);
    }
    report.endpoints = sources.of_kind("ModelEndpoint").count();
    report.findings.sort();
    report.findings.dedup();
    report
}

/// The ModelEndpoints among the files that can be read, by name.
#[must_use]
pub(crate) fn endpoints(sources: &Sources) -> BTreeMap<String, ModelEndpointSpec> {
    let named = |document: &Document| Some((document.text("/metadata/name")?.to_owned(), spec(document).ok()?));
    sources.of_kind("ModelEndpoint").filter_map(|(_, document)| named(document)).collect()
}

/// The `spec` of a document.
///
/// # Errors
/// What does not fit the type.
pub(crate) fn spec<T: DeserializeOwned>(document: &Document) -> Result<T, serde_json::Error> {
    serde_json::from_value(document.value.get("spec").cloned().unwrap_or(Value::Null))
}

/// The file's own fields: known, and within their bounds.
fn check_document(file: &Path, document: &Document, report: &mut Report) {
    let kind = document.text("/kind");
    let ours = document.text("/apiVersion").and_then(|version| version.split('/').next()) == Some(GROUP);
    match kind {
        Some(kind) if KINDS.contains(&kind) => report.extend(file, document, check_manifest(kind, &document.value)),
        Some(kind) if ours => {
            let message = format!("{GROUP} has no kind {kind}: use one of {}", KINDS.join(", "));
            report.add(file, document.line_of("kind"), Severity::Fault, Some("kind".to_owned()), "UnknownKind", message);
        }
        None if !is_kustomization(file) => {
            let message = "kind is missing: a resource says what it is, for example `kind: Track`".to_owned();
            report.add(file, document.first_line, Severity::Fault, Some("kind".to_owned()), "UnknownKind", message);
        }
        _ => {}
    }
}

fn check_track(
    sources: &Sources,
    file: &Path,
    document: &Document,
    endpoints: &BTreeMap<String, ModelEndpointSpec>,
    endpoints_known: bool,
    report: &mut Report,
) {
    report.tracks += 1;
    let known = report.paths_in(file, document);
    let Some(spec) = readable_spec(document, &known) else {
        if known.is_empty() {
            let message = spec::<TrackSpec>(document).err().map(|error| error.to_string()).unwrap_or_default();
            report.add(file, document.line_of("spec"), Severity::Fault, Some("spec".to_owned()), "SpecInvalid", message);
        }
        return;
    };
    let config = sources.config(&spec.prompts_from.config_map_ref.name);
    report.prompts += config.entries.len();
    for (place, message) in &config.faults {
        report.add(&place.file, place.line, Severity::Fault, None, "PromptMissing", message.clone());
    }
    let name = document.text("/metadata/name").unwrap_or_default();
    let faults = resolve(name, &spec, endpoints, &config.files()).err().unwrap_or_default();
    for fault in faults {
        if fault.reason == Reason::UnknownEndpoint && !endpoints_known {
            let message =
                "not checked, no ModelEndpoint among the files: add -f with yours, or say --strict-endpoints".to_owned();
            let (line, path) = (document.line_of(&fault.path), Some(fault.path));
            report.add(file, line, Severity::Warning, path, fault.reason.as_str(), message);
        } else if !known.contains(&fault.path) {
            report.track_fault(file, document, &config, fault);
        }
    }
}

impl Report {
    fn add(&mut self, file: &Path, line: u32, severity: Severity, path: Option<String>, reason: &str, message: String) {
        let (file, reason) = (file.to_owned(), reason.to_owned());
        self.findings.push(Finding { file, line, severity, path, reason, message });
    }

    fn extend(&mut self, file: &Path, document: &Document, faults: Vec<Fault>) {
        for Fault { path, reason, message, .. } in faults {
            self.add(file, document.line_of(&path), Severity::Fault, Some(path), reason.as_str(), message);
        }
    }

    /// A fault of a prompt or schema is said at its place there, any other in the Track.
    fn track_fault(&mut self, file: &Path, document: &Document, config: &Config, fault: Fault) {
        if let Some(entry) = fault.file.as_ref().and_then(|key| config.entries.get(key)) {
            let line = entry.before.line + fault.line.unwrap_or(1);
            self.add(&entry.before.file, line, Severity::Fault, None, fault.reason.as_str(), fault.message);
        } else {
            self.extend(file, document, vec![fault]);
        }
    }

    /// Fields of the document that are known to be wrong.
    fn paths_in(&self, file: &Path, document: &Document) -> BTreeSet<String> {
        let here = self.findings.iter().filter(|finding| finding.file == file && finding.line >= document.first_line);
        here.filter_map(|finding| finding.path.clone()).collect()
    }
}

/// The spec without the fields that are known to be wrong, so that one of them does not hide everything else.
fn readable_spec(document: &Document, wrong: &BTreeSet<String>) -> Option<TrackSpec> {
    if let Ok(spec) = spec(document) {
        return Some(spec);
    }
    // One of them is mostly enough; what is merely out of bounds stays and is looked at.
    let alone = wrong.iter().find_map(|path| spec_without(document, [path]));
    // From the back, so that places in lists stay what they are.
    alone.or_else(|| spec_without(document, wrong.iter().rev()))
}

fn spec_without<'a>(document: &Document, paths: impl IntoIterator<Item = &'a String>) -> Option<TrackSpec> {
    let mut value = document.value.clone();
    paths.into_iter().for_each(|path| remove(&mut value, path));
    serde_json::from_value(value.get_mut("spec")?.take()).ok()
}

fn remove(value: &mut Value, path: &str) {
    let pointer = path.replace(['.', '['], "/").replace(']', "");
    let Some((parent, last)) = pointer.rsplit_once('/') else { return };
    let parent = if parent.is_empty() { String::new() } else { format!("/{parent}") };
    match value.pointer_mut(&parent) {
        Some(Value::Object(fields)) => {
            fields.remove(last);
        }
        Some(Value::Array(items)) => {
            if let Some(index) = last.parse::<usize>().ok().filter(|index| *index < items.len()) {
                items.remove(index);
            }
        }
        _ => {}
    }
}
