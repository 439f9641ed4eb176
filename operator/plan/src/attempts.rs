//! Which attempts of a stage a status keeps, and which one is open.

use trackway_crds::status::{AttemptStatus, MAX_ATTEMPTS_KEPT, StagePhase, StageStatus};

/// The stage that runs, if any.
pub(crate) fn running(stages: &[StageStatus]) -> Option<usize> {
    stages.iter().position(|stage| stage.phase == StagePhase::Running)
}

/// The attempt in work: the last one, unless it has a verdict.
pub(crate) fn in_work(stage: &StageStatus) -> Option<&AttemptStatus> {
    stage.attempts.last().filter(|attempt| attempt.verdict.is_none())
}

/// The same, to change it.
pub(crate) fn in_work_mut(stage: &mut StageStatus) -> Option<&mut AttemptStatus> {
    stage.attempts.last_mut().filter(|attempt| attempt.verdict.is_none())
}

/// Adds an attempt and drops what is neither best, previous nor last.
pub(crate) fn push(stage: &mut StageStatus, attempt: AttemptStatus) {
    stage.attempts.push(attempt);
    while stage.attempts.len() > MAX_ATTEMPTS_KEPT {
        let previous = stage.attempts.len() - 2;
        let best = best_index(&stage.attempts);
        let dropped = (0..previous).find(|index| Some(*index) != best).unwrap_or(0);
        stage.attempts.remove(dropped);
    }
}

/// The best judged attempt; the earlier one of two that are equal.
pub(crate) fn best(stage: &StageStatus) -> Option<&AttemptStatus> {
    best_index(&stage.attempts).and_then(|index| stage.attempts.get(index))
}

fn best_index(attempts: &[AttemptStatus]) -> Option<usize> {
    let best = attempts.iter().filter_map(|attempt| attempt.score).max()?;
    attempts.iter().position(|attempt| attempt.score == Some(best))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
    use trackway_crds::{
        Score,
        status::{StageMillis, Used, Verdict},
    };

    fn judged(attempt: u32, thousandths: u16) -> AttemptStatus {
        AttemptStatus {
            attempt,
            try_: 1,
            job_uid: None,
            started_at: MicroTime(Timestamp::UNIX_EPOCH),
            millis: None,
            score: Some(Score::from_thousandths(thousandths)),
            dimensions: Default::default(),
            feedback: None,
            verdict: Some(Verdict::Retry),
            error: None,
            tokens: None,
            output: None,
            record: None,
        }
    }

    #[test]
    fn best_previous_and_last_are_kept() {
        let mut stage = StageStatus {
            name: "insights".into(),
            phase: StagePhase::Running,
            started_at: MicroTime(Timestamp::UNIX_EPOCH),
            completed_at: None,
            millis: StageMillis::default(),
            input: None,
            output: None,
            used: Used::default(),
            not_before: None,
            attempts: Vec::new(),
            lists: Default::default(),
            targets: None,
            questionnaire: None,
        };
        for (attempt, score) in [(1, 500), (2, 650), (3, 600), (4, 610), (5, 620)] {
            push(&mut stage, judged(attempt, score));
        }
        let kept: Vec<_> = stage.attempts.iter().map(|attempt| attempt.attempt).collect();
        assert_eq!(kept, [2, 4, 5]);
        assert_eq!(best(&stage).unwrap().attempt, 2);
    }
}
