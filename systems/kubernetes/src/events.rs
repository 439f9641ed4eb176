//! Events: the story of a run as `kubectl describe` tells it.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use trackway_crds::text;

use crate::within;

/// The API server's limit is 1 kB.
const NOTE_BYTES: usize = 1000;
/// The API server's limit.
const ACTION_CHARS: usize = 128;

/// One sentence of the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence<'a> {
    /// Shown as a warning.
    pub warning: bool,
    /// One CamelCase word, for example `StageRetried`.
    pub reason: &'a str,
    /// The stage it is about.
    pub stage: Option<&'a str>,
    /// The attempt it is about.
    pub attempt: Option<u32>,
    /// What happened, for people; cut to 1 kB.
    pub note: &'a str,
}

/// A recorder that signs as `controller`, for example `trackway-operator`, and `instance`, the pod's name.
#[must_use]
pub fn recorder(client: Client, controller: &str, instance: Option<String>) -> Recorder {
    Recorder::new(client, Reporter { controller: controller.to_owned(), instance })
}

/// Publishes `sentence` about `object`. Events are for people only: one that cannot be published is logged and forgotten.
pub async fn publish(recorder: &Recorder, object: &ObjectReference, sentence: &Sentence<'_>) {
    let event = event(sentence);
    let name = object.name.as_deref().unwrap_or_default();
    if let Err(error) = within(&format!("publish event {} of {name}", sentence.reason), recorder.publish(&event, object)).await {
        tracing::warn!(%error, note = sentence.note, "event lost");
    }
}

fn event(sentence: &Sentence<'_>) -> Event {
    Event {
        type_: if sentence.warning { EventType::Warning } else { EventType::Normal },
        reason: sentence.reason.to_owned(),
        note: Some(text::cut(sentence.note, NOTE_BYTES)),
        action: action(sentence),
        secondary: None,
    }
}

/// The recorder joins events that differ only in their note; stage and attempt here keep two of them apart.
fn action(sentence: &Sentence<'_>) -> String {
    let action = match (sentence.stage, sentence.attempt) {
        (Some(stage), Some(attempt)) => format!("{}/{stage}/{attempt}", sentence.reason),
        (Some(stage), None) => format!("{}/{stage}", sentence.reason),
        (None, _) => sentence.reason.to_owned(),
    };
    action.chars().take(ACTION_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRIED: Sentence<'static> =
        Sentence { warning: false, reason: "StageRetried", stage: Some("insights"), attempt: Some(2), note: "score 0.62" };

    #[test]
    fn two_attempts_of_a_stage_are_two_events() {
        let again = Sentence { attempt: Some(3), ..RETRIED };
        assert_eq!(event(&RETRIED).action, "StageRetried/insights/2");
        assert_ne!(event(&RETRIED).action, event(&again).action);
    }

    #[test]
    fn a_note_fits_the_api_servers_limit() {
        let long = "é".repeat(4000);
        let note = event(&Sentence { note: &long, ..RETRIED }).note.unwrap();
        assert!(note.len() <= 1000 && note.ends_with('…'));
    }
}
