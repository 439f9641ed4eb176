//! Messages nobody could handle: set aside in the stream DLQ, looked at, sent again.

use async_nats::HeaderMap;
use async_nats::jetstream;
use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::DeleteMessageErrorKind;
use bytes::Bytes;
use jiff::Timestamp;
use std::time::SystemTime;

use crate::error::from_server;
use crate::results::{last_at_leader, next_at_leader};
use crate::subjects::DLQ;
use crate::write_once::{publish_after, publish_once};
use crate::{Nats, NatsError, Publication};

const LONGEST_REASON: usize = 1024;
const REASON: &str = "Trackway-Reason";
const SUBJECT: &str = "Trackway-Origin-Subject";
const SEQUENCE: &str = "Trackway-Origin-Sequence";
/// On a message that was sent again: the letter it came from.
const REPLAYED: &str = "Trackway-Replayed";

/// A message that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// What it is called: its sequence in DLQ.
    pub id: u64,
    /// The stream it comes from, for example `BATCH_READY`.
    pub origin: String,
    /// Its subject there.
    pub subject: String,
    /// Its sequence there; `None` in letters of versions that did not note it.
    pub sequence: Option<u64>,
    /// Why nobody could handle it; one line.
    pub reason: String,
    /// When it was set aside.
    pub stored_at: Timestamp,
    /// The message as it was.
    pub payload: Bytes,
}

/// What became of a letter that was sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replay {
    /// The message is the newest of its stream now, and the letter is gone.
    Sent,
    /// It had been sent before, by a replay that was cut off; the letter is gone now.
    SentBefore,
}

/// Sets aside a message that no trying again will help with: a copy at `DLQ.<subject>`, write-once, with why and where from. `sequence`:
/// of the message in its stream, which the first token of `subject` names. Safe to repeat; the first reason stays. After it the
/// caller may go on as if the message had been handled.
///
/// # Errors
/// [`NatsError`].
pub async fn dead_letter(
    nats: &Nats,
    subject: &str,
    sequence: u64,
    reason: &str,
    payload: Bytes,
) -> Result<Publication, NatsError> {
    publish_once(nats, &format!("{DLQ}.{subject}"), envelope(subject, sequence, reason), payload).await
}

/// What every letter says of its message.
pub(crate) fn envelope(subject: &str, sequence: u64, reason: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(REASON, header_text(reason).as_str());
    headers.insert(SUBJECT, subject);
    headers.insert(SEQUENCE, sequence.to_string().as_str());
    headers
}

/// The oldest `limit` letters after letter `after` (0: from the first), oldest first.
///
/// # Errors
/// [`NatsError`].
pub async fn dead_letters(nats: &Nats, after: u64, limit: usize) -> Result<Vec<DeadLetter>, NatsError> {
    let mut letters: Vec<DeadLetter> = Vec::new();
    let mut after = after;
    while letters.len() < limit {
        let Some(message) = next(nats, after.saturating_add(1)).await? else { break };
        after = message.sequence;
        letters.push(letter(message)?);
    }
    Ok(letters)
}

/// The letter of this id; `None` when there is none (any more).
///
/// # Errors
/// [`NatsError`].
pub async fn get_dead_letter(nats: &Nats, id: u64) -> Result<Option<DeadLetter>, NatsError> {
    match next(nats, id).await?.filter(|message| message.sequence == id) {
        Some(message) => letter(message).map(Some),
        None => Ok(None),
    }
}

/// Sends a letter's message again, to all who read its stream, and throws the letter away. The dead message makes room first, for
/// its subject takes one message only. Safe to repeat: what is cut off between two steps is finished by the next call, and the
/// message is sent once.
///
/// # Errors
/// [`NatsError`]; permanent when the subject has a newer message that is not of this letter.
pub async fn replay(nats: &Nats, letter: &DeadLetter) -> Result<Replay, NatsError> {
    let action = format!("replay dead letter {}", letter.id);
    let id = letter.id.to_string();
    let found = last_at_leader(nats, &letter.origin, &letter.subject).await?;
    let is_ours = |message: &StreamMessage| message.headers.get(REPLAYED).is_some_and(|replayed| replayed.as_str() == id);
    let outcome = match found {
        Some(message) if is_ours(&message) => Replay::SentBefore,
        Some(message) if letter.sequence.is_some_and(|sequence| sequence != message.sequence) => {
            let reason = format!(
                "{} has a newer message, of sequence {}: nothing is lost if that is what you want, else delete it from {} first",
                letter.subject, message.sequence, letter.origin
            );
            return Err(NatsError::permanent(&action, reason));
        }
        found => {
            if let Some(message) = found {
                delete(nats, &letter.origin, message.sequence).await?;
            }
            let mut headers = HeaderMap::new();
            headers.insert(REPLAYED, id.as_str());
            let sent = publish_after(nats, &letter.subject, headers, letter.payload.clone(), 0).await?;
            sent.map(|_| Replay::Sent).ok_or_else(|| NatsError::transient(&action, "somebody else sends it at this moment"))?
        }
    };
    delete(nats, DLQ, letter.id).await?;
    Ok(outcome)
}

/// The first letter at or after sequence `from`, from the leader.
async fn next(nats: &Nats, from: u64) -> Result<Option<StreamMessage>, NatsError> {
    next_at_leader(nats, "read dead letters", DLQ, &format!("{DLQ}.>"), from).await
}

async fn delete(nats: &Nats, stream: &str, sequence: u64) -> Result<(), NatsError> {
    let action = format!("delete message {sequence} of {stream}");
    let api = format!("$JS.API.STREAM.MSG.DELETE.{stream}");
    let delete = async {
        let stream = nats.jetstream().get_stream_no_info(stream).await.map_err(|error| NatsError::permanent(&action, error))?;
        match stream.delete_message(sequence).await {
            Ok(_) => Ok(()),
            Err(error) => match error.kind() {
                DeleteMessageErrorKind::JetStream(answer) if is_gone(&answer) => Ok(()),
                DeleteMessageErrorKind::JetStream(answer) => Err(from_server(&action, &answer)),
                DeleteMessageErrorKind::Request | DeleteMessageErrorKind::TimedOut => Err(NatsError::transient(&action, error)),
            },
        }
    };
    nats.request(&action, &[&api], delete).await
}

/// The server says under one code that it cannot delete; only the words tell that there is nothing to delete.
fn is_gone(answer: &jetstream::Error) -> bool {
    let failed = answer.error_code() == jetstream::ErrorCode::STREAM_MESSAGE_DELETE_FAILED;
    answer.error_code() == jetstream::ErrorCode::SEQUENCE_NOT_FOUND || failed && answer.to_string().contains("no message found")
}

fn letter(message: StreamMessage) -> Result<DeadLetter, NatsError> {
    let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_owned());
    let after_prefix = || message.subject.split_once('.').map(|(_, rest)| rest.to_owned());
    let subject = header(SUBJECT).or_else(after_prefix).unwrap_or_default();
    let stored_at =
        Timestamp::try_from(SystemTime::from(message.time)).map_err(|error| NatsError::permanent("read a dead letter", error))?;
    Ok(DeadLetter {
        id: message.sequence,
        origin: subject.split('.').next().unwrap_or_default().to_owned(),
        sequence: header(SEQUENCE).and_then(|text| text.parse().ok()),
        reason: header(REASON).unwrap_or_default(),
        stored_at,
        subject,
        payload: message.payload,
    })
}

/// A header is one line; the cut is at a character's boundary.
fn header_text(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let end = (0..=LONGEST_REASON.min(line.len())).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
    line[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_becomes_one_line_of_bounded_length() {
        assert_eq!(header_text("not JSON:\r\nline 1"), "not JSON:  line 1");
        assert_eq!(header_text(&"é".repeat(1000)).len(), 1024);
    }
}
