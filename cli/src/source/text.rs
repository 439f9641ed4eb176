//! What a request would become, for people.

use super::look::{Batch, Seen};
use crate::label::{labelled, labelled_all};
use jiff::SignedDuration;
use std::collections::BTreeMap;

/// Lines with labels before them.
pub(super) fn render(seen: &Seen) -> String {
    let event = &seen.event;
    let mut text = labelled("tenant", &event.tenant);
    text += &labelled("user", event.user.as_deref().unwrap_or("none is found: it enters the tenant's batch only"));
    text += &labelled("type", &event.type_);
    text += &labelled("priority", event.priority.as_str());
    text += &labelled("labels", &pairs(&event.labels));
    text += &labelled("source", &event.source);
    text += &labelled("id", &format!("{} (event {})", event.ce_id, event.id));
    text += &labelled("subject", event.subject.as_deref().unwrap_or("none"));
    text += &labelled("time", &event.time.to_string());
    if seen.batches.is_empty() {
        text += &labelled("batches", "none: no level of this tenant is enabled");
    }
    for batch in &seen.batches {
        text += &labelled_all("batch", lines(batch));
    }
    if seen.namespaces.is_empty() {
        text + &labelled("go to", &format!("no namespace: none is bound to tenant {}", event.tenant))
    } else {
        text + &labelled("go to", &format!("namespace {}", seen.namespaces.join(", ")))
    }
}

fn lines(batch: &Batch) -> Vec<String> {
    let mut lines = vec![format!("{} {}, labels {}", batch.level.as_str(), batch.subject, pairs(&batch.labels))];
    if let Some(sealed) = &batch.sealed {
        lines.push(format!("sealed by this event alone, as {}: {}", sealed.priority.as_str(), sealed.reason));
    }
    if let Some(missing) = &batch.missing {
        lines.push(format!("an empty one would still need {missing}"));
    }
    let gap = i64::try_from(batch.policy.min_gap_millis).unwrap_or(i64::MAX);
    if gap > 0 {
        lines.push(format!("and never within {:#} after the one before, unless it is full", SignedDuration::from_millis(gap)));
    }
    lines
}

fn pairs(labels: &BTreeMap<String, String>) -> String {
    if labels.is_empty() {
        return "none".to_owned();
    }
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::look::{Request, look};
    use super::render;
    use trackway_sources::{IngestConfig, MapError};

    const CONFIG: &str = include_str!("../../../examples/sources/ingest.yaml");

    fn tried(source: &str, tenant: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<String, MapError> {
        let config = IngestConfig::parse(CONFIG).unwrap();
        let now = "2026-11-22T14:00:05Z".parse().unwrap();
        let source = config.source(source).unwrap();
        look(&config, &Request { source, tenant, headers, body, now }).map(|seen| render(&seen))
    }

    #[test]
    fn a_push_says_what_its_batches_still_need() {
        let body = include_bytes!("../../../examples/events/03-push.json");
        let headers = [("x-github-event", "push"), ("x-github-delivery", "72d3162e")];
        let text = tried("github", "northwind-lab", &headers, body).unwrap();
        let expected = "\
tenant      northwind-lab
user        tomas-beck
type        com.github.push
priority    Low
labels      repo=ledger
source      https://github.example/northwind-lab/ledger
id          72d3162e (event KEY)
subject     northwind-lab/ledger
time        2026-11-22T14:00:05Z
batch       Tenant northwind-lab, labels plan=pro, repo=ledger
            an empty one would still need 1 more High, or 5 more High or Medium, or 49 more of any priority, or 499 more
            until it is full, or 30m
batch       User tomas-beck, labels plan=pro, repo=ledger
            an empty one would still need 1 more High, or 5 more High or Medium, or 19 more of any priority, or 199 more
            until it is full, or 1h
            and never within 5m after the one before, unless it is full
go to       namespace trackway-demo
";
        let key = text.split_once("(event ").unwrap().1.split_once(')').unwrap().0;
        assert_eq!(text.replace(key, "KEY"), expected, "{text}");
    }

    #[test]
    fn an_urgent_event_seals_at_once_and_a_level_may_be_switched_off() {
        let body = br#"{"ticket": {"id": 42, "severity": "critical", "requester": {"id": "ann"}}}"#;
        let text = tried("helpdesk", "octo-org", &[], body).unwrap();
        assert!(text.contains("sealed by this event alone, as High: threshold High 1\n"), "{text}");
        assert!(text.contains("user        ann\n") && !text.contains("User ann"), "{text}");
    }

    #[test]
    fn a_cloud_event_is_tried_in_both_its_forms() {
        let structured = br#"{"specversion": "1.0", "id": "1", "source": "/app", "type": "order.paid", "priority": "Medium"}"#;
        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/app"),
            ("ce-type", "order.paid"),
            ("ce-priority", "Medium"),
        ];
        let one = tried("platform", "octo-org", &[], structured).unwrap();
        let other = tried("platform", "octo-org", &headers, b"{}").unwrap();
        assert_eq!(one, other);
        let error = tried("platform", "octo-org", &[], b"{}").unwrap_err().to_string();
        assert!(error.starts_with("specversion: is missing"), "{error}");
    }
}
