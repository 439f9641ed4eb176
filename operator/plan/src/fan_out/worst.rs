//! The few targets worth looking at: those that failed, then those accepted with the lowest scores.

use trackway_crds::{Score, status::WorstTarget};

/// As many as the schema has room for.
const MAX_WORST: usize = 5;

/// Adds an ended target, if it is among the worst.
pub(super) fn insert(worst: &mut Vec<WorstTarget>, target: WorstTarget) {
    worst.retain(|known| known.index != target.index);
    worst.push(target);
    worst.sort_by_key(|target| (target.error.is_none(), target.score.unwrap_or(unscored(target)), target.index));
    worst.truncate(MAX_WORST);
}

/// Puts the target that decided a stage first, whatever the others are.
pub(super) fn first(worst: &mut Vec<WorstTarget>, target: WorstTarget) {
    worst.retain(|known| known.index != target.index);
    worst.insert(0, target);
    worst.truncate(MAX_WORST);
}

// Failed without ever being judged is worse than any score; accepted without a judge is no worse than any.
fn unscored(target: &WorstTarget) -> Score {
    if target.error.is_some() { Score::default() } else { Score::ONE }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trackway_crds::{contracts::ErrorClass, status::TargetError};

    fn target(index: u32, score: Option<u16>, failed: bool) -> WorstTarget {
        let error =
            failed.then(|| TargetError { class: ErrorClass::Quality, reason: "QualityExhausted".into(), message: String::new() });
        WorstTarget { index, key: index.to_string(), attempt: 1, score: score.map(Score::from_thousandths), error }
    }

    fn indices(worst: &[WorstTarget]) -> Vec<u32> {
        worst.iter().map(|target| target.index).collect()
    }

    #[test]
    fn failed_ones_come_first_then_the_lowest_scores() {
        let mut worst = Vec::new();
        for (index, score, failed) in [
            (0, Some(900), false),
            (1, Some(710), false),
            (2, Some(600), true),
            (3, None, true),
            (4, Some(800), false),
            (5, None, false),
            (6, Some(950), false),
        ] {
            insert(&mut worst, target(index, score, failed));
        }
        assert_eq!(indices(&worst), [3, 2, 1, 4, 0]);
        first(&mut worst, target(6, Some(100), true));
        assert_eq!(indices(&worst), [6, 3, 2, 1, 4]);
    }
}
