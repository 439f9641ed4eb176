//! CloudEvents 1.0 over HTTP: binary, structured and batch.

use crate::{
    body,
    convert::of_mapping,
    media::{self, Media},
    problem::{Kind, Problem},
};
use http::{HeaderMap, header};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use trackway_sources::CloudEvent;

/// What a header of binary mode begins with.
const PREFIX: &str = "ce-";
/// The attributes an event of binary mode is recognised by, beside id and source. Others, such as those of tracing, may differ
/// from one sending to the next.
const SAID: [&str; 4] = ["type", "subject", "time", "dataschema"];

/// Most events of one batch.
pub const MAX_BATCH: usize = 1_000;

/// One event as its sender wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct Written {
    /// What it says.
    pub event: CloudEvent,
    /// SHA-256 of what the sender wrote.
    pub sha256: String,
}

/// How a request holds its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Attributes in headers, the body is the data.
    Binary,
    /// One JSON object.
    Structured,
    /// A JSON list of objects.
    Batch,
}

impl Mode {
    /// What the headers say.
    ///
    /// # Errors
    /// When they are none of a CloudEvent, or of one in another format than JSON.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let media = Media::of(headers)?;
        match media.essence() {
            "application/cloudevents+json" => Ok(Self::Structured),
            "application/cloudevents-batch+json" => Ok(Self::Batch),
            other if other.starts_with("application/cloudevents") => Err(media::unsupported(
                "CloudEvents are read as JSON; send application/cloudevents+json or application/cloudevents-batch+json",
            )),
            _ if headers.contains_key("ce-specversion") => Ok(Self::Binary),
            _ => Err(media::unsupported(
                "this is no CloudEvent; send application/cloudevents+json, application/cloudevents-batch+json, or the headers ce-specversion, ce-id, ce-source and ce-type",
            )),
        }
    }
}

/// An event of binary mode.
///
/// # Errors
/// When a header or the body cannot be read.
pub fn binary(headers: &HeaderMap, body: &[u8]) -> Result<Written, Problem> {
    let mut attributes = BTreeMap::new();
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix(PREFIX) else { continue };
        let problem = |detail| Problem::new(Kind::Malformed, detail).about(name.as_str());
        let text = header_text(value.as_bytes()).ok_or_else(|| problem("the header is no percent-encoded UTF-8"))?;
        if attributes.insert(attribute.to_owned(), text).is_some() {
            return Err(problem("the header is there twice; send it once"));
        }
    }
    let mut hash = Sha256::new();
    for attribute in SAID {
        let said = attributes.get(attribute).map_or("", String::as_str);
        hash.update(u64::try_from(said.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(said);
    }
    let sha256 = hex::encode(hash.chain_update(body).finalize());
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let event = CloudEvent::binary(attributes, media, body).map_err(|error| of_mapping(&error))?;
    Ok(Written { event, sha256 })
}

/// An event of structured mode.
///
/// # Errors
/// When it is no CloudEvent.
pub fn structured(body: &[u8]) -> Result<Written, Problem> {
    let body = body.trim_ascii();
    let event = trackway_sources::json(body).map_err(|error| of_mapping(&error))?;
    if !event.is_object() {
        return Err(Problem::new(Kind::Malformed, "the event is no JSON object"));
    }
    let event = CloudEvent::structured(event).map_err(|error| of_mapping(&error))?;
    Ok(Written { event, sha256: trackway_crds::names::sha256_hex(body) })
}

/// The events of a batch in order, each as [`structured`] reads it and with its length, which is at most `limit`.
///
/// # Errors
/// When it is no list, is empty or too long, or one of them cannot be read: `field` says which, `events[<index>]`.
pub fn batch(body: &[u8], limit: usize) -> Result<Vec<(Written, usize)>, Problem> {
    let raw: Vec<&RawValue> = serde_json::from_slice(body).map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        Problem::new(Kind::Malformed, format!("the body is no JSON list of events: see {place}"))
    })?;
    if !(1..=MAX_BATCH).contains(&raw.len()) {
        let detail = format!("a batch holds 1 to {MAX_BATCH} events, this one has {}", raw.len());
        return Err(Problem::new(Kind::Invalid, detail));
    }
    let read = |(index, raw): (usize, &&RawValue)| {
        let text = raw.get().as_bytes();
        let fits = text.len() <= limit;
        let written = if fits { structured(text) } else { Err(body::too_large(limit)) };
        written.map(|written| (written, text.len())).map_err(|problem| of_event(index, problem))
    };
    raw.iter().enumerate().map(read).collect()
}

/// The problem with one event of a batch.
#[must_use]
pub fn of_event(index: usize, problem: Problem) -> Problem {
    let field = match &problem.field {
        Some(field) => format!("events[{index}].{field}"),
        None => format!("events[{index}]"),
    };
    problem.about(field)
}

/// The text of a header of binary mode: without quotes, percent-decoded once.
fn header_text(value: &[u8]) -> Option<String> {
    let unquoted = match value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")) {
        Some(quoted) => unescaped(quoted),
        None => value.to_vec(),
    };
    let text = match std::str::from_utf8(&unquoted) {
        Ok(text) => percent_encoding::percent_decode_str(text).decode_utf8().ok()?.into_owned(),
        // Node writes headers in Latin-1, and its SDK encodes nothing.
        Err(_) => unquoted.iter().map(|byte| char::from(*byte)).collect(),
    };
    (!text.chars().any(char::is_control)).then_some(text)
}

/// A quoted string's content: a backslash stands for the byte after it.
fn unescaped(quoted: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(quoted.len());
    let mut escaped = false;
    for byte in quoted {
        if *byte == b'\\' && !escaped {
            escaped = true;
        } else {
            escaped = false;
            text.push(*byte);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use serde_json::json;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        pairs.iter().map(pair).collect()
    }

    const USUAL: [(&str, &str); 4] = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];

    #[test]
    fn headers_say_the_mode() {
        let mode = |pairs: &[(&'static str, &str)]| Mode::of(&headers(pairs)).map_err(|problem| problem.kind);
        assert_eq!(mode(&[("content-type", "application/cloudevents+json; charset=UTF-8")]), Ok(Mode::Structured));
        assert_eq!(mode(&[("content-type", "Application/CloudEvents-Batch+JSON")]), Ok(Mode::Batch));
        assert_eq!(mode(&[("content-type", "text/plain"), ("ce-specversion", "1.0")]), Ok(Mode::Binary));
        assert_eq!(mode(&[("content-type", "application/cloudevents+avro")]), Err(Kind::UnsupportedMedia));
        assert_eq!(mode(&[("content-type", "application/json")]), Err(Kind::UnsupportedMedia));
        assert_eq!(mode(&[]), Err(Kind::UnsupportedMedia));
    }

    #[test]
    fn a_binary_event_is_read_as_if_it_were_structured() {
        let mut pairs = USUAL.to_vec();
        pairs.extend([
            ("content-type", "application/json"),
            ("ce-subject", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
            ("ce-team", "\"a\\\"b\""),
        ]);
        let written = binary(&headers(&pairs), br#"{"a":1}"#).unwrap();
        let attributes =
            [("specversion", "1.0"), ("id", "1"), ("source", "/s"), ("type", "t"), ("subject", "Euro € 😀"), ("team", "a\"b")];
        let attributes = attributes.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(written.event, CloudEvent { attributes, data: json!({"a": 1}) });
    }

    #[test]
    fn a_header_is_utf_8_in_percents_or_latin_1() {
        for (value, text) in [
            (&b"a%20b"[..], Some("a b")),
            (b"\xe9t\xe9", Some("été")),
            ("été".as_bytes(), Some("été")),
            (b"%e9", None),
            (b"%0a", None),
            (b"100%", Some("100%")),
        ] {
            assert_eq!(header_text(value).as_deref(), text, "{value:?}");
        }
    }

    #[test]
    fn what_an_event_said_is_told_apart_and_what_tracing_adds_is_not() {
        let sha = |extra: &[(&'static str, &str)], body: &[u8]| {
            binary(&headers(&[USUAL.to_vec(), extra.to_vec()].concat()), body).unwrap().sha256
        };
        let usual = sha(&[], b"1");
        assert_eq!(sha(&[("ce-traceparent", "00-1")], b"1"), usual);
        assert_ne!(sha(&[("ce-subject", "x")], b"1"), usual);
        assert_ne!(sha(&[], b"2"), usual);
        assert_ne!(sha(&[("ce-subject", "x")], b"1"), sha(&[("ce-time", "x")], b"1"));
    }

    #[test]
    fn a_batch_is_read_one_by_one() {
        let one = r#"{"specversion": "1.0", "id": "a", "data": 1}"#;
        let read = batch(format!(" [ {one} ,{one}] ").as_bytes(), 100).unwrap();
        let alone = structured(one.as_bytes()).unwrap();
        assert_eq!(read, [(alone.clone(), one.len()), (alone, one.len())]);
        let long = format!("[{one}, {{\"x\": \"{}\"}}]", "x".repeat(100));
        let many = format!("[{}0]", "0,".repeat(MAX_BATCH));
        for (body, kind, field) in [
            ("[]", Kind::Invalid, None),
            ("{}", Kind::Malformed, None),
            (&many, Kind::Invalid, None),
            (&long, Kind::TooLarge, Some("events[1]")),
            ("[1]", Kind::Malformed, Some("events[0]")),
        ] {
            let problem = batch(body.as_bytes(), 100).unwrap_err();
            assert_eq!((problem.kind, problem.field.as_deref()), (kind, field), "{body}");
        }
    }
}
