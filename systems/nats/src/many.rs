//! Many subjects in one request: the server's batched direct get (`multi_last`, nats-server 2.11 and newer). It answers with one
//! message for each subject that has one, then with status 204.

use std::collections::{BTreeMap, BTreeSet};

use async_nats::header::NATS_SUBJECT;
use async_nats::{Message, StatusCode, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use serde_json::json;
use tokio::time::timeout;

use crate::connection::ANSWER_LIMIT;
use crate::{Nats, NatsError};

/// Subjects of one request: the request stays far below a message's limit, and the server answers 1,024 at most.
const SUBJECTS_AT_ONCE: usize = 256;
const END_OF_BATCH: u16 = 204;
const TOO_MANY: u16 = 413;
const NUM_PENDING: &str = "Nats-Num-Pending";

/// The last message of each of `subjects` that has one.
pub(crate) async fn last_by_subjects(
    nats: &Nats,
    stream: &str,
    subjects: &[String],
) -> Result<BTreeMap<String, Bytes>, NatsError> {
    let mut found = BTreeMap::new();
    for chunk in subjects.chunks(SUBJECTS_AT_ONCE) {
        let mut asked: BTreeSet<&str> = chunk.iter().map(String::as_str).collect();
        // The server ends a batch early when its messages are large; what it left out is asked for again.
        while !asked.is_empty() {
            let answer = ask(nats, stream, &asked).await?;
            asked.retain(|subject| !answer.found.contains_key(*subject));
            let stuck = answer.found.is_empty();
            found.extend(answer.found);
            if !answer.cut_short {
                break;
            }
            if stuck {
                let action = format!("read {} subjects of {stream}", asked.len());
                return Err(NatsError::transient(&action, "the server left all of them for later"));
            }
        }
    }
    Ok(found)
}

#[derive(Default)]
struct Answer {
    found: BTreeMap<String, Bytes>,
    cut_short: bool,
}

async fn ask(nats: &Nats, stream: &str, subjects: &BTreeSet<&str>) -> Result<Answer, NatsError> {
    let action = format!("read {} subjects of {stream}", subjects.len());
    let api = format!("$JS.API.DIRECT.GET.{stream}");
    let request = json!({"multi_last": subjects, "batch": subjects.len()}).to_string();
    let client = nats.jetstream().client();
    let reading = async {
        let inbox = client.new_inbox();
        let mut replies = client.subscribe(inbox.clone()).await.map_err(|error| NatsError::transient(&action, error))?;
        let sent = client.publish_with_reply(api.clone(), inbox, request.into()).await;
        sent.map_err(|error| NatsError::transient(&action, error))?;
        collect(&action, &mut replies).await
    };
    nats.request(&action, &[&api], reading).await
}

async fn collect(action: &str, replies: &mut Subscriber) -> Result<Answer, NatsError> {
    let mut answer = Answer::default();
    loop {
        let Ok(reply) = timeout(ANSWER_LIMIT, replies.next()).await else {
            return Err(NatsError::transient(action, format!("no answer within {ANSWER_LIMIT:?}")));
        };
        let Some(reply) = reply else {
            return Err(NatsError::transient(action, "the connection was closed before the answer was complete"));
        };
        match reply.status.map(|status| status.as_u16()) {
            None | Some(200) => {
                if let Some(subject) = header(&reply, NATS_SUBJECT.as_ref()) {
                    answer.found.insert(subject, reply.payload);
                }
            }
            Some(END_OF_BATCH) => {
                answer.cut_short = header(&reply, NUM_PENDING).is_some_and(|pending| pending != "0");
                return Ok(answer);
            }
            Some(status) if status == StatusCode::NOT_FOUND.as_u16() => return Ok(answer),
            Some(status) => return Err(refusal(action, status, &reply)),
        }
    }
}

fn refusal(action: &str, status: u16, reply: &Message) -> NatsError {
    let said = reply.description.as_deref().unwrap_or("no reason given");
    if status == StatusCode::TIMEOUT.as_u16() || status == TOO_MANY {
        // 408 is this API's "bad request": a server that does not know `multi_last` finds nothing in it.
        return NatsError::permanent(action, format!("{status} {said}: it takes nats-server 2.11 or newer"));
    }
    NatsError::transient(action, format!("{status} {said}"))
}

fn header(reply: &Message, name: &str) -> Option<String> {
    Some(reply.headers.as_ref()?.get(name)?.as_str().to_owned())
}
