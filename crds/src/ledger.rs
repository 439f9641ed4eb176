//! The state of every target of a fan-out, three bytes each, so that nothing is lost with the operator (design.md §5).
//!
//! | bits | what |
//! |---|---|
//! | 0–2 | [`TargetState`] |
//! | 3–6 | attempt, from 1 |
//! | 7–9, 10–12, 13–15 | failures of infrastructure, model, judge |
//! | 16–22 | best score in hundredths, rounded down |
//! | 23 | whether there is a score |

use crate::Score;
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Most targets of one stage.
pub const MAX_TARGETS: usize = 1000;
/// Most failures of one class that a ledger can count.
pub const MAX_TRIES: u32 = 7;
/// Most attempts that a ledger can count.
pub const MAX_ATTEMPTS: u32 = 15;

/// Where one target stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TargetState {
    /// To be given to a pod, for the first time or again.
    #[default]
    Due,
    /// With a pod of a recorded wave.
    Running,
    /// Accepted with its present attempt.
    Succeeded,
    /// No attempt was good enough.
    FailedQuality,
    /// The model's server failed too often.
    FailedModel,
    /// The judge failed too often.
    FailedJudge,
    /// Pods, nodes or the store failed too often.
    FailedInfrastructure,
    /// Trying again cannot help.
    FailedPermanent,
}

impl TargetState {
    const ALL: [Self; 8] = [
        Self::Due,
        Self::Running,
        Self::Succeeded,
        Self::FailedQuality,
        Self::FailedModel,
        Self::FailedJudge,
        Self::FailedInfrastructure,
        Self::FailedPermanent,
    ];

    /// Whether it failed for good.
    #[must_use]
    pub fn is_failed(self) -> bool {
        self >= Self::FailedQuality
    }

    /// Whether nothing will happen to it any more.
    #[must_use]
    pub fn is_ended(self) -> bool {
        self >= Self::Succeeded
    }
}

/// One target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Where it stands.
    pub state: TargetState,
    /// The attempt in work, or the last one; from 1, at most [`MAX_ATTEMPTS`].
    pub attempt: u32,
    /// Failures of pods, nodes or the store, at most [`MAX_TRIES`].
    pub infrastructure: u32,
    /// Failures of the model's server, at most [`MAX_TRIES`].
    pub model: u32,
    /// Failures of the judge, at most [`MAX_TRIES`].
    pub judge: u32,
    /// The best score so far in hundredths, rounded down.
    pub best: Option<u8>,
}

impl Default for Target {
    fn default() -> Self {
        Self { state: TargetState::Due, attempt: 1, infrastructure: 0, model: 0, judge: 0, best: None }
    }
}

impl Target {
    /// The try in work: one more than all failures so far. It only grows, and with the attempt it is used once.
    #[must_use]
    pub fn try_(&self) -> u32 {
        1 + self.infrastructure + self.model + self.judge
    }

    /// The best score so far, rounded down to hundredths.
    #[must_use]
    pub fn best_score(&self) -> Option<Score> {
        self.best.map(|hundredths| Score::from_thousandths(u16::from(hundredths) * 10))
    }

    /// Remembers `score` if it is the best so far.
    pub fn scored(&mut self, score: Score) {
        let hundredths = u8::try_from(score.thousandths() / 10).unwrap_or(100);
        self.best = Some(self.best.map_or(hundredths, |best| best.max(hundredths)));
    }

    fn bits(self) -> u32 {
        let state = TargetState::ALL.iter().position(|state| *state == self.state).unwrap_or(0);
        u32::try_from(state).unwrap_or(0)
            | self.attempt.min(MAX_ATTEMPTS) << 3
            | self.infrastructure.min(MAX_TRIES) << 7
            | self.model.min(MAX_TRIES) << 10
            | self.judge.min(MAX_TRIES) << 13
            | u32::from(self.best.unwrap_or(0).min(100)) << 16
            | u32::from(self.best.is_some()) << 23
    }

    fn of_bits(bits: u32) -> Self {
        let field = |from: u32, width: u32| (bits >> from) & ((1 << width) - 1);
        let state = usize::try_from(field(0, 3)).ok().and_then(|index| TargetState::ALL.get(index).copied());
        let best = u8::try_from(field(16, 7)).ok().filter(|_| field(23, 1) == 1);
        Self {
            state: state.unwrap_or_default(),
            attempt: field(3, 4),
            infrastructure: field(7, 3),
            model: field(10, 3),
            judge: field(13, 3),
            best,
        }
    }
}

/// Every target of a stage, by index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger(pub Vec<Target>);

/// A text that is no ledger.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger of targets cannot be read: it is not base64 of three bytes for each of at most {MAX_TARGETS} targets")]
pub struct LedgerError;

impl Ledger {
    /// `total` targets that are due for the first time.
    #[must_use]
    pub fn new(total: usize) -> Self {
        Self(vec![Target::default(); total])
    }

    /// As it is kept in `targets.ledger`.
    #[must_use]
    pub fn encode(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().flat_map(|target| target.bits().to_le_bytes().into_iter().take(3)).collect();
        STANDARD.encode(bytes)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// [`LedgerError`] for any other text.
    pub fn decode(text: &str) -> Result<Self, LedgerError> {
        let bytes = STANDARD.decode(text).map_err(|_| LedgerError)?;
        let (targets, rest) = bytes.as_chunks::<3>();
        if !rest.is_empty() || targets.len() > MAX_TARGETS {
            return Err(LedgerError);
        }
        Ok(Self(targets.iter().map(|[a, b, c]| Target::of_bits(u32::from_le_bytes([*a, *b, *c, 0]))).collect()))
    }

    /// How many targets are in a state that `which` accepts.
    #[must_use]
    pub fn count(&self, which: impl Fn(TargetState) -> bool) -> u32 {
        u32::try_from(self.0.iter().filter(|target| which(target.state)).count()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_is_read_as_it_was_written() {
        let mut ledger = Ledger::new(9);
        for (target, state) in ledger.0.iter_mut().zip(TargetState::ALL) {
            *target = Target { state, attempt: 15, infrastructure: 7, model: 6, judge: 5, best: None };
        }
        ledger.0[3].scored(Score::from_thousandths(667));
        ledger.0[3].scored(Score::from_thousandths(600));
        assert_eq!(Ledger::decode(&ledger.encode()).unwrap(), ledger);
        assert_eq!(ledger.0[3].best_score(), Some(Score::from_thousandths(660)));
        assert_eq!(ledger.0[3].try_(), 19);
    }

    #[test]
    fn a_thousand_targets_take_four_thousand_characters() {
        assert_eq!(Ledger::new(MAX_TARGETS).encode().len(), 4000);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["?", "AAAA AAAA", "AA==", &Ledger::new(MAX_TARGETS + 1).encode()] {
            assert_eq!(Ledger::decode(text), Err(LedgerError), "{text:.20}");
        }
    }
}
