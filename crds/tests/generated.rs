//! Generated files are committed. A stale one is rewritten here and the test fails once, so running it twice is the whole tool.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail their test")]

use std::{fs, path::Path};
use trackway_crds::manifests::{contract_schemas, definitions};

const HEADER: &str = "# Generated from the types in crds/src by `cargo test -p trackway-crds`. Do not edit.\n";

#[test]
fn committed_files_are_what_the_types_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut stale = Vec::new();
    for (file, crd) in definitions().unwrap() {
        // Through JSON text, so that key order is the same whatever the YAML writer does with maps.
        let yaml = format!("{HEADER}{}", serde_saphyr::to_string(&crd).unwrap());
        refresh(&root.join("manifests").join(file), &yaml, &mut stale);
    }
    for (file, schema) in contract_schemas() {
        let json = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
        refresh(&root.join("contracts").join(file), &json, &mut stale);
    }
    assert!(stale.is_empty(), "rewrote {stale:?}: look at the difference and commit it");
}

fn refresh(path: &Path, text: &str, stale: &mut Vec<String>) {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::write(path, text).unwrap();
        stale.push(path.display().to_string());
    }
}

#[test]
fn every_field_of_every_resource_has_a_description_and_every_list_map_and_text_a_bound() {
    let mut faults = Vec::new();
    for (file, crd) in definitions().unwrap() {
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
        for part in ["spec", "status"] {
            if !schema[part].is_null() {
                walk(&schema[part], &format!("{file}:{part}"), true, &mut faults);
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn walk(node: &serde_json::Value, path: &str, is_field: bool, faults: &mut Vec<String>) {
    // The conditions are Kubernetes' own type; the API server bounds and documents them.
    if path.ends_with("conditions") {
        return;
    }
    if is_field && node["description"].as_str().is_none_or(str::is_empty) {
        faults.push(format!("{path}: no description"));
    }
    match node["type"].as_str() {
        Some("array") if node["maxItems"].is_null() => faults.push(format!("{path}: no maxItems")),
        Some("string") if node["maxLength"].is_null() && node["enum"].is_null() && node["format"].is_null() => {
            faults.push(format!("{path}: no maxLength"));
        }
        Some("object") if node["properties"].is_null() && node["maxProperties"].is_null() => {
            faults.push(format!("{path}: no maxProperties"));
        }
        _ => {}
    }
    for (name, child) in node["properties"].as_object().into_iter().flatten() {
        walk(child, &format!("{path}.{name}"), true, faults);
    }
    for key in ["items", "additionalProperties"] {
        if node[key].is_object() {
            walk(&node[key], &format!("{path}[]"), false, faults);
        }
    }
}
