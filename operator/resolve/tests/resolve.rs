//! What a Track becomes, and what is said when it cannot become anything.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may")]

use std::collections::BTreeMap;
use trackway_crds::{ModelEndpointSpec, Score, TrackSpec, contracts::ResolvedWork};
use trackway_resolve::{Fault, Reason, Resolved, check_manifest, config_map_data, resolve, revision_name};

const SPEC: &str = r#"
audience: Org admin
selector: {levels: [Tenant]}
models:
- {role: writer, endpoint: main, model: m, parameters: {temperature: 0.4}}
- {role: critic, endpoint: main, model: j, timeout: 30s}
judge:
  model: critic
  dimensions:
  - {name: relevance, weight: 2, criterion: "Every claim is supported by an event."}
  - {name: safety, minimum: 0.9, criterion: "No personal data."}
retry: {quality: {maxAttempts: 4}, model: {backoff: {initial: 250ms}}}
stages:
- name: context
  validateContext: {prompt: context.md, onMissing: Proceed}
  judge: {enabled: false}
- name: insights
  generate: {prompt: insights.md}
  retry: {quality: {maxAttempts: 2}}
- name: solutions
  generate: {prompt: solutions.md, outputSchema: solutions.json, model: critic, vars: {kinds: [policy, training]}}
  judge: {threshold: 0.8, dimensions: [{name: useful, criterion: "Someone can act on it."}]}
  timeout: 90s
promptsFrom: {configMapRef: {name: admin-prompts}}
"#;

fn endpoints() -> BTreeMap<String, ModelEndpointSpec> {
    let spec = serde_saphyr::from_str("baseURL: http://llm/v1\nheaders: {x-org: o}\napiKeySecretRef: {name: llm, key: apiKey}");
    BTreeMap::from([("main".to_owned(), spec.unwrap())])
}

fn files() -> BTreeMap<String, String> {
    let files = [
        ("context.md", "Does {{ batch.id }} say enough?"),
        ("insights.md", "Events: {{ events | tojson }}"),
        ("solutions.md", "From {{ stages.insights.text }} for {{ track.vars.kinds }}"),
        ("solutions.json", r#"{"type": "object", "properties": {"solutions": {"type": "array"}}}"#),
        ("never-named.md", "…"),
    ];
    files.map(|(key, text)| (key.to_owned(), text.to_owned())).into()
}

fn spec(yaml: &str) -> TrackSpec {
    serde_saphyr::from_str(yaml).unwrap()
}

fn resolved(yaml: &str) -> Resolved {
    resolve("admin", &spec(yaml), &endpoints(), &files()).unwrap()
}

/// The faults of [`SPEC`] with `from` replaced by `to`.
fn faults_after(from: &str, to: &str) -> Vec<Fault> {
    assert!(SPEC.contains(from), "{from}");
    resolve("admin", &spec(&SPEC.replace(from, to)), &endpoints(), &files()).unwrap_err()
}

fn only(faults: &[Fault]) -> (&str, Reason, &str) {
    assert_eq!(faults.len(), 1, "{faults:#?}");
    (&faults[0].path, faults[0].reason, &faults[0].message)
}

#[test]
fn defaults_are_filled_in_and_stages_replace_the_track_field_by_field() {
    let revision = resolved(SPEC).revision;
    let [context, insights, solutions] = revision.stages.as_slice() else { panic!("three stages") };

    assert!(context.judge.is_none());
    assert!(matches!(context.work, ResolvedWork::ValidateContext { .. }));
    let judge = insights.judge.as_ref().unwrap();
    assert_eq!((judge.threshold, judge.model.model.as_str()), (Score::from_thousandths(700), "j"));
    assert_eq!(judge.dimensions.iter().map(|d| (d.weight, d.minimum.thousandths())).collect::<Vec<_>>(), [(2, 0), (1, 900)]);
    let judge = solutions.judge.as_ref().unwrap();
    assert_eq!((judge.threshold.thousandths(), judge.model.role.as_str(), judge.dimensions.len()), (800, "critic", 1));

    assert_eq!((context.retry.quality_max_attempts, insights.retry.quality_max_attempts), (4, 2));
    let retry = &insights.retry;
    assert_eq!((retry.infrastructure_max_tries, retry.model_max_tries, retry.judge_max_tries), (5, 6, 5));
    let backoff = &retry.model_backoff;
    assert_eq!((backoff.initial_millis, backoff.factor, backoff.max_millis), (250, 2, 30_000));
    assert_eq!((insights.timeout_millis, solutions.timeout_millis), (600_000, 90_000));

    assert_eq!((insights.model().unwrap().role.as_str(), insights.model().unwrap().timeout_millis), ("writer", 90_000));
    assert_eq!((solutions.model().unwrap().role.as_str(), solutions.model().unwrap().timeout_millis), ("critic", 30_000));
    assert_eq!((insights.model().unwrap().base_url.as_str(), insights.model().unwrap().headers.len()), ("http://llm/v1", 1));
    let limits = &revision.limits;
    assert_eq!((limits.start_timeout_millis, limits.active_deadline_millis), (300_000, 7_200_000));
    assert_eq!(limits.deadline_millis, 604_800_000);
}

#[test]
fn only_the_files_that_are_named_are_published() {
    let data = config_map_data(&resolved(SPEC));
    let keys: Vec<_> = data.keys().map(String::as_str).collect();
    assert_eq!(keys, ["context.md", "insights.md", "solutions.json", "solutions.md", "trackway.dev.revision.json"]);
}

#[test]
fn inv06_the_name_is_a_function_of_the_content() {
    let first = revision_name("admin", &resolved(SPEC));
    assert_eq!(first, revision_name("admin", &resolved(SPEC)));
    assert_eq!(first.len(), "admin-".len() + 10);

    let other_audience = resolved(&SPEC.replace("Org admin", "Team lead"));
    assert_ne!(first, revision_name("admin", &other_audience));
    let mut other_prompt = files();
    other_prompt.insert("insights.md".to_owned(), "Other: {{ events | tojson }}".to_owned());
    let other_prompt = resolve("admin", &spec(SPEC), &endpoints(), &other_prompt).unwrap();
    assert_ne!(first, revision_name("admin", &other_prompt));
    let mut unnamed = files();
    unnamed.insert("never-named.md".to_owned(), "changed".to_owned());
    let unnamed = resolve("admin", &spec(SPEC), &endpoints(), &unnamed).unwrap();
    assert_eq!(first, revision_name("admin", &unnamed), "a file no stage names is no part of it");
}

#[test]
fn a_judge_switched_off_for_the_track_can_be_switched_on_for_a_stage() {
    let off = SPEC.replace("judge:\n  model: critic", "judge:\n  enabled: false\n  model: critic");
    let revision = resolved(&off.replace("judge: {threshold: 0.8", "judge: {enabled: true, threshold: 0.8")).revision;
    let judged: Vec<_> = revision.stages.iter().map(|stage| stage.judge.is_some()).collect();
    assert_eq!(judged, [false, false, true]);
}

#[test]
fn roles_and_endpoints_that_do_not_exist_are_named_with_those_that_do() {
    let faults = faults_after("model: critic, vars", "model: editor, vars");
    let (path, reason, message) = only(&faults);
    assert_eq!((path, reason), ("spec.stages[2].generate.model", Reason::UnknownModel));
    assert!(message.contains("no role editor") && message.contains("critic, writer"), "{message}");

    let faults = faults_after("judge:\n  model: critic", "judge:\n  model: nobody");
    assert_eq!(only(&faults).0, "spec.judge.model", "said once, though two stages use it");

    let faults = faults_after("judge: {enabled: false}", "judge: {enabled: false, model: nobody}");
    assert_eq!(only(&faults).0, "spec.stages[0].judge.model", "a judge that is off names a role too");

    let faults = faults_after("endpoint: main, model: j", "endpoint: spare, model: j");
    let (path, reason, message) = only(&faults);
    assert_eq!((path, reason), ("spec.models[1].endpoint", Reason::UnknownEndpoint));
    assert!(message.contains("spare") && message.contains("main"), "{message}");
}

#[test]
fn a_judge_needs_a_model_and_dimensions_unless_it_is_off() {
    let bare = spec(&SPEC.replace("  model: critic\n  dimensions:", "  threshold: 0.6\n  dimensions:"));
    let faults = resolve("admin", &bare, &endpoints(), &files()).unwrap_err();
    let paths: Vec<_> = faults.iter().map(|fault| (fault.path.as_str(), fault.reason)).collect();
    assert_eq!(paths, [("spec.judge", Reason::JudgeIncomplete), ("spec.stages[2].judge", Reason::JudgeIncomplete)]);
    assert!(faults[0].message.contains("enabled: false"), "{}", faults[0].message);
}

#[test]
fn files_that_are_missing_or_wrong_are_named_with_what_is_there() {
    let faults = faults_after("prompt: insights.md", "prompt: insight.md");
    let (path, reason, message) = only(&faults);
    assert_eq!((path, reason), ("spec.stages[1].generate.prompt", Reason::PromptMissing));
    assert!(message.starts_with("no key insight.md in the prompts (ConfigMap admin-prompts); it has: context.md"), "{message}");

    let faults = faults_after("outputSchema: solutions.json", "outputSchema: solution.json");
    assert!(faults.iter().any(|fault| fault.reason == Reason::SchemaMissing), "{faults:#?}");
}

#[test]
fn schemas_must_be_json_schemas_of_an_object() {
    let bad = [
        ("{\"type\": \"object\",\n  oops}", 2, "not JSON"),
        ("{\n  \"type\": \"array\"}", 2, "root has type \"array\""),
        ("{\"properties\": {}}", 1, "root has no type"),
        (
            "{\"type\": \"object\",\n \"properties\": {\n  \"a\": {\"type\": \"txt\"}}}",
            3,
            "not a JSON Schema, at /properties/a/type",
        ),
    ];
    for (text, line, said) in bad {
        let mut files = files();
        files.insert("solutions.json".to_owned(), text.to_owned());
        let faults = resolve("admin", &spec(SPEC), &endpoints(), &files).unwrap_err();
        let fault = &faults[0];
        assert_eq!((fault.reason, fault.file.as_deref()), (Reason::SchemaInvalid, Some("solutions.json")));
        assert!(fault.message.contains(said), "{}", fault.message);
        assert_eq!(fault.line, Some(line), "{text}");
    }
}

#[test]
fn a_name_no_stage_before_has_is_a_fault_with_its_line() {
    let mut files = files();
    files.insert("insights.md".to_owned(), "Events:\n{{ events | tojson }}\n{{ stages.solutions }}".to_owned());
    let faults = resolve("admin", &spec(SPEC), &endpoints(), &files).unwrap_err();
    let fault = &faults[0];
    assert_eq!((fault.reason, fault.file.as_deref(), fault.line), (Reason::PromptInvalid, Some("insights.md"), Some(3)));
    assert!(fault.to_string().starts_with("insights.md:3: spec.stages[1].generate.prompt: "), "{fault}");
}

#[test]
fn durations_are_held_to_what_can_be_done() {
    let faults = faults_after("timeout: 90s", "timeout: 300ms");
    assert_eq!((only(&faults).0, only(&faults).1), ("spec.stages[2].timeout", Reason::BadDuration));
    let faults = faults_after("initial: 250ms", "initial: 2m");
    assert_eq!(only(&faults).0, "spec.retry.model.backoff");
}

#[test]
fn what_does_not_fit_a_config_map_is_refused_with_its_size() {
    let mut files = files();
    files.insert("insights.md".to_owned(), "x".repeat(800 * 1024));
    let faults = resolve("admin", &spec(SPEC), &endpoints(), &files).unwrap_err();
    let (_, reason, message) = only(&faults);
    assert_eq!(reason, Reason::TooLarge);
    assert!(message.contains("768 KiB"), "{message}");
}

#[test]
fn all_faults_come_at_once_in_the_order_of_the_spec() {
    let bad = SPEC
        .replace("name: solutions", "name: insights")
        .replace("prompt: insights.md", "prompt: i.md")
        .replace("timeout: 30s", "timeout: 1ms")
        .replace("  validateContext: {prompt: context.md, onMissing: Proceed}\n", "");
    let faults = resolve(&"t".repeat(29), &spec(&bad), &endpoints(), &files()).unwrap_err();
    let found: Vec<_> = faults.iter().map(|fault| (fault.path.as_str(), fault.reason)).collect();
    assert_eq!(
        found,
        [
            ("metadata.name", Reason::NameTooLong),
            ("spec.models[1].timeout", Reason::BadDuration),
            ("spec.stages[0]", Reason::SpecInvalid),
            ("spec.stages[1].generate.prompt", Reason::PromptMissing),
            ("spec.stages[2].name", Reason::DuplicateStage),
        ]
    );
}

#[test]
fn a_manifest_is_held_against_its_definition() {
    let manifest = format!(
        "apiVersion: trackway.dev/v1alpha1\nkind: Track\nmetadata: {{name: admin}}\nspec:\n  {}",
        SPEC.trim().replace('\n', "\n  ")
    );
    let document = |yaml: &str| serde_saphyr::from_str::<serde_json::Value>(yaml).unwrap();
    assert_eq!(check_manifest("Track", &document(&manifest)), []);

    let bad = manifest
        .replace("weight: 2", "weight: 200")
        .replace("temperature", "temprature")
        .replace("prompt: insights.md", "model: writer");
    let faults = check_manifest("Track", &document(&bad));
    let found: Vec<_> = faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(
        found,
        ["spec.judge.dimensions[0].weight", "spec.models[0].parameters.temprature", "spec.stages[1].generate"],
        "{faults:#?}"
    );
    assert!(faults[1].message.contains("known here: maxOutputTokens, temperature"), "{}", faults[1].message);
    assert!(faults[2].message.contains("prompt is missing"), "{}", faults[2].message);
    assert_eq!(check_manifest("ConfigMap", &document("kind: ConfigMap")), []);
}
