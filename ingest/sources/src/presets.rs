//! Where things are found when the configuration does not say. The table in `docs/sources.md` says the same.

use crate::map::{Map, Place, PriorityRule};
use crate::source::{AuthKind, Preset};
use std::collections::BTreeMap;
use trackway_crds::track::Priority::{High, Medium};

/// For webhooks and plain JSON.
pub(crate) fn plain(preset: Option<Preset>, auth: AuthKind) -> Map {
    match preset {
        Some(Preset::GitHub) => github(),
        Some(Preset::CloudEvents) | None if auth == AuthKind::StandardWebhooks => standard_webhooks(),
        Some(Preset::CloudEvents) | None => json(),
    }
}

/// For CloudEvents, whatever the preset.
pub(crate) fn cloud() -> Map {
    Map {
        id: vec![attribute("id")],
        type_: vec![attribute("type")],
        source: vec![attribute("source")],
        subject: vec![attribute("subject")],
        user: vec![attribute("user")],
        time: vec![attribute("time")],
        data: vec![pointer("")],
        labels: BTreeMap::new(),
        priority: PriorityRule::new(vec![attribute("priority")], &[]),
    }
}

fn json() -> Map {
    Map {
        id: vec![header("idempotency-key"), pointer("/id")],
        type_: vec![pointer("/type"), value("event")],
        source: vec![pointer("/source")],
        subject: vec![pointer("/subject")],
        user: vec![pointer("/user")],
        time: vec![pointer("/time")],
        data: vec![pointer("")],
        labels: BTreeMap::new(),
        priority: PriorityRule::new(vec![pointer("/priority")], &[]),
    }
}

/// The specification gives the body the fields `type`, `timestamp` and `data`, and the message its id.
fn standard_webhooks() -> Map {
    Map { id: vec![header("webhook-id")], time: vec![pointer("/timestamp"), header("webhook-timestamp")], ..json() }
}

fn github() -> Map {
    let urgent = [
        ("com.github.security_advisory.*", High),
        ("com.github.dependabot_alert.created", High),
        ("com.github.dependabot_alert.reopened", High),
        ("com.github.code_scanning_alert.created", High),
        ("com.github.secret_scanning_alert.created", High),
        ("com.github.issues.opened", Medium),
        ("com.github.issues.reopened", Medium),
        ("com.github.pull_request.opened", Medium),
        ("com.github.release.published", Medium),
    ];
    Map {
        id: vec![header("x-github-delivery")],
        type_: vec![Place::GitHubType],
        source: vec![pointer("/repository/html_url"), pointer("/organization/url"), value("https://github.com")],
        subject: vec![pointer("/repository/full_name"), pointer("/organization/login")],
        user: vec![pointer("/sender/login")],
        time: Vec::new(),
        data: vec![pointer("")],
        labels: BTreeMap::from([("repo".to_owned(), vec![pointer("/repository/name")])]),
        priority: PriorityRule::new(Vec::new(), &urgent),
    }
}

fn pointer(text: &str) -> Place {
    Place::Pointer(text.to_owned())
}

fn header(name: &str) -> Place {
    Place::Header(name.to_owned())
}

fn attribute(name: &str) -> Place {
    Place::Attribute(name.to_owned())
}

fn value(text: &str) -> Place {
    Place::Value(text.to_owned())
}
