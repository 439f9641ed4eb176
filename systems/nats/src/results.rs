//! Results of attempts: one message a subject, the first wins.

use std::time::SystemTime;

use async_nats::HeaderMap;
use async_nats::jetstream::message::StreamMessage;
use bytes::Bytes;

use crate::error::{from_direct_get, from_leader_get};
use crate::many::last_by_subjects;
use crate::streams::RESULTS_STREAM;
use crate::write_once::publish_once;
use crate::{Nats, NatsError, Publication};

/// Up to so many subjects are read one by one, above in one request.
const ONE_BY_ONE: usize = 2;

/// Publishes a result and waits until it is stored. `subject` is made by [`crate::result_subject`]. Safe to repeat; after a
/// transient error it may still arrive, so repeat it with the same payload.
///
/// # Errors
/// [`NatsError`]; a subject outside the user's permissions is permanent and named.
pub async fn publish_result(nats: &Nats, subject: &str, payload: Bytes) -> Result<Publication, NatsError> {
    publish_once(nats, subject, HeaderMap::new(), payload).await
}

/// Reads the results of `subjects`, in their order, leaving out those that have none yet. With more than one replica a read
/// may be answered by one that is milliseconds behind: what is missing now is there at the next look.
///
/// # Errors
/// [`NatsError`] of the first read that fails; a missing result is no error.
pub async fn read_results(nats: &Nats, subjects: &[String]) -> Result<Vec<(String, Bytes)>, NatsError> {
    if subjects.len() > ONE_BY_ONE {
        let mut found = last_by_subjects(nats, RESULTS_STREAM, subjects).await?;
        return Ok(subjects.iter().filter_map(|subject| found.remove_entry(subject)).collect());
    }
    let mut found = Vec::new();
    for subject in subjects {
        let message = last_by_subject(nats, RESULTS_STREAM, subject).await?;
        found.extend(message.map(|message| (subject.clone(), message.payload)));
    }
    Ok(found)
}

/// When the result of `subject` was stored, by the server's clock; `None` when there is none yet.
///
/// # Errors
/// As [`read_results`].
pub async fn result_stored_at(nats: &Nats, subject: &str) -> Result<Option<SystemTime>, NatsError> {
    Ok(last_by_subject(nats, RESULTS_STREAM, subject).await?.map(|message| message.time.into()))
}

/// The last message of `subject`, from whichever replica answers.
pub(crate) async fn last_by_subject(nats: &Nats, stream: &str, subject: &str) -> Result<Option<StreamMessage>, NatsError> {
    let action = format!("read {subject}");
    let api = format!("$JS.API.DIRECT.GET.{stream}.{subject}");
    let read = async {
        let stream = nats.jetstream().get_stream_no_info(stream).await.map_err(|error| NatsError::permanent(&action, error))?;
        from_direct_get(&action, stream.direct_get_last_for_subject(subject).await)
    };
    nats.request(&action, &[&api], read).await
}

/// The last message of `subject`, from the leader: nothing that was acknowledged is missing.
pub(crate) async fn last_at_leader(nats: &Nats, stream: &str, subject: &str) -> Result<Option<StreamMessage>, NatsError> {
    let action = format!("read {subject}");
    let api = format!("$JS.API.STREAM.MSG.GET.{stream}");
    let read = async {
        let stream = nats.jetstream().get_stream_no_info(stream).await.map_err(|error| NatsError::permanent(&action, error))?;
        from_leader_get(&action, stream.get_last_raw_message_by_subject(subject).await)
    };
    nats.request(&action, &[&api], read).await
}

/// The first message of `filter` at or after sequence `from` (0: of all), from the leader.
pub(crate) async fn next_at_leader(
    nats: &Nats,
    action: &str,
    stream: &str,
    filter: &str,
    from: u64,
) -> Result<Option<StreamMessage>, NatsError> {
    let api = format!("$JS.API.STREAM.MSG.GET.{stream}");
    let read = async {
        let stream = nats.jetstream().get_stream_no_info(stream).await.map_err(|error| NatsError::permanent(action, error))?;
        from_leader_get(action, stream.get_first_raw_message_by_subject(filter, from.max(1)).await)
    };
    nats.request(action, &[&api], read).await
}
