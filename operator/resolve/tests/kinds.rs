//! Fan-outs, broadcasts, programs, the debugger and pods: what they become, and what is said when they cannot.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may")]

use std::{collections::BTreeMap, fs, path::Path};
use trackway_crds::{ModelEndpointSpec, Tolerance, TrackSpec, contracts::ResolvedWork};
use trackway_resolve::{Fault, Reason, Resolved, resolve};

const SPEC: &str = r#"
audience: Org admin
selector: {}
models:
- {role: writer, endpoint: main, model: m}
- {role: critic, endpoint: main, model: j}
judge: {model: critic, dimensions: [{name: relevance, criterion: "Rests on an event."}]}
stages:
- name: solutions
  generate: {prompt: plain.md, outputSchema: solutions.json}
- name: scan
  container: {image: "registry.example/scan:1", args: [--fast], outputSchema: scan.json, vars: {depth: 2}}
- name: notices
  forEach: {items: solutions.targets}
  generate: {prompt: notice.md}
- name: review
  generate: {prompt: review.md, outputSchema: review.json}
- name: send
  broadcast:
    items: notices
    approvedBy: review
    channels: [{name: inbox, webhook: {url: "https://hooks.example/in", signingSecretRef: {name: hook, key: secret}}}]
promptsFrom: {configMapRef: {name: prompts}}
catch: {debugger: {model: critic}}
limits: {tokens: 2000000}
workerTemplate: {labels: {example.com/team: growth}, resources: {requests: {cpu: 100m}, limits: {cpu: "1"}}}
"#;

fn endpoints() -> BTreeMap<String, ModelEndpointSpec> {
    BTreeMap::from([("main".to_owned(), serde_saphyr::from_str("baseURL: http://llm/v1").unwrap())])
}

fn files() -> BTreeMap<String, String> {
    let list = |name: &str, fields: &str| {
        format!(
            r#"{{"type": "object", "required": ["{name}"], "properties": {{"{name}": {{"type": "array", "items": {{"type": "object", "properties": {{{fields}}}}}}}}}}}"#
        )
    };
    let files = [
        ("plain.md", "Of {{ batch.id }}".to_owned()),
        ("notice.md", "To {{ target.id }}: {{ target.action }}".to_owned()),
        (
            "review.md",
            "{% for item in stages.notices.items if item.output %}{{ item.output.text }}{% endfor %} {{ stages.scan.risk }}"
                .to_owned(),
        ),
        ("solutions.json", list("targets", r#""id": {"type": "string"}, "action": {"type": "string"}"#)),
        ("review.json", list("items", r#""key": {"type": "string"}, "approve": {"type": "boolean"}"#)),
        ("scan.json", r#"{"type": "object", "properties": {"risk": {"type": "string"}}}"#.to_owned()),
    ];
    files.map(|(key, text)| (key.to_owned(), text)).into()
}

fn tried(yaml: &str) -> Result<Resolved, Vec<Fault>> {
    let spec: TrackSpec = serde_saphyr::from_str(yaml).unwrap();
    resolve("admin", &spec, &endpoints(), &files())
}

/// Path, reason and message of the only fault of [`SPEC`] with `from` replaced by `to`.
fn fault_after(from: &str, to: &str) -> (String, Reason, String) {
    assert!(SPEC.contains(from), "{from}");
    let faults = tried(&SPEC.replace(from, to)).unwrap_err();
    let [fault] = faults.as_slice() else { panic!("{faults:#?}") };
    (fault.path.clone(), fault.reason, fault.message.clone())
}

#[test]
fn every_kind_of_work_is_resolved_with_its_defaults() {
    let revision = tried(SPEC).unwrap().revision;
    let [_, scan, notices, _, send] = revision.stages.as_slice() else { panic!("five stages") };

    let over = notices.for_each.as_ref().unwrap();
    assert_eq!((over.stage.as_str(), over.field.as_str(), over.key.as_str()), ("solutions", "targets", "id"));
    assert_eq!((over.max_concurrency, over.targets_per_pod, over.tolerated_failures), (40, 10, Tolerance::Count(0)));
    assert_eq!(revision.fan_outs_over("solutions").count(), 1);

    let ResolvedWork::Container { image, args, output_schema, .. } = &scan.work else { panic!("{:?}", scan.work) };
    assert_eq!(
        (image.as_str(), args.as_slice(), output_schema.as_deref()),
        ("registry.example/scan:1", ["--fast".to_owned()].as_slice(), Some("scan.json"))
    );
    assert!(scan.judge.is_some() && scan.vars["depth"] == 2);

    let ResolvedWork::Broadcast { items, approved_by, channels, dry_run } = &send.work else { panic!("{:?}", send.work) };
    assert_eq!((items.as_str(), approved_by.as_deref(), *dry_run), ("notices", Some("review"), false));
    assert_eq!((channels[0].name.as_str(), channels[0].timeout_millis), ("inbox", 10_000));
    assert!(send.judge.is_none(), "what is sent was judged before");

    let debugger = revision.debugger.unwrap();
    assert_eq!((debugger.model.model.as_str(), debugger.timeout_millis), ("j", 120_000));
    assert_eq!(revision.limits.tokens, Some(2_000_000));
    assert_eq!(revision.worker_template.labels["example.com/team"], "growth");
}

#[test]
fn fewer_targets_at_a_time_than_a_pod_takes_by_default_are_fewer_in_a_pod() {
    let few = SPEC.replace("items: solutions.targets", "items: solutions.targets, maxConcurrency: 4, toleratedFailures: 25%");
    let revision = tried(&few).unwrap().revision;
    let over = revision.stages[2].for_each.as_ref().unwrap();
    assert_eq!((over.max_concurrency, over.targets_per_pod, over.tolerated_failures), (4, 4, Tolerance::Percent(25)));
}

#[test]
fn what_a_fan_out_cannot_be_done_over_is_told() {
    let items = "spec.stages[2].forEach.items";
    for (to, path, said) in [
        ("items: solutions.people", items, "its schema has no field people; it has: targets"),
        ("items: scan.risk", items, "in its schema risk has type \"string\""),
        ("items: review.items", items, "no stage review before this one; before it come: solutions, scan"),
        ("items: targets", items, "not STAGE.FIELD"),
        ("items: solutions.targets, key: email", "spec.stages[2].forEach.key", "have no field email; they have: "),
        (
            "items: solutions.targets, targetsPerPod: 32, maxConcurrency: 20",
            "spec.stages[2].forEach.targetsPerPod",
            "32 targets in one pod",
        ),
    ] {
        let (found, _, message) = fault_after("items: solutions.targets", to);
        assert!(found == path && message.contains(said), "{to}: {found}: {message}");
    }
    let (_, reason, message) =
        fault_after("generate: {prompt: plain.md, outputSchema: solutions.json}", "generate: {prompt: plain.md}");
    assert_eq!(reason, Reason::ListInvalid);
    assert!(message.contains("because its output is {\"text\": string}. Give it an outputSchema"), "{message}");
}

#[test]
fn the_output_of_a_fan_out_is_no_list_for_another() {
    let again = SPEC.replace(
        "- name: review",
        "- name: again\n  forEach: {items: notices.items}\n  generate: {prompt: plain.md}\n- name: review",
    );
    let faults = tried(&again).unwrap_err();
    assert_eq!((faults.len(), faults[0].path.as_str()), (1, "spec.stages[3].forEach.items"));
    assert!(faults[0].message.contains("put together from its targets"), "{}", faults[0].message);
}

#[test]
fn budgets_of_a_fan_out_end_where_its_ledger_does() {
    let (path, _, message) =
        fault_after("generate: {prompt: notice.md}", "generate: {prompt: notice.md}\n  retry: {model: {maxTries: 8}}");
    assert_eq!(path, "spec.stages[2].retry.model.maxTries");
    assert!(message.contains("Write 7 or less"), "{message}");
    let (path, _, message) = fault_after("catch:", "retry: {judge: {maxTries: 9}}\ncatch:");
    assert_eq!(path, "spec.retry.judge.maxTries");
    assert!(message.contains("or give spec.stages[2].retry.judge.maxTries a smaller one"), "{message}");
}

#[test]
fn only_a_fan_outs_prompt_knows_a_target() {
    let (path, reason, message) = fault_after("generate: {prompt: review.md,", "generate: {prompt: notice.md,");
    assert_eq!((path.as_str(), reason), ("spec.stages[3].generate.prompt", Reason::PromptInvalid));
    assert!(message.starts_with("undefined name target: only a stage with forEach has one"), "{message}");
}

#[test]
fn who_cannot_approve_is_told() {
    let (path, reason, message) = fault_after("approvedBy: review", "approvedBy: scan");
    assert_eq!((path.as_str(), reason), ("spec.stages[4].broadcast.approvedBy", Reason::ApprovalInvalid));
    assert!(message.contains("its schema has no field items; it has: risk"), "{message}");
    let (_, reason, message) = fault_after("approvedBy: review", "approvedBy: editors");
    assert_eq!(reason, Reason::UnknownStage);
    assert!(message.contains("before it come: solutions, scan, notices, review"), "{message}");
    let (_, reason, _) = fault_after("items: notices", "items: solutions");
    assert_eq!(reason, Reason::UnknownStage);
}

#[test]
fn inv13_a_password_in_a_url_is_refused_and_not_repeated() {
    let (path, reason, message) = fault_after("https://hooks.example/in", "https://me:hunter2@hooks.example/in");
    assert_eq!((path.as_str(), reason), ("spec.stages[4].broadcast.channels[0].webhook.url", Reason::UrlInvalid));
    assert!(!message.contains("hunter2"), "{message}");
}

#[test]
fn the_debugger_needs_a_known_role_and_ten_seconds() {
    let (path, reason, _) = fault_after("debugger: {model: critic}", "debugger: {model: detective}");
    assert_eq!((path.as_str(), reason), ("spec.catch.debugger.model", Reason::UnknownModel));
    let (path, reason, message) = fault_after("debugger: {model: critic}", "debugger: {model: critic, timeout: 3s}");
    assert_eq!((path.as_str(), reason), ("spec.catch.debugger.timeout", Reason::BadDuration));
    assert_eq!(message, "3s is shorter than 10 seconds: write 10s or more");
}

#[test]
fn what_kubernetes_would_refuse_of_a_pod_is_refused_here() {
    for (from, to, path, reason) in [
        ("example.com/team: growth", "trackway.dev/run: x", "spec.workerTemplate.labels.trackway.dev/run", Reason::SpecInvalid),
        ("cpu: 100m", "cpu: 100mm", "spec.workerTemplate.resources.requests.cpu", Reason::QuantityInvalid),
        ("cpu: 100m", "cpu: 1500m", "spec.workerTemplate.resources.requests.cpu", Reason::SpecInvalid),
        ("cpu: 100m", "cores: 1", "spec.workerTemplate.resources.requests.cores", Reason::SpecInvalid),
    ] {
        let (found, said, message) = fault_after(from, to);
        assert_eq!((found.as_str(), said), (path, reason), "{to}: {message}");
    }
}

#[test]
fn the_example_tracks_resolve() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/tracks");
    for (track, stages) in [("admin", 7), ("team", 6), ("individual", 4)] {
        let manifest = fs::read_to_string(examples.join(format!("{track}.yaml"))).unwrap();
        let document: serde_json::Value = serde_saphyr::from_str(&manifest).unwrap();
        let spec: TrackSpec = serde_json::from_value(document["spec"].clone()).unwrap();
        let prompts = fs::read_dir(examples.join("prompts").join(track)).unwrap().map(Result::unwrap);
        let files =
            prompts.map(|file| (file.file_name().into_string().unwrap(), fs::read_to_string(file.path()).unwrap())).collect();
        let resolved = resolve(track, &spec, &endpoints(), &files).unwrap_or_else(|faults| panic!("{track}: {faults:#?}"));
        assert_eq!(resolved.revision.stages.len(), stages, "{track}");
        assert!(resolved.revision.debugger.is_some(), "{track}");
    }
}
