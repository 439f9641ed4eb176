//! A history lived through: the reader is set back, the process is killed before and after each of its writes, what was announced
//! is announced again.

use super::{History, Rules};
use fastrand::Rng;
use jiff::Timestamp;
use std::collections::BTreeMap;
use trackway_batching::{Applied, KeyState, OUTBOX_MAX, SealedBatch};

/// What came of it.
pub struct Told {
    /// Everything that was announced, by id.
    pub announced: BTreeMap<String, SealedBatch>,
    /// What went wrong on the way.
    pub broken: Vec<String>,
    /// Kills, redeliveries, refusals.
    pub mishaps: u64,
    /// A batch is open and nothing will ever seal it.
    pub left: KeyState,
}

struct Life<'a> {
    history: &'a History,
    rules: Rules,
    rng: Rng,
    /// What a reader of the bucket would find.
    stored: KeyState,
    /// Index of the event that comes next.
    next: usize,
    /// How far a reader has ever come.
    furthest: usize,
    told: Told,
    mishaps_happen: bool,
}

/// With mishaps, drawn from `seed`.
pub fn live(history: &History, rules: Rules, seed: u64) -> Told {
    go(history, rules, Some(seed))
}

/// As it was meant: nobody is killed, nothing comes twice, nobody ticks before the end.
pub fn live_undisturbed(history: &History, rules: Rules) -> Told {
    go(history, rules, None)
}

fn go(history: &History, rules: Rules, seed: Option<u64>) -> Told {
    let stored = KeyState::new("octo-org", history.seed.is_multiple_of(2).then_some("dana"));
    let told = Told { announced: BTreeMap::new(), broken: Vec::new(), mishaps: 0, left: stored.clone() };
    let mishaps_happen = seed.is_some();
    let rng = Rng::with_seed(seed.unwrap_or(0));
    let mut life = Life { history, rules, rng, stored, next: 0, furthest: 0, told, mishaps_happen };
    // A machine that has stopped taking events is a finding, not a hanging test.
    for _ in 0..history.events.len() * 100 + 1_000 {
        if life.next == history.events.len() {
            life.finish();
            life.told.left = life.stored;
            return life.told;
        }
        life.step();
    }
    life.told.broken.push(format!("stuck before event {} of {}", life.next, history.events.len()));
    life.told.left = life.stored;
    life.told
}

impl Life<'_> {
    fn step(&mut self) {
        if !self.mishaps_happen {
            self.take(self.next);
            return self.announce_all();
        }
        match self.rng.u8(..16) {
            0..9 => self.take(self.next),
            9..11 => self.tick(),
            11..14 => self.announce(),
            14 => {
                self.told.mishaps += 1;
                if self.furthest > 0 {
                    self.take(self.rng.clone().usize(..self.furthest));
                }
            }
            _ => self.set_back(),
        }
    }

    /// An event comes: the next one, or one that came before, out of turn.
    fn take(&mut self, index: usize) {
        let mut state = self.read();
        let outcome = (self.rules.apply)(&mut state, self.history.policy(self.furthest.max(index)), &self.history.events[index]);
        match outcome {
            Applied::Full => {
                if state != self.stored {
                    self.told.broken.push("refused and changed all the same".to_owned());
                }
                self.told.mishaps += 1;
                return self.announce();
            }
            Applied::Skipped => {}
            Applied::Taken(_) => {
                if self.killed() {
                    return self.set_back();
                }
                self.write(state);
                self.furthest = self.furthest.max(index + 1);
            }
        }
        if index == self.next {
            self.next += 1;
        }
        if self.killed() {
            self.set_back();
        }
    }

    fn tick(&mut self) {
        let now = self.now();
        let mut state = self.read();
        (self.rules.tick)(&mut state, self.history.policy(self.furthest), now);
        if !self.killed() {
            self.write(state);
        }
    }

    /// A moment that the stream has reached: not after the next event. Or any.
    fn now(&mut self) -> Timestamp {
        let events = &self.history.events;
        let at = |index: usize| events[..=index].iter().map(|event| event.at.as_millisecond()).max().unwrap_or(0);
        let until = at(self.furthest.min(events.len() - 1));
        let since = if self.furthest == 0 { until - 10_000 } else { at(self.furthest - 1) };
        let now =
            if self.history.wild_ticks { self.rng.i64(since - 100_000..until + 100_000) } else { self.rng.i64(since..=until) };
        Timestamp::from_millisecond(now).unwrap()
    }

    /// One batch of the outbox: document and BATCH_READY, then out of the outbox, unless we are killed in between.
    fn announce(&mut self) {
        if self.stored.outbox.is_empty() {
            return;
        }
        let index = self.rng.usize(..self.stored.outbox.len());
        let batch = self.stored.outbox[index].clone();
        let id = self.stored.batch_id(batch.first);
        let before = self.told.announced.insert(id.clone(), batch.clone());
        if before.is_some_and(|before| before != batch) {
            self.told.broken.push(format!("{id} was announced as two batches"));
        }
        if self.killed() {
            return;
        }
        let mut state = self.read();
        (self.rules.published)(&mut state, &id);
        self.write(state);
    }

    fn announce_all(&mut self) {
        while !self.stored.outbox.is_empty() {
            self.announce();
        }
    }

    /// Nothing comes any more, and time goes on.
    fn finish(&mut self) {
        self.mishaps_happen = false;
        for _ in 0..2 {
            self.announce_all();
            let mut state = self.read();
            (self.rules.tick)(&mut state, self.history.policy(self.history.events.len()), Timestamp::MAX);
            self.write(state);
        }
        self.announce_all();
    }

    fn killed(&mut self) -> bool {
        let killed = self.mishaps_happen && self.rng.u8(..12) == 0;
        self.told.mishaps += u64::from(killed);
        killed
    }

    /// A reader begins again at a checkpoint, which is never ahead of what was written.
    fn set_back(&mut self) {
        self.told.mishaps += 1;
        self.next = self.rng.usize(..=self.furthest);
    }

    fn write(&mut self, state: KeyState) {
        if state.outbox.len() > OUTBOX_MAX {
            self.told.broken.push(format!("{} batches in the outbox", state.outbox.len()));
        }
        self.stored = state;
    }

    /// What the bucket holds is JSON.
    fn read(&mut self) -> KeyState {
        if !self.mishaps_happen || self.rng.u8(..8) > 0 {
            return self.stored.clone();
        }
        let text = serde_json::to_string(&self.stored).unwrap();
        let read: KeyState = serde_json::from_str(&text).unwrap();
        if read != self.stored || text.len() > 1024 {
            self.told.broken.push(format!("written and read again it is another: {text}"));
        }
        read
    }
}
