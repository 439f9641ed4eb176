//! The whole output of a fan-out that has ended, put together of what its targets left.

use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;
use tokio::time::Instant;
use trackway_crds::{
    Score,
    contracts::{
        ErrorClass, FanOutCounts, FanOutError, FanOutItem, FanOutOutput, FanOutPhase, NameKind, Reference, ResolvedStage, RunRef,
        StoredVerdict,
    },
    ledger::{Ledger, Target, TargetState},
};
use trackway_store::{MAX_BLOB_BYTES, Name, PayloadStore};

use super::targets::keys;
use crate::{
    failure::{Failure, Step},
    stored::Stored,
};

/// Targets whose payloads are read at the same time.
const READS_AT_ONCE: usize = 32;

/// The output of the fan-out `stage`, whose targets stand as `ledger` says: the one that is named already, or a new one, stored
/// under its write-once name (stage, attempt 0, index 0). `source` is the output of the stage its list is from.
///
/// It may be larger than one model's output: as large as the store takes, 16 MiB.
///
/// # Errors
/// Permanent when a target has not ended, the ledger is another list's, or the output is too large; otherwise the store's.
pub async fn compose(
    store: &PayloadStore,
    run: &RunRef,
    stage: &ResolvedStage,
    ledger: &Ledger,
    source: &Value,
    deadline: Instant,
) -> Result<(FanOutOutput, Reference), Failure> {
    let stored = Stored::of(store, run, &stage.name, (0, 0), deadline)?;
    let what = format!("the output of stage {}", stage.name);
    if let Some(named) = stored.named(&stored.name_of(0, NameKind::Output)).await? {
        return Ok((stored.read(&what, &named.reference).await?, named.reference));
    }
    let output = composed(store, run, stage, ledger, source, deadline).await?;
    let bytes = serde_json::to_vec(&output)
        .map_err(|error| Failure::permanent("DocumentInvalid", format!("{what} cannot be written as JSON: {error}")))?;
    check_size(stage, bytes.len())?;
    let reference = stored.put(bytes.into()).await?;
    let named = stored.claim(NameKind::Output, reference.clone(), None).await?;
    if named == reference { Ok((output, reference)) } else { Ok((stored.read(&what, &named).await?, named)) }
}

/// The output of the fan-out `stage` as [`compose`] would put it together, for readers that may not write: nothing is stored.
///
/// # Errors
/// As [`compose`], but for what storing it could bring.
pub async fn composed(
    store: &PayloadStore,
    run: &RunRef,
    stage: &ResolvedStage,
    ledger: &Ledger,
    source: &Value,
    deadline: Instant,
) -> Result<FanOutOutput, Failure> {
    let stored = Stored::of(store, run, &stage.name, (0, 0), deadline)?;
    let parts = Parts { stage, stored: &stored };
    parts.together(ledger, &parts.keys(ledger, source)?).await
}

struct Parts<'a> {
    stage: &'a ResolvedStage,
    stored: &'a Stored<'a>,
}

impl Parts<'_> {
    fn keys(&self, ledger: &Ledger, source: &Value) -> Step<Vec<String>> {
        let name = &self.stage.name;
        let for_each = self.stage.for_each.as_ref();
        let for_each = for_each.ok_or_else(|| Failure::permanent("StageUnknown", format!("stage {name} has no forEach")))?;
        let keys = keys(source, for_each).map_err(|fault| fault.failure(ErrorClass::Permanent))?;
        if keys.len() == ledger.0.len() {
            return Ok(keys);
        }
        let message = format!(
            "stage {name} has {} targets, and {}.{} has {} entries: the status speaks of another list; replay the run",
            ledger.0.len(),
            for_each.stage,
            for_each.field,
            keys.len()
        );
        Err(Failure::permanent("LedgerInvalid", message))
    }

    async fn together(&self, ledger: &Ledger, keys: &[String]) -> Step<FanOutOutput> {
        let targets = (0_u32..).zip(ledger.0.iter().copied()).zip(keys.iter().cloned());
        let items: Vec<FanOutItem> = stream::iter(targets)
            .map(|((index, target), key)| self.item(index, target, key))
            .buffered(READS_AT_ONCE)
            .try_collect()
            .await?;
        let counts = FanOutCounts {
            total: u32::try_from(items.len()).unwrap_or(u32::MAX),
            succeeded: ledger.count(|state| state == TargetState::Succeeded),
            failed: ledger.count(TargetState::is_failed),
        };
        Ok(FanOutOutput { items, counts })
    }

    async fn item(&self, index: u32, target: Target, key: String) -> Step<FanOutItem> {
        let phase = if target.state == TargetState::Succeeded { FanOutPhase::Succeeded } else { FanOutPhase::Failed };
        if phase == FanOutPhase::Failed {
            let error = Some(self.error(index, target)?);
            return Ok(FanOutItem { key, phase, output: Value::Null, score: target.best_score(), error });
        }
        let reference = self.stored.wanted(&self.name(index, target, NameKind::Output)).await?;
        let output = self.stored.read(&format!("the output of target {index}"), &reference).await?;
        Ok(FanOutItem { key, phase, output, score: self.score(index, target).await?, error: None })
    }

    /// The score it was accepted with, in full: the ledger keeps hundredths.
    async fn score(&self, index: u32, target: Target) -> Step<Option<Score>> {
        if self.stage.judge.is_none() {
            return Ok(None);
        }
        let reference = self.stored.wanted(&self.name(index, target, NameKind::Verdict)).await?;
        let verdict: StoredVerdict = self.stored.read(&format!("the verdict on target {index}"), &reference).await?;
        Ok(Some(verdict.score))
    }

    fn name(&self, index: u32, target: Target, kind: NameKind) -> Name {
        Name { stage: self.stage.name.clone(), attempt: target.attempt, index, kind }
    }

    fn error(&self, index: u32, target: Target) -> Step<FanOutError> {
        let tries = |tries: u32, whose: &str| format!("{tries} {whose}, the last in attempt {}", target.attempt);
        let (class, reason, message) = match target.state {
            TargetState::FailedQuality => (ErrorClass::Quality, "QualityExhausted", self.not_good_enough(target)),
            TargetState::FailedModel => (ErrorClass::Model, "ModelExhausted", tries(target.model, "failures of the model")),
            TargetState::FailedJudge => (ErrorClass::Judge, "JudgeExhausted", tries(target.judge, "failures of the judge")),
            TargetState::FailedInfrastructure => {
                let lost = tries(target.infrastructure, "pods or stores lost");
                (ErrorClass::Infrastructure, "InfrastructureExhausted", lost)
            }
            TargetState::FailedPermanent => {
                let message =
                    format!("attempt {} failed in a way that trying again cannot mend; its Event says how", target.attempt);
                (ErrorClass::Permanent, "Permanent", message)
            }
            TargetState::Due | TargetState::Running | TargetState::Succeeded => {
                let message =
                    format!("target {index} of stage {} has not ended, so the stage has no output yet", self.stage.name);
                return Err(Failure::permanent("FanOutNotEnded", message));
            }
        };
        Ok(FanOutError { class, reason: reason.to_owned(), message })
    }

    fn not_good_enough(&self, target: Target) -> String {
        let best = target.best_score().map_or_else(|| "none scored".to_owned(), |best| format!("best {best}"));
        let threshold = self.stage.judge.as_ref().map(|judge| judge.threshold).unwrap_or_default();
        // A mean that is high enough means that a dimension was not.
        let minimum = if target.best_score() >= Some(threshold) { " and every dimension at its minimum" } else { "" };
        format!("{} attempts, {best}, needs {threshold}{minimum}", target.attempt)
    }
}

fn check_size(stage: &ResolvedStage, bytes: usize) -> Step<()> {
    if u64::try_from(bytes).is_ok_and(|bytes| bytes <= MAX_BLOB_BYTES) {
        return Ok(());
    }
    let message = format!(
        "the outputs of the targets of stage {} have {bytes} bytes together; at most {MAX_BLOB_BYTES} (16 MiB) are kept. Bound lists and \
         texts in its output schema, or the number of targets",
        stage.name
    );
    Err(Failure::permanent("OutputTooLarge", message))
}
