//! What the server remembers: rules and how often they decided, holds, calls.

use std::{
    collections::{BTreeMap, VecDeque},
    io::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use tokio::sync::{oneshot, watch};

use crate::{
    call::{Call, Kind, TrackwayHeaders},
    rules::{Matcher, Rule, Rules, Then, When},
};

/// Older calls are forgotten, their counts are kept.
const MAX_CALLS: usize = 20_000;

/// One call, as `GET /control/calls` and the log show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallRecord {
    /// Number of the call, from 1.
    pub call: u64,
    /// When it came, in milliseconds since 1970.
    pub at_millis: u64,
    /// What it wanted.
    pub kind: Kind,
    /// The model asked for.
    pub model: String,
    /// Its `x-trackway-*` headers.
    #[serde(flatten)]
    pub trackway: TrackwayHeaders,
    /// sha256 of model, messages and schema.
    pub request_hash: String,
    /// The rule that decided, if one did.
    pub rule: Option<String>,
    /// How far it is.
    pub state: CallState,
    /// The HTTP status answered; absent while there is none.
    pub status: Option<u16>,
    /// From its arrival to its end, in milliseconds.
    pub millis: Option<u64>,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CallState {
    /// Being answered.
    Open,
    /// Held until released.
    Held,
    /// Answered.
    Answered,
    /// The caller went away before the answer.
    Gone,
}

/// Calls of one kind for one piece of work.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Count {
    /// The kind.
    pub kind: Kind,
    /// The run's uid, empty when the caller named none; so too the others.
    pub run: String,
    /// The stage.
    pub stage: String,
    /// The attempt.
    pub attempt: String,
    /// The target of a fan-out.
    pub index: String,
    /// Calls that came.
    pub calls: u64,
    /// Calls that were answered with 200.
    pub ok: u64,
}

/// A call that waits for its release.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldCall {
    /// The hold that keeps it.
    pub hold: String,
    /// The call.
    #[serde(flatten)]
    pub record: CallRecord,
}

/// Kind, run, stage, attempt and index.
type Work = (Kind, String, String, String, String);

#[derive(Default)]
struct Inner {
    rules: Vec<(Rule, Matcher, u64)>,
    holds: Vec<Hold>,
    held: BTreeMap<u64, (String, oneshot::Sender<()>)>,
    calls: VecDeque<CallRecord>,
    counts: BTreeMap<Work, (u64, u64)>,
    last_call: u64,
    last_hold: u64,
}

struct Hold {
    id: String,
    matcher: Matcher,
    left: Option<u64>,
}

/// Shared by all requests of one server.
pub(crate) struct State {
    inner: Mutex<Inner>,
    changed: watch::Sender<()>,
    log: bool,
}

/// A call under way. Dropped before [`Arrival::finish`], the caller went away.
pub(crate) struct Arrival {
    state: Arc<State>,
    call: u64,
    since: Instant,
    finished: bool,
    /// What the rule that matched says.
    pub(crate) then: Option<Then>,
    hold: Option<oneshot::Receiver<()>>,
}

impl State {
    pub(crate) fn new(rules: &Rules, log: bool) -> Arc<State> {
        let state = State { inner: Mutex::default(), changed: watch::Sender::new(()), log };
        state.set_rules(rules);
        Arc::new(state)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_rules(&self, rules: &Rules) {
        self.inner().rules = rules.iter().map(|rule| (rule.clone(), Matcher::new(rule.when.clone()), 0)).collect();
    }

    /// Records a call, decides its rule and whether it is held: in the order of arrival, so that counts mean something.
    pub(crate) fn arrive(self: &Arc<State>, call: &Call) -> Arrival {
        let mut guard = self.inner();
        let inner = &mut *guard;
        inner.last_call += 1;
        let number = inner.last_call;
        let rule = inner.rule_for(call);
        let hold = inner.hold_for(call);
        let record = CallRecord {
            call: number,
            at_millis: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| millis(since.as_millis())),
            kind: call.kind,
            model: call.model.clone(),
            trackway: call.trackway.clone(),
            request_hash: call.hash.clone(),
            rule: rule.as_ref().map(|rule| rule.name.clone()),
            state: if hold.is_some() { CallState::Held } else { CallState::Open },
            status: None,
            millis: None,
        };
        inner.counts.entry(work_of(&record)).or_default().0 += 1;
        inner.calls.push_back(record);
        if inner.calls.len() > MAX_CALLS {
            inner.calls.pop_front();
        }
        let hold = hold.map(|id| {
            let (release, released) = oneshot::channel();
            inner.held.insert(number, (id, release));
            released
        });
        drop(guard);
        self.changed.send_replace(());
        Arrival {
            state: self.clone(),
            call: number,
            since: Instant::now(),
            finished: false,
            then: rule.map(|rule| rule.then),
            hold,
        }
    }

    fn finish(&self, call: u64, since: Instant, state: CallState, status: Option<u16>) {
        let mut inner = self.inner();
        inner.held.remove(&call);
        let finished = inner.calls.iter_mut().rev().find(|record| record.call == call).map(|record| {
            (record.state, record.status, record.millis) = (state, status, Some(millis(since.elapsed().as_millis())));
            record.clone()
        });
        if let Some(record) = &finished
            && status == Some(200)
        {
            inner.counts.entry(work_of(record)).or_default().1 += 1;
        }
        drop(inner);
        self.changed.send_replace(());
        if let Some(record) = finished.filter(|_| self.log) {
            log_line(&record);
        }
    }

    pub(crate) fn hold(&self, when: When, times: Option<u64>) -> String {
        let mut inner = self.inner();
        inner.last_hold += 1;
        let id = format!("hold-{}", inner.last_hold);
        inner.holds.push(Hold { id: id.clone(), matcher: Matcher::new(when), left: times });
        id
    }

    /// Ends the hold `id`, or all of them, and answers what they held. Returns how many calls that is.
    pub(crate) fn release(&self, id: Option<&str>) -> usize {
        let mut inner = self.inner();
        let meant = |hold: &str| id.is_none_or(|id| id == hold);
        inner.holds.retain(|hold| !meant(&hold.id));
        let released: Vec<u64> = inner.held.iter().filter(|(_, (hold, _))| meant(hold)).map(|(call, _)| *call).collect();
        for call in &released {
            if let Some((_, release)) = inner.held.remove(call) {
                // The caller may have gone away in this moment.
                let _ = release.send(());
            }
            inner.calls.iter_mut().filter(|record| record.call == *call).for_each(|record| record.state = CallState::Open);
        }
        drop(inner);
        self.changed.send_replace(());
        released.len()
    }

    /// Forgets calls, counts and holds; what was held is answered. Rules stay and count from the start.
    pub(crate) fn reset(&self) {
        self.release(None);
        let mut inner = self.inner();
        inner.calls.clear();
        inner.counts.clear();
        for (rule, matcher, used) in &mut inner.rules {
            (*matcher, *used) = (Matcher::new(rule.when.clone()), 0);
        }
    }

    pub(crate) fn held(&self) -> Vec<HeldCall> {
        let inner = self.inner();
        let record = |call: &u64| inner.calls.iter().find(|record| record.call == *call).cloned();
        let held = inner.held.iter().filter_map(|(call, (hold, _))| Some(HeldCall { hold: hold.clone(), record: record(call)? }));
        held.collect()
    }

    pub(crate) fn calls(&self) -> Vec<CallRecord> {
        self.inner().calls.iter().cloned().collect()
    }

    pub(crate) fn counts(&self) -> Vec<Count> {
        let count = |(work, (calls, ok)): (&Work, &(u64, u64))| {
            let (kind, run, stage, attempt, index) = work.clone();
            Count { kind, run, stage, attempt, index, calls: *calls, ok: *ok }
        };
        self.inner().counts.iter().map(count).collect()
    }

    /// Returns once `reached` says so; looks whenever a call arrives, is held, released or finished.
    pub(crate) async fn until(&self, mut reached: impl FnMut(&State) -> bool) {
        let mut changed = self.changed.subscribe();
        while !reached(self) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }
}

impl Inner {
    fn rule_for(&mut self, call: &Call) -> Option<Rule> {
        for (rule, matcher, used) in &mut self.rules {
            if rule.times.is_none_or(|times| *used < times) && matcher.matches(call) {
                *used += 1;
                return Some(rule.clone());
            }
        }
        None
    }

    fn hold_for(&mut self, call: &Call) -> Option<String> {
        let hold = self
            .holds
            .iter_mut()
            .filter(|hold| hold.left != Some(0))
            .find_map(|hold| hold.matcher.matches(call).then_some(hold))?;
        hold.left = hold.left.map(|left| left - 1);
        Some(hold.id.clone())
    }
}

impl Arrival {
    /// Waits for the release, if the call is held.
    pub(crate) async fn released(&mut self) {
        if let Some(hold) = self.hold.take() {
            // An error is a state that was dropped: nothing holds the call any more.
            let _ = hold.await;
        }
    }

    pub(crate) fn finish(mut self, status: u16) {
        self.finished = true;
        self.state.finish(self.call, self.since, CallState::Answered, Some(status));
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if !self.finished {
            self.state.finish(self.call, self.since, CallState::Gone, None);
        }
    }
}

fn work_of(record: &CallRecord) -> Work {
    let TrackwayHeaders { run, stage, attempt, index, .. } = record.trackway.clone();
    (record.kind, run, stage, attempt, index)
}

fn millis(millis: u128) -> u64 {
    u64::try_from(millis).unwrap_or(u64::MAX)
}

/// One JSON line on standard output. A closed output is no reason to stop answering.
pub fn log_line(line: &impl Serialize) {
    if let Ok(json) = serde_json::to_string(line) {
        let _ = writeln!(std::io::stdout().lock(), "{json}");
    }
}
