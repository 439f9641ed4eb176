//! From messages to events.

use std::sync::Arc;

use crate::partitions::range::Sequenced;
use trackway_nats::StreamEvent;
use trackway_service::read_event;

/// A message that is no event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// Which of the messages.
    pub(crate) index: usize,
    /// Why.
    pub(crate) reason: String,
}

/// The events among `messages`, and which messages are none. On a thread of its own: a range may have many megabytes.
pub(crate) async fn read(messages: Arc<Vec<StreamEvent>>) -> (Vec<Sequenced>, Vec<Unreadable>) {
    let task = tokio::task::spawn_blocking(move || read_all(&messages));
    match task.await {
        Ok(found) => found,
        // Nothing in it panics, and the runtime cancels it only when the process ends.
        Err(_) => std::future::pending().await,
    }
}

fn read_all(messages: &[StreamEvent]) -> (Vec<Sequenced>, Vec<Unreadable>) {
    let (mut events, mut unreadable) = (Vec::with_capacity(messages.len()), Vec::new());
    for (index, message) in messages.iter().enumerate() {
        match read_event(message) {
            Ok(event) => events.push(Sequenced { sequence: message.sequence, event }),
            Err(reason) => unreadable.push(Unreadable { index, reason }),
        }
    }
    (events, unreadable)
}
