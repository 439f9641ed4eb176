//! A source: who may send to it and what is read from what they send.

use crate::map::{self, Map};
use crate::node::Node;
use crate::presets;
use std::collections::BTreeSet;
use trackway_crds::contracts::SecretKeyRef;

/// Longest name of a tenant or user in characters.
pub const TENANT_CHARS: usize = 128;
/// Most bytes of an event: a NATS message holds 1 MiB, with all that is noted beside the event.
pub const MAX_EVENT_BYTES: u64 = 900 * 1024;
const ID_CHARS: usize = 64;
const CREDENTIALS: usize = 64;

/// A place that events come from: the paths `/v1/webhooks/{id}` and `/v1/events/{id}` of the gateway.
#[derive(Clone, Debug)]
pub struct Source {
    /// Unique among sources; at most 64 of a–z, 0–9 and `-`.
    pub id: String,
    /// Whose habits its events follow; `None`: plain JSON.
    pub preset: Option<Preset>,
    /// How a sender shows who it is.
    pub auth: AuthKind,
    /// Whose events: the tenant of the credential that fits. 1 to 64, each Secret once.
    pub credentials: Vec<Credential>,
    /// How much may come.
    pub limits: Limits,
    /// How a webhook or plain JSON is read.
    pub(crate) plain: Map,
    /// How a CloudEvent is read.
    pub(crate) cloud: Map,
}

/// Whose habits events follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// Webhooks of GitHub.
    GitHub,
    /// CloudEvents over HTTP.
    CloudEvents,
}

/// How a sender shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthKind {
    /// `X-Hub-Signature-256`: HMAC of the body.
    GitHub,
    /// `webhook-id`, `webhook-timestamp` and `webhook-signature` of <https://www.standardwebhooks.com>.
    StandardWebhooks,
    /// `Authorization: Bearer …`.
    Bearer,
}

/// A secret and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Whose events they are that it lets in.
    pub tenant: String,
    /// Where the secret is: a Secret of the release's namespace, its name and key fit for a path.
    pub secret: SecretKeyRef,
}

/// How much may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest body of one event in bytes, at most [`MAX_EVENT_BYTES`].
    pub max_event_bytes: u64,
    /// Events a second of each tenant at this source, over time.
    pub events_per_second: u32,
    /// Events of each tenant at this source that may come at once.
    pub burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_event_bytes: MAX_EVENT_BYTES, events_per_second: 100, burst: 200 }
    }
}

/// An entry of `sources`; `None` when it has no id to go by.
pub(crate) fn read(node: &Node<'_>) -> Option<Source> {
    let node = node.clone().only(&["id", "preset", "auth", "credentials", "map", "limits"]);
    if !node.is_mapping() {
        return None;
    }
    let presets = [("GitHub", Preset::GitHub), ("CloudEvents", Preset::CloudEvents)];
    let preset = node.get("preset").and_then(|node| node.choice(&presets));
    let auth = auth(&node).unwrap_or(match preset {
        Some(Preset::GitHub) => AuthKind::GitHub,
        Some(Preset::CloudEvents) | None => AuthKind::Bearer,
    });
    let said = map::read(&node);
    let source = Source {
        id: id(&node)?,
        preset,
        auth,
        credentials: credentials(&node),
        limits: limits(&node),
        plain: said.clone().over(presets::plain(preset, auth)),
        cloud: said.over_attributes(),
    };
    Some(source)
}

fn id(source: &Node<'_>) -> Option<String> {
    let Some(node) = source.get("id") else {
        source.missing("id", "name the source; its URL is /v1/webhooks/{id}");
        return None;
    };
    let id = node.text()?;
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=ID_CHARS).contains(&id.len()) && id.bytes().all(allowed);
    if !fits {
        node.wrong(format!("{} cannot be part of a URL: use 1 to {ID_CHARS} of a-z, 0-9 and '-'", node.shown()));
    }
    fits.then(|| id.to_owned())
}

fn auth(source: &Node<'_>) -> Option<AuthKind> {
    let auth = source.get("auth")?.only(&["kind"]);
    let kinds = [("GitHub", AuthKind::GitHub), ("StandardWebhooks", AuthKind::StandardWebhooks), ("Bearer", AuthKind::Bearer)];
    let Some(kind) = auth.get("kind") else {
        auth.missing("kind", "use GitHub, StandardWebhooks or Bearer");
        return None;
    };
    kind.choice(&kinds)
}

fn credentials(source: &Node<'_>) -> Vec<Credential> {
    let Some(list) = source.get("credentials") else {
        source
            .missing("credentials", "nobody could send: write [{tenant: octo-org, secretRef: {name: github-octo, key: secret}}]");
        return Vec::new();
    };
    let nodes = list.entries();
    if list.is_list() && !(1..=CREDENTIALS).contains(&nodes.len()) {
        list.wrong(format!("holds {} credentials: use 1 to {CREDENTIALS}, and another source for more", nodes.len()));
    }
    let mut seen = BTreeSet::new();
    let mut credentials = Vec::new();
    for node in nodes {
        let node = node.only(&["tenant", "secretRef"]);
        let tenant = node.get("tenant");
        if tenant.is_none() {
            node.missing("tenant", "name the tenant whose events this secret lets in");
        }
        let (Some(tenant), Some(secret)) = (tenant.and_then(|node| node.line(TENANT_CHARS)), secret(&node)) else { continue };
        if !seen.insert((secret.name.clone(), secret.key.clone())) {
            let reason = "is named twice: a secret tells whose events they are, so name each one once";
            node.wrong(format!("the Secret {} with key {} {reason}", secret.name, secret.key));
        }
        credentials.push(Credential { tenant: tenant.to_owned(), secret });
    }
    credentials
}

/// Both parts become parts of a path.
fn secret(credential: &Node<'_>) -> Option<SecretKeyRef> {
    let Some(node) = credential.get("secretRef") else {
        credential.missing("secretRef", "name a Secret and a key within it: {name: github-octo, key: secret}");
        return None;
    };
    let node = node.only(&["name", "key"]);
    let name = part(&node, "name", "-.", 253);
    let key = part(&node, "key", "-._", 253);
    Some(SecretKeyRef { name: name?, key: key? })
}

fn part(secret: &Node<'_>, field: &str, marks: &str, longest: usize) -> Option<String> {
    let Some(node) = secret.get(field) else {
        secret.missing(field, "name a Secret and a key within it");
        return None;
    };
    let text = node.text()?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
    let fits = (1..=longest).contains(&text.len()) && text.chars().all(allowed) && !text.starts_with('.');
    if !fits {
        let shown = node.shown();
        node.wrong(format!("{shown} is not the {field} of a Secret: use letters, digits and {marks:?}, not beginning with '.'"));
    }
    fits.then(|| text.to_owned())
}

fn limits(source: &Node<'_>) -> Limits {
    let mut limits = Limits::default();
    let Some(node) = source.get("limits") else { return limits };
    let node = node.only(&["maxEventBytes", "eventsPerSecond", "burst"]);
    if let Some(bytes) = node.get("maxEventBytes").and_then(|node| node.bytes(1024..=MAX_EVENT_BYTES)) {
        limits.max_event_bytes = bytes;
    }
    if let Some(rate) = node.get("eventsPerSecond").and_then(|node| node.number(1..=1_000_000)) {
        limits.events_per_second = rate;
    }
    if let Some(burst) = node.get("burst").and_then(|node| node.number(1..=1_000_000)) {
        limits.burst = burst;
    }
    limits
}
