//! The file: what it means, and what is said of its mistakes.

#![allow(clippy::expect_used, reason = "a test's helpers fail the test the same way it does")]

use trackway_crds::track::Level;
use trackway_sources::{AuthKind, BatchingPolicy, IngestConfig, MAX_EVENT_BYTES, Preset};

const EXAMPLE: &str = include_str!("../../../examples/sources/ingest.yaml");

#[test]
fn the_example_says_what_its_comments_say() {
    let config = IngestConfig::parse(EXAMPLE).unwrap();
    let ids: Vec<&str> = config.sources.iter().map(|source| source.id.as_str()).collect();
    assert_eq!(ids, ["github", "billing", "platform", "helpdesk"]);
    let auth: Vec<AuthKind> = config.sources.iter().map(|source| source.auth).collect();
    assert_eq!(auth, [AuthKind::GitHub, AuthKind::StandardWebhooks, AuthKind::Bearer, AuthKind::Bearer]);
    let platform = config.source("platform").unwrap();
    assert_eq!((platform.preset, platform.limits.max_event_bytes), (Some(Preset::CloudEvents), MAX_EVENT_BYTES));
    assert_eq!(config.source("helpdesk").unwrap().limits.max_event_bytes, 262_144);
    assert!(config.source("other").is_none());
}

#[test]
fn a_tenant_has_its_labels_and_its_policy_field_by_field() {
    let config = IngestConfig::parse(EXAMPLE).unwrap();
    let northwind = config.policy(Level::Tenant, "northwind-lab").unwrap();
    assert_eq!(northwind, BatchingPolicy { medium: Some(5), max_age_millis: 1_800_000, ..BatchingPolicy::TENANT });
    let user = config.policy(Level::User, "northwind-lab").unwrap();
    assert_eq!(user, BatchingPolicy { min_gap_millis: 300_000, ..BatchingPolicy::USER });
    assert_eq!(config.policy(Level::User, "octo-org"), None, "switched off");
    assert_eq!(config.policy(Level::Tenant, "octo-org"), Some(BatchingPolicy::TENANT));
    assert_eq!(config.tenant_labels("northwind-lab")["plan"], "pro");
    assert_eq!(config.tenant_labels("octo-org")["plan"], "free");
}

#[test]
fn what_is_left_out_has_its_default_and_0_is_no_threshold() {
    let config = IngestConfig::parse("namespaces: [{name: a}]").unwrap();
    assert!(config.sources.is_empty() && config.tenant_labels("t").is_empty());
    assert_eq!(config.policy(Level::Tenant, "t"), Some(BatchingPolicy::TENANT));
    assert_eq!(config.policy(Level::User, "t"), Some(BatchingPolicy::USER));
    let never = "namespaces: [{name: a}]\nbatching: {tenant: {thresholds: {high: 0}, maxBytes: 1Mi}}";
    let policy = IngestConfig::parse(never).unwrap().policy(Level::Tenant, "t").unwrap();
    assert_eq!((policy.high, policy.medium, policy.max_bytes), (None, Some(10), 1 << 20));
}

#[test]
fn a_tenants_batches_go_to_every_namespace_that_is_bound_to_it() {
    let config = IngestConfig::parse("namespaces: [{name: a, tenants: [octo-*]}, {name: b}, {name: c, tenants: [x]}]").unwrap();
    assert_eq!(config.namespaces_of("octo-org").collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(config.namespaces_of("x").collect::<Vec<_>>(), ["b", "c"]);
}

const SOURCE: &str = "id: s, credentials: [{tenant: t, secretRef: {name: n, key: k}}]";

/// The problems of a file with one source that has these fields too.
fn problems_of_source(fields: &str) -> String {
    problems(&format!("namespaces: [{{name: a}}]\nsources: [{{{SOURCE}, {fields}}}]"))
}

fn problems(yaml: &str) -> String {
    IngestConfig::parse(yaml).expect_err(yaml).to_string()
}

#[test]
fn each_mistake_names_field_value_and_what_is_allowed() {
    for (fields, expected) in [
        ("preset: Github", "sources[0].preset: \"Github\" is not allowed: use GitHub or CloudEvents"),
        ("auth: {kind: Hmac}", "sources[0].auth.kind: \"Hmac\" is not allowed: use GitHub, StandardWebhooks or Bearer"),
        ("auth: {}", "sources[0].auth.kind: is missing: use GitHub, StandardWebhooks or Bearer"),
        ("auth: Bearer", "sources[0].auth: \"Bearer\" is not a mapping: use the fields kind"),
        ("secret: x", "sources[0].secret: is not a field of the configuration: use id, preset"),
        ("map: {id: ticket.id}", "sources[0].map.id: \"ticket.id\" is not a place: use a JSON pointer such as"),
        ("map: {id: ''}", "sources[0].map.id: \"\" is not a place"),
        ("map: {user: 'header: X'}", "sources[0].map.user: \"header: X\" is not a place"),
        ("map: {time: /a~2}", "sources[0].map.time: \"/a~2\" is not a place"),
        ("map: {type: {value: 7}}", "sources[0].map.type.value: 7 is not a text: put it in quotes"),
        ("map: {source: [/a, {}]}", "sources[0].map.source[1].value: is missing: write {value: TEXT}"),
        ("map: {labels: {'a b': /a}}", "sources[0].map.labels[\"a b\"]: is not the key of a label"),
        (
            "map: {priority: {values: {x: Urgent}}}",
            "sources[0].map.priority.values.x: \"Urgent\" is not allowed: use High, Medium or Low",
        ),
        ("map: {priority: {values: {x: Low, X: High}}}", "sources[0].map.priority.values.x: is named twice"),
        ("limits: {maxEventBytes: 1Mi}", "sources[0].limits.maxEventBytes: \"1Mi\" is not allowed: use 1024 to 921600 bytes"),
        ("limits: {eventsPerSecond: 0}", "sources[0].limits.eventsPerSecond: 0 is not allowed: use a whole number from 1"),
    ] {
        let said = problems_of_source(fields);
        assert!(said.starts_with(expected) && !said.contains('\n'), "{fields}:\n{said}");
    }
}

#[test]
fn mistakes_beside_the_map_are_named_too() {
    for (yaml, expected) in [
        ("sources: [{id: A/b}]", "sources[0].id: \"A/b\" cannot be part of a URL: use 1 to 64 of a-z, 0-9 and '-'"),
        ("sources: [x]", "sources[0]: \"x\" is not a mapping"),
        ("sources: [{id: s}]", "sources[0].credentials: is missing: nobody could send"),
        ("sources: [{id: s, credentials: []}]", "sources[0].credentials: holds 0 credentials: use 1 to 64"),
        (
            "sources: [{id: s, credentials: [{tenant: t, secretRef: {name: n, key: k}}, {tenant: u, secretRef: {name: n, key: k}}]}]",
            "sources[0].credentials[1]: the Secret n with key k is named twice: a secret tells whose events they are",
        ),
        (
            "sources: [{id: s, credentials: [{tenant: t, secretRef: {name: n, key: ../k}}]}]",
            "sources[0].credentials[0].secretRef.key: \"../k\" is not the key of a Secret",
        ),
        (
            "sources: [{id: s, credentials: [{tenant: t, secretRef: {name: .., key: k}}]}]",
            "sources[0].credentials[0].secretRef.name: \"..\" is not the name of a Secret",
        ),
        ("batching: {user: {maxAge: 9d}}", "batching.user.maxAge: \"9d\" is not allowed: use a duration from 1s to 168h"),
        ("batching: {user: {maxAge: 200h}}", "batching.user.maxAge: \"200h\" is not allowed"),
        ("batching: {tenant: {thresholds: {High: 1}}}", "batching.tenant.thresholds.High: is not a field of the configuration"),
        ("tenants: [{labels: {a: b}}]", "tenants[0].match: is missing: write a pattern"),
        ("tenants: [{match: a, labels: {plan: ''}}]", "tenants[0].labels.plan: \"\" does not fit: use 1 to 128 characters"),
        ("tenant: []", "tenant: is not a field of the configuration: use sources, tenants, batching or namespaces"),
    ] {
        let said = problems(&format!("namespaces: [{{name: a}}]\n{yaml}"));
        assert!(said.starts_with(expected), "{yaml}:\n{said}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let two = "{id: s, preset: X, auth: {kind: Y}, credentials: [{tenant: '', secretRef: {name: n}}], limits: {burst: -1}}";
    let said = problems(&format!("sources: [{two}, {{{SOURCE}}}, {{{SOURCE}}}]\nbatching: {{tenant: {{maxEvents: x}}}}"));
    for expected in
        ["preset", "auth.kind", "credentials[0].tenant", "secretRef.key", "limits.burst", "used twice", "maxEvents", "namespaces"]
    {
        assert!(said.contains(expected), "{expected} is not among:\n{said}");
    }
}

#[test]
fn a_file_that_is_no_yaml_or_holds_a_key_twice_is_told_where() {
    for yaml in ["sources: [", "a: b: c", "namespaces: [{name: a}]\nnamespaces: [{name: b}]"] {
        let error = IngestConfig::parse(yaml).expect_err(yaml);
        assert_eq!(error.to_string(), "the configuration is not YAML");
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("line"), "{yaml}");
    }
}
