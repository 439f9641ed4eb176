//! Results as they came. A subject has one message for ever, so what was heard once need not be read again while its try is open.

use super::open::Open;
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, HashSet};
use trackway_crds::contracts::{CONTRACT, StageResult};
use trackway_plan::ArrivedResult;

/// While tries are open and everything is heard as it comes, the stream is asked again after so long.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(3);
/// What is not open is kept so long: the status that opens it may not be known yet.
const EARLY: SignedDuration = SignedDuration::from_secs(30);
/// How long a result may wait for its pod to be seen. After that it is nobody's, and the planner is not told again.
const STRANGER: SignedDuration = SignedDuration::from_secs(10);
/// Most subjects of one run; more than can be open are somebody's mistake.
const MOST: usize = 2048;
/// Most bytes of a result; ours have two thirds of it, most of that questions.
const MAX_BYTES: usize = 24 << 10;

/// What was heard of one run.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    by_subject: HashMap<String, Message>,
    asked_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Message {
    /// `None`: not a result; the subject is spent all the same.
    result: Option<StageResult>,
    arrived_at: Timestamp,
    counted: bool,
}

impl Heard {
    /// Keeps the message of `subject`; the first time counts. Returns whether it can count as a result.
    pub(crate) fn hear(&mut self, subject: &str, payload: &[u8], at: Timestamp) -> bool {
        if let Some(known) = self.by_subject.get(subject) {
            return known.result.is_some();
        }
        let result = parse(subject, payload);
        let readable = result.is_some();
        if self.by_subject.len() < MOST {
            self.by_subject.insert(subject.to_owned(), Message { result, arrived_at: at, counted: false });
        }
        readable
    }

    /// Whether the message of `subject` is known.
    pub(crate) fn knows(&self, subject: &str) -> bool {
        self.by_subject.contains_key(subject)
    }

    /// Forgets what is not open any more.
    pub(crate) fn keep_open(&mut self, open: &Open, now: Timestamp) {
        let subjects: HashSet<&str> = open.tries.iter().map(|open| open.subject.as_str()).collect();
        let early = |message: &Message| now.duration_since(message.arrived_at) < EARLY;
        self.by_subject.retain(|subject, message| subjects.contains(subject.as_str()) || early(message));
    }

    /// Results of open tries, in their order; those of pods that were never `seen` only for a while.
    pub(crate) fn results(&self, open: &Open, seen: &HashSet<&str>, now: Timestamp) -> Vec<ArrivedResult> {
        let result = |subject: &str| {
            let message = self.by_subject.get(subject)?;
            let result = message.result.as_ref()?;
            let counts = seen.contains(result.pod.as_str()) || now.duration_since(message.arrived_at) < STRANGER;
            counts.then(|| ArrivedResult { result: result.clone(), arrived_at: message.arrived_at })
        };
        open.tries.iter().filter_map(|open| result(&open.subject)).collect()
    }

    /// Whether the stream is to be asked for what is missing although nothing says that it has come.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.asked_at.is_none_or(|asked| now.duration_since(asked) >= ASK_AGAIN)
    }

    /// The stream was asked for everything that is open.
    pub(crate) fn asked(&mut self, now: Timestamp) {
        self.asked_at = Some(now);
    }

    /// Something may have come unheard.
    pub(crate) fn ask_again(&mut self) {
        self.asked_at = None;
    }

    /// Whether a result that does not count is counted as such for the first time.
    pub(crate) fn first_ignored(&mut self, subject: &str) -> bool {
        self.by_subject.get_mut(subject).is_none_or(|message| !std::mem::replace(&mut message.counted, true))
    }
}

fn parse(subject: &str, payload: &[u8]) -> Option<StageResult> {
    let refused = |why: &dyn std::fmt::Display| tracing::warn!(subject, "a result does not count: {why}");
    if payload.len() > MAX_BYTES {
        refused(&format_args!("it has {} bytes, more than {MAX_BYTES}", payload.len()));
        return None;
    }
    match serde_json::from_slice::<StageResult>(payload) {
        Ok(result) if result.contract == CONTRACT => Some(result),
        Ok(result) => {
            refused(&format_args!("it follows contract {}, this operator knows {CONTRACT}", result.contract));
            None
        }
        Err(error) => {
            refused(&error);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::open::OpenTry;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn subject(index: u32) -> String {
        format!("RESULTS.n.r.s.1.1.{index}")
    }

    fn open(indexes: &[u32]) -> Open {
        let tries = indexes.iter().map(|index| OpenTry { subject: subject(*index), index: *index, attempt: 1, try_: 1 });
        Open { tries: tries.collect(), jobs: Vec::new() }
    }

    fn payload(index: u32, pod: &str) -> Vec<u8> {
        json!({"contract": 1, "run": "r", "stage": "s", "index": index, "attempt": 1, "try": 1, "pod": pod, "phase": "Done"})
            .to_string()
            .into_bytes()
    }

    #[test]
    fn inv03_of_two_messages_of_a_subject_the_first_counts_from_its_arrival_on() {
        let mut heard = Heard::default();
        assert!(heard.hear(&subject(0), &payload(0, "p"), at(1)));
        assert!(heard.hear(&subject(0), &payload(0, "q"), at(2)));
        let results = heard.results(&open(&[0]), &HashSet::from(["p"]), at(60));
        assert_eq!((results[0].result.pod.as_str(), results[0].arrived_at), ("p", at(1)));
    }

    #[test]
    fn what_is_closed_is_forgotten_and_what_is_not_yet_open_is_kept_a_while() {
        let mut heard = Heard::default();
        for (index, second) in [(0, 1), (1, 1), (2, 50)] {
            heard.hear(&subject(index), &payload(index, "p"), at(second));
        }
        heard.keep_open(&open(&[1]), at(60));
        assert!(!heard.knows(&subject(0)) && heard.knows(&subject(1)) && heard.knows(&subject(2)));
    }

    #[test]
    fn a_result_of_a_pod_nobody_saw_is_told_for_a_while_and_again_once_the_pod_is_seen() {
        let mut heard = Heard::default();
        heard.hear(&subject(0), &payload(0, "stranger"), at(1));
        let told =
            |heard: &Heard, seen: &[&str], second| heard.results(&open(&[0]), &seen.iter().copied().collect(), at(second)).len();
        assert_eq!(told(&heard, &[], 5), 1);
        assert_eq!(told(&heard, &[], 15), 0);
        assert_eq!(told(&heard, &["stranger"], 15), 1);
        assert!(heard.first_ignored(&subject(0)) && !heard.first_ignored(&subject(0)), "it is counted once");
    }

    #[test]
    fn what_cannot_be_read_is_known_and_no_result() {
        let mut heard = Heard::default();
        for (index, bad) in [(0, b"?".to_vec()), (1, vec![b' '; MAX_BYTES + 1]), (2, br#"{"contract": 9}"#.to_vec())] {
            assert!(!heard.hear(&subject(index), &bad, at(1)));
            assert!(heard.knows(&subject(index)));
        }
        assert!(heard.results(&open(&[0, 1, 2]), &HashSet::new(), at(1)).is_empty());
    }

    #[test]
    fn the_stream_is_asked_at_first_then_seldom_and_again_after_a_reconnect() {
        let mut heard = Heard::default();
        assert!(heard.is_due(at(1)));
        heard.asked(at(1));
        assert!(!heard.is_due(at(3)) && heard.is_due(at(4)));
        heard.asked(at(4));
        heard.ask_again();
        assert!(heard.is_due(at(4)));
    }
}
