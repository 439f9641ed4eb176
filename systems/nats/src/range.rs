//! A range of events by sequence: the server's batched direct get, which any replica answers and which makes no consumer.

use async_nats::header::{NATS_SEQUENCE, NATS_SUBJECT, NATS_TIME_STAMP};
use async_nats::{Message, StatusCode, Subscriber};
use futures::StreamExt;
use jiff::Timestamp;
use serde_json::json;
use tokio::time::timeout;

use crate::connection::ANSWER_LIMIT;
use crate::error::from_leader_get;
use crate::events::StreamEvent;
use crate::streams::EVENTS_STREAM;
use crate::{Nats, NatsError};

/// Messages and bytes of one answer. More bytes at once may make the server drop a slow reader.
const PAGE: u64 = 256;
const PAGE_BYTES: usize = 4 << 20;
const END_OF_BATCH: u16 = 204;

/// The events of `filter` ([`crate::tenant_filter`], [`crate::user_filter`]) that `wanted` wants, with sequences from `first` to
/// `last`, both included, in stream order. `last` names a stored event of `filter`; it waits for nothing that is not there, and
/// what was removed since is left out. No more than a page of unwanted events is held.
///
/// # Errors
/// [`NatsError`]; transient also when a replica that is behind answered.
pub async fn read_range(
    nats: &Nats,
    filter: &str,
    first: u64,
    last: u64,
    wanted: impl Fn(&StreamEvent) -> bool,
) -> Result<Vec<StreamEvent>, NatsError> {
    let mut events: Vec<StreamEvent> = Vec::new();
    let mut from = first.max(1);
    while from <= last {
        let page = page(nats, filter, from, last).await?;
        from = match page.last() {
            Some(event) => event.sequence + 1,
            None => {
                ensure_gone(nats, filter, last).await?;
                break;
            }
        };
        events.extend(page.into_iter().filter(|event| event.sequence <= last && wanted(event)));
    }
    Ok(events)
}

/// The next events of `filter` at or after `from`; none when the answering replica has none.
async fn page(nats: &Nats, filter: &str, from: u64, last: u64) -> Result<Vec<StreamEvent>, NatsError> {
    let action = format!("read {filter} from {from}");
    let api = format!("$JS.API.DIRECT.GET.{EVENTS_STREAM}");
    let batch = PAGE.min(last - from + 1);
    let request = json!({"seq": from, "next_by_subj": filter, "batch": batch, "max_bytes": PAGE_BYTES}).to_string();
    let client = nats.jetstream().client();
    let reading = async {
        let inbox = client.new_inbox();
        let mut replies = client.subscribe(inbox.clone()).await.map_err(|error| NatsError::transient(&action, error))?;
        let sent = client.publish_with_reply(api.clone(), inbox, request.into()).await;
        sent.map_err(|error| NatsError::transient(&action, error))?;
        collect(&action, &mut replies, last).await
    };
    nats.request(&action, &[&api], reading).await
}

async fn collect(action: &str, replies: &mut Subscriber, last: u64) -> Result<Vec<StreamEvent>, NatsError> {
    let mut events = Vec::new();
    loop {
        let Ok(reply) = timeout(ANSWER_LIMIT, replies.next()).await else {
            return Err(NatsError::transient(action, format!("no answer within {ANSWER_LIMIT:?}")));
        };
        let Some(reply) = reply else {
            return Err(NatsError::transient(action, "the connection was closed before the answer was complete"));
        };
        match reply.status.map(|status| status.as_u16()) {
            None | Some(200) => {
                let event =
                    event(reply).ok_or_else(|| NatsError::transient(action, "an answer without sequence, subject or time"))?;
                let done = event.sequence >= last;
                events.push(event);
                if done {
                    return Ok(events);
                }
            }
            Some(END_OF_BATCH) => return Ok(events),
            Some(status) if status == StatusCode::NOT_FOUND.as_u16() => return Ok(events),
            Some(status) => {
                let said = reply.description.as_deref().unwrap_or("no reason given");
                return Err(NatsError::transient(action, format!("{status} {said}")));
            }
        }
    }
}

fn event(reply: Message) -> Option<StreamEvent> {
    let headers = reply.headers.as_ref()?;
    // The server's come after what the publisher may have written.
    let header = |name: &str| headers.get_last(name).map(|value| value.as_str().to_owned());
    let sequence = header(NATS_SEQUENCE.as_ref())?.parse().ok()?;
    let stored_at: Timestamp = header(NATS_TIME_STAMP.as_ref())?.parse().ok()?;
    Some(StreamEvent { sequence, stored_at, subject: header(NATS_SUBJECT.as_ref())?, payload: reply.payload })
}

/// Asks the leader whether `last` is gone, or the replica that answered has not got it yet.
async fn ensure_gone(nats: &Nats, filter: &str, last: u64) -> Result<(), NatsError> {
    let action = format!("read {filter} up to {last}");
    let api = format!("$JS.API.STREAM.MSG.GET.{EVENTS_STREAM}");
    let ask = async {
        let stream = nats.jetstream().get_stream_no_info(EVENTS_STREAM).await;
        let stream = stream.map_err(|error| NatsError::permanent(&action, error))?;
        from_leader_get(&action, stream.get_first_raw_message_by_subject(filter, last).await)
    };
    match nats.request(&action, &[&api], ask).await? {
        Some(message) if message.sequence == last => Err(NatsError::transient(&action, "the answering replica is behind")),
        _ => {
            tracing::warn!(filter, last, "events of the range were removed before it was read");
            Ok(())
        }
    }
}
