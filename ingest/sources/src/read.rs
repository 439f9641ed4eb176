//! What came over HTTP becomes an event.

use crate::cloud_event::CloudEvent;
use crate::config::LABEL_CHARS;
use crate::json::{MAX_DEPTH, json};
use crate::map::{Map, Place};
use crate::source::{Preset, Source};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io;
use trackway_crds::contracts::{CONTRACT, StoredEvent};
use trackway_crds::names;

/// Longest texts of a [`StoredEvent`], in characters.
const ID_CHARS: usize = 256;
const SOURCE_CHARS: usize = 512;
const TYPE_CHARS: usize = 128;
const SUBJECT_CHARS: usize = 256;
const USER_CHARS: usize = 128;
/// Largest stored event: a NATS message of 1 MiB less its headers.
const STORED_BYTES: usize = 1024 * 1024 - 8 * 1024;
/// Bodies up to this cannot grow beyond [`STORED_BYTES`]: a number of four bytes such as 1e15 is written with 18.
const SAFE_BYTES: usize = 200 * 1024;

/// What came cannot become an event, and would not if it came again: the sender or the source's configuration must change. No message
/// holds what the sender said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// Not JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// Nested too deeply.
    #[error("the body is nested more than {MAX_DEPTH} deep: send flatter JSON")]
    TooDeep,
    /// More bytes than the source takes, or than can be stored.
    #[error("the event has {bytes} bytes, and {limit} are allowed: send less, or a link to it")]
    TooLarge {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        limit: usize,
    },
    /// One part of the event.
    #[error("{field}: {reason}")]
    Field {
        /// The part, as the configuration's `map` calls it.
        field: String,
        /// What is wrong and what to do.
        reason: String,
    },
}

impl MapError {
    pub(crate) fn field(field: &str, reason: impl Into<String>) -> Self {
        Self::Field { field: field.to_owned(), reason: reason.into() }
    }
}

impl Source {
    /// The event in a webhook or plain JSON. `headers`: names in lower case; `tenant`: whose credential fitted.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn read(
        &self,
        tenant: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        received_at: Timestamp,
    ) -> Result<StoredEvent, MapError> {
        self.fits(body.len())?;
        if self.preset == Some(Preset::GitHub) && body.starts_with(b"payload=") {
            let reason = "GitHub sends a form: choose the content type application/json in the webhook's settings";
            return Err(MapError::NotJson(reason.to_owned()));
        }
        let body_sha256 = names::sha256_hex(body);
        let body_value = json(body)?;
        let heard = Heard { headers, attributes: None, body: &body_value };
        let draft = Draft { source: self, map: &self.plain, tenant, received_at, heard };
        let event = draft.event(body_sha256)?;
        storable(event, body.len())
    }

    /// The event in a CloudEvent. `raw_sha256`: SHA-256 of what came, 64 lower-case hexadecimal digits; `raw_bytes`: how much it was;
    /// in a batch, of the one element.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn read_cloud_event(
        &self,
        tenant: &str,
        event: &CloudEvent,
        raw_sha256: &str,
        raw_bytes: usize,
        received_at: Timestamp,
    ) -> Result<StoredEvent, MapError> {
        self.fits(raw_bytes)?;
        let heard = Heard { headers: &[], attributes: Some(&event.attributes), body: &event.data };
        let draft = Draft { source: self, map: &self.cloud, tenant, received_at, heard };
        let event = draft.event(raw_sha256.to_owned())?;
        storable(event, raw_bytes)
    }

    fn fits(&self, bytes: usize) -> Result<(), MapError> {
        let limit = usize::try_from(self.limits.max_event_bytes).unwrap_or(usize::MAX);
        if bytes > limit { Err(MapError::TooLarge { bytes, limit }) } else { Ok(()) }
    }
}

/// Everything that a place can name.
struct Heard<'a> {
    headers: &'a [(&'a str, &'a str)],
    /// `None`: not a CloudEvent.
    attributes: Option<&'a BTreeMap<String, String>>,
    body: &'a Value,
}

impl Heard<'_> {
    fn header(&self, wanted: &str) -> Option<&str> {
        self.headers.iter().find(|(name, _)| *name == wanted).map(|(_, value)| *value)
    }

    /// The first of the places with a text, number or truth value; an empty text is none.
    fn text(&self, places: &[Place]) -> Result<Option<String>, MapError> {
        for place in places {
            let text = match place {
                Place::Pointer(pointer) => self.body.pointer(pointer).and_then(scalar),
                Place::Header(name) => self.header(name).map(str::to_owned),
                Place::Attribute(name) => self.attributes.and_then(|attributes| attributes.get(name)).cloned(),
                Place::Value(text) => Some(text.clone()),
                Place::GitHubType => Some(self.github_type()?),
            };
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// As [`Heard::text`], within its bounds.
    fn line(&self, field: &str, places: &[Place], longest: usize) -> Result<Option<String>, MapError> {
        let Some(text) = self.text(places)? else { return Ok(None) };
        let characters = text.chars().count();
        if characters > longest {
            let reason = format!("has {characters} characters, and {longest} are allowed: send less, or map another place");
            return Err(MapError::field(field, reason));
        }
        if text.chars().any(char::is_control) {
            return Err(MapError::field(field, "holds a control character: send plain text, or map another place"));
        }
        Ok(Some(text))
    }

    fn data(&self, places: &[Place]) -> Value {
        let find = |place: &Place| match place {
            Place::Pointer(pointer) => self.body.pointer(pointer).cloned(),
            other => self.text(std::slice::from_ref(other)).ok().flatten().map(Value::String),
        };
        places.iter().find_map(find).unwrap_or_default()
    }

    fn github_type(&self) -> Result<String, MapError> {
        let Some(event) = self.header("x-github-event").filter(|event| !event.is_empty()) else {
            return Err(MapError::field("type", "there is no header X-GitHub-Event: send it, or map another place"));
        };
        Ok(match self.body.get("action").and_then(Value::as_str) {
            Some(action) => format!("com.github.{event}.{action}"),
            None => format!("com.github.{event}"),
        })
    }
}

/// An event on its way.
struct Draft<'a> {
    source: &'a Source,
    map: &'a Map,
    tenant: &'a str,
    received_at: Timestamp,
    heard: Heard<'a>,
}

impl Draft<'_> {
    fn event(&self, body_sha256: String) -> Result<StoredEvent, MapError> {
        let (heard, map) = (&self.heard, self.map);
        let ce_id = self.or_else(heard.line("id", &map.id, ID_CHARS)?, "id", || body_sha256.clone())?;
        let source = self.or_else(heard.line("source", &map.source, SOURCE_CHARS)?, "source", || self.source.id.clone())?;
        let type_ = self.or_else(heard.line("type", &map.type_, TYPE_CHARS)?, "type", || "event".to_owned())?;
        let said = heard.text(&map.priority.from)?.and_then(|text| map.priority.by_value(&text));
        let mut labels = BTreeMap::new();
        for (key, places) in &map.labels {
            if let Some(value) = heard.line(&format!("labels.{key}"), places, LABEL_CHARS)? {
                labels.insert(key.clone(), value);
            }
        }
        Ok(StoredEvent {
            contract: CONTRACT,
            id: names::event_key(self.tenant, &self.source.id, &source, &ce_id),
            tenant: self.tenant.to_owned(),
            user: heard.line("user", &map.user, USER_CHARS)?,
            origin: self.source.id.clone(),
            source,
            ce_id,
            priority: said.unwrap_or_else(|| map.priority.by_type(&type_)),
            type_,
            time: self.time()?,
            received_at: self.received_at,
            subject: heard.line("subject", &map.subject, SUBJECT_CHARS)?,
            labels,
            data: heard.data(&map.data),
            body_sha256,
        })
    }

    /// A CloudEvent must say what anything else may leave out.
    fn or_else(&self, found: Option<String>, field: &str, default: impl FnOnce() -> String) -> Result<String, MapError> {
        match found {
            Some(text) => Ok(text),
            None if self.heard.attributes.is_some() => {
                Err(MapError::field(field, "is missing: a CloudEvent has id, source and type"))
            }
            None => Ok(default()),
        }
    }

    fn time(&self) -> Result<Timestamp, MapError> {
        let Some(text) = self.heard.text(&self.map.time)? else { return Ok(self.received_at) };
        moment(&text).ok_or_else(|| {
            let reason =
                "is not a moment since 1970: send RFC 3339 such as 2026-11-22T14:00:00Z, or Unix seconds or milliseconds";
            MapError::field("time", reason)
        })
    }
}

/// RFC 3339, or a number of seconds or milliseconds since 1970: what would be beyond the year 5000 in seconds is milliseconds.
fn moment(text: &str) -> Option<Timestamp> {
    const YEAR_5000: i64 = 95_617_584_000;
    let time = match text.parse::<i64>() {
        Ok(number) if number < YEAR_5000 => Timestamp::from_second(number).ok()?,
        Ok(number) => Timestamp::from_millisecond(number).ok()?,
        Err(_) => text.parse::<Timestamp>().ok()?,
    };
    (time >= Timestamp::UNIX_EPOCH).then_some(time)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// JSON may be longer when it is written again than it was.
fn storable(event: StoredEvent, raw_bytes: usize) -> Result<StoredEvent, MapError> {
    if raw_bytes <= SAFE_BYTES {
        return Ok(event);
    }
    let mut counted = Counter(0);
    let written = serde_json::to_writer(&mut counted, &event);
    let bytes = if written.is_ok() { counted.0 } else { usize::MAX };
    if bytes > STORED_BYTES { Err(MapError::TooLarge { bytes, limit: STORED_BYTES }) } else { Ok(event) }
}

struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
