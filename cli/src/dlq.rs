//! `dlq`: messages nobody could handle.

use crate::{
    args::{DlqArgs, DlqVerb, Global},
    cluster::Cluster,
    exit::Outcome,
    label::labelled,
    reach::Reach,
    screen::{Format, Screen},
    table::Table,
};
use anyhow::anyhow;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use trackway_nats::{DeadLetter, Nats, NatsError, Replay, dead_letters, get_dead_letter, replay};

/// Letters that are read before the next ones are asked for.
const AT_ONCE: usize = 100;

/// A letter for scripts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    id: u64,
    origin: &'a str,
    subject: &'a str,
    sequence: Option<u64>,
    reason: &'a str,
    stored_at: Timestamp,
    bytes: usize,
    /// As JSON if it is, else as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Value>,
}

/// What became of one letter, for scripts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replayed<'a> {
    id: u64,
    subject: &'a str,
    sent: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) async fn run(global: &Global, args: &DlqArgs, screen: &mut Screen) -> anyhow::Result<Outcome> {
    let cluster = Cluster::connect(global).await?;
    let (_reach, nats) = Reach::store_and_nats(&cluster, &args.reach, screen).await?;
    match &args.verb {
        DlqVerb::List { after, limit } => list(&nats, *after, *limit, screen).await,
        DlqVerb::Show { id } => show(&nats, *id, screen).await,
        DlqVerb::Replay { ids, all: false } => replay_some(&nats, ids, screen).await,
        DlqVerb::Replay { all: true, .. } => replay_all(&nats, screen).await,
    }
}

async fn list(nats: &Nats, after: u64, limit: usize, screen: &mut Screen) -> anyhow::Result<Outcome> {
    let letters = dead_letters(nats, after, limit).await?;
    if screen.format != Format::People {
        let shown: Vec<Shown<'_>> = letters.iter().map(|letter| shown(letter, false)).collect();
        screen.data(screen.format, &shown)?;
        return Ok(Outcome::Good);
    }
    if letters.is_empty() {
        screen.note("no dead letters");
        return Ok(Outcome::Good);
    }
    screen.say(&table(&letters))?;
    if let Some(last) = letters.last().filter(|_| letters.len() == limit) {
        screen.note(&format!("there may be more: --after {}", last.id));
    }
    Ok(Outcome::Good)
}

fn table(letters: &[DeadLetter]) -> String {
    let headings = ["ID", "SINCE", "BYTES", "SUBJECT", "REASON"];
    let cells = |letter: &DeadLetter| {
        let since = letter.stored_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let (bytes, subject, reason) = (letter.payload.len().to_string(), letter.subject.clone(), letter.reason.clone());
        [letter.id.to_string(), since, bytes, subject, reason]
    };
    let rows: Vec<[String; 5]> = letters.iter().map(cells).collect();
    let mut table = Table::new(&headings);
    rows.iter().for_each(|row| table.fit(row));
    let heading = table.row(&headings.map(str::to_owned));
    rows.iter().fold(heading, |text, row| text + &table.row(row))
}

async fn show(nats: &Nats, id: u64, screen: &mut Screen) -> anyhow::Result<Outcome> {
    let letter = get_dead_letter(nats, id).await?.ok_or_else(|| no_such_letter(id))?;
    let whole = shown(&letter, true);
    if screen.format != Format::People {
        screen.data(screen.format, &whole)?;
        return Ok(Outcome::Good);
    }
    let sequence = letter.sequence.map(|sequence| format!(", sequence {sequence}")).unwrap_or_default();
    let lines = [
        ("subject", format!("{}{sequence}", letter.subject)),
        ("set aside", letter.stored_at.to_string()),
        ("reason", letter.reason.clone()),
        ("bytes", letter.payload.len().to_string()),
    ];
    let head: String = lines.iter().map(|(label, text)| labelled(label, text)).collect();
    let payload = match whole.payload {
        Some(Value::String(text)) => text,
        Some(value) => serde_json::to_string_pretty(&value)?,
        None => String::new(),
    };
    screen.say(&format!("{head}\n{payload}\n"))?;
    Ok(Outcome::Good)
}

fn shown(letter: &DeadLetter, whole: bool) -> Shown<'_> {
    let payload = || {
        let text = || Value::String(String::from_utf8_lossy(&letter.payload).into_owned());
        serde_json::from_slice(&letter.payload).unwrap_or_else(|_| text())
    };
    Shown {
        id: letter.id,
        origin: &letter.origin,
        subject: &letter.subject,
        sequence: letter.sequence,
        reason: &letter.reason,
        stored_at: letter.stored_at,
        bytes: letter.payload.len(),
        payload: whole.then(payload),
    }
}

async fn replay_some(nats: &Nats, ids: &[u64], screen: &mut Screen) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::Good;
    for id in ids {
        let letter = get_dead_letter(nats, *id).await?.ok_or_else(|| no_such_letter(*id))?;
        if !replay_one(nats, &letter, screen).await? {
            outcome = Outcome::Bad;
        }
    }
    Ok(outcome)
}

/// What is set aside again meanwhile has a higher id than any there was, and waits for the next call.
async fn replay_all(nats: &Nats, screen: &mut Screen) -> anyhow::Result<Outcome> {
    let started = Timestamp::now();
    let (mut after, mut outcome) = (0, Outcome::Good);
    loop {
        let letters = dead_letters(nats, after, AT_ONCE).await?;
        let Some(last) = letters.last() else { return Ok(outcome) };
        after = last.id;
        for letter in &letters {
            if letter.stored_at > started {
                return Ok(outcome);
            }
            if !replay_one(nats, letter, screen).await? {
                outcome = Outcome::Bad;
            }
        }
    }
}

/// Whether it was sent. One that cannot be sent does not keep the others from it; NATS being away does.
async fn replay_one(nats: &Nats, letter: &DeadLetter, screen: &mut Screen) -> anyhow::Result<bool> {
    let (text, error) = match replay(nats, letter).await {
        Ok(Replay::Sent) => ("sent again".to_owned(), None),
        Ok(Replay::SentBefore) => ("had been sent again before".to_owned(), None),
        Err(error @ NatsError::Permanent { .. }) => (format!("not sent: {error}"), Some(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let sent = error.is_none();
    if screen.format == Format::People {
        screen.say(&format!("{}   {}   {text}\n", letter.id, letter.subject))?;
    } else {
        screen.line(&Replayed { id: letter.id, subject: &letter.subject, sent, error })?;
    }
    Ok(sent)
}

fn no_such_letter(id: u64) -> anyhow::Error {
    anyhow!("there is no dead letter {id}: kubectl trackway dlq list shows those there are")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn letter(id: u64, payload: &'static [u8]) -> DeadLetter {
        DeadLetter {
            id,
            origin: "BATCH_READY".to_owned(),
            subject: "BATCH_READY.High.b1".to_owned(),
            sequence: Some(7),
            reason: "batch.tenant: is empty".to_owned(),
            stored_at: "2026-11-22T14:00:05.25Z".parse().unwrap(),
            payload: payload.into(),
        }
    }

    #[test]
    fn the_list_lines_up() {
        let text = table(&[letter(3, b"{}"), letter(12, b"0123456789")]);
        let expected = "ID   SINCE                  BYTES   SUBJECT               REASON\n\
                        3    2026-11-22T14:00:05Z   2       BATCH_READY.High.b1   batch.tenant: is empty\n\
                        12   2026-11-22T14:00:05Z   10      BATCH_READY.High.b1   batch.tenant: is empty\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_payload_is_shown_as_json_if_it_is_and_else_as_text() {
        assert_eq!(shown(&letter(1, br#"{"a": 1}"#), true).payload, Some(json!({"a": 1})));
        assert_eq!(shown(&letter(1, b"{oops"), true).payload, Some(json!("{oops")));
        assert_eq!(shown(&letter(1, b"{}"), false).payload, None);
    }
}
