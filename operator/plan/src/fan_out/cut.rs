//! When the next wave is cut and which targets are in it. Waves are as large as slots allow, because a Job costs the same for one
//! pod as for many; they are not waited for longer than half a second (design.md §5).

use trackway_crds::{
    contracts::ResolvedForEach,
    ledger::{Ledger, MAX_TRIES, Target, TargetState},
};

/// Most waves in work.
pub(crate) const MAX_WAVES: usize = 8;
/// A due target waits at most this long for others, if there is room for it.
pub(crate) const GATHER_MILLIS: u64 = 500;

/// The targets of a wave and how they are shared out to pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// Indices, ascending.
    pub(crate) targets: Vec<u32>,
    /// Targets of one pod.
    pub(crate) targets_per_pod: u32,
}

/// Whether a wave is cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// This one.
    Now(Cut),
    /// Not before so many milliseconds from now, unless more comes.
    After(u64),
    /// Not before something changes.
    Not,
}

/// Looks at what is due. `waited` is how long the oldest due target has waited, in milliseconds.
pub(crate) fn cut(
    ledger: &Ledger,
    for_each: &ResolvedForEach,
    infrastructure_max: u32,
    live_waves: usize,
    waited: u64,
) -> Decision {
    let running = ledger.count(|state| state == TargetState::Running);
    let due = ledger.count(|state| state == TargetState::Due);
    let free = for_each.max_concurrency.saturating_sub(running);
    if due == 0 || free == 0 || live_waves >= MAX_WAVES {
        return Decision::Not;
    }
    let refill = refill(for_each);
    let fills = free >= refill && due >= free;
    let room = free >= due.min(refill);
    if running == 0 || fills || (room && waited >= GATHER_MILLIS) {
        return Decision::Now(choose(ledger, for_each, infrastructure_max, free));
    }
    if room { Decision::After(GATHER_MILLIS - waited) } else { Decision::Not }
}

/// Slots worth a Job: a pod's worth or a quarter of all, but no more than half of all, so that one slow target never keeps the
/// others waiting.
fn refill(for_each: &ResolvedForEach) -> u32 {
    let max = for_each.max_concurrency;
    for_each.targets_per_pod.max(max.div_ceil(4)).min(max.div_ceil(2)).max(1)
}

fn choose(ledger: &Ledger, for_each: &ResolvedForEach, infrastructure_max: u32, free: u32) -> Cut {
    let alone = |target: &Target| is_alone(target, infrastructure_max);
    let mut due: Vec<(u32, &Target)> = (0..).zip(&ledger.0).filter(|(_, target)| target.state == TargetState::Due).collect();
    due.sort_by_key(|(index, target)| (!is_retry(target), *index));
    let isolated = due.first().is_some_and(|(_, first)| alone(first));
    let same = due.iter().filter(|(_, target)| alone(target) == isolated);
    let mut targets: Vec<u32> = same.map(|(index, _)| *index).take(usize::try_from(free).unwrap_or(usize::MAX)).collect();
    targets.sort_unstable();
    Cut { targets, targets_per_pod: if isolated { 1 } else { for_each.targets_per_pod.max(1) } }
}

fn is_retry(target: &Target) -> bool {
    target.attempt > 1 || target.try_() > 1
}

/// A target that lost its pod twice, or cannot afford to lose another, has a pod of its own: if it is what kills pods, it harms
/// only itself.
fn is_alone(target: &Target, infrastructure_max: u32) -> bool {
    target.infrastructure >= 2 || (target.infrastructure > 0 && target.infrastructure + 1 >= infrastructure_max.min(MAX_TRIES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use trackway_crds::Tolerance;

    fn for_each(max_concurrency: u32, targets_per_pod: u32) -> ResolvedForEach {
        ResolvedForEach {
            stage: "solutions".into(),
            field: "targets".into(),
            key: "id".into(),
            max_concurrency,
            targets_per_pod,
            tolerated_failures: Tolerance::default(),
        }
    }

    /// `running` targets, then `due` ones.
    fn ledger(running: usize, due: usize) -> Ledger {
        let mut ledger = Ledger::new(running + due);
        ledger.0.iter_mut().take(running).for_each(|target| target.state = TargetState::Running);
        ledger
    }

    fn now(decision: Decision) -> Cut {
        match decision {
            Decision::Now(cut) => cut,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_targets_that_may_run_are_one_wave() {
        let cut = now(cut(&ledger(0, 100), &for_each(40, 10), 5, 0, 0));
        assert_eq!((cut.targets, cut.targets_per_pod), ((0..40).collect(), 10));
    }

    #[test]
    fn the_next_wave_waits_for_a_pods_worth_of_slots() {
        assert_eq!(cut(&ledger(31, 60), &for_each(40, 10), 5, 1, 10_000), Decision::Not);
        assert_eq!(now(cut(&ledger(30, 60), &for_each(40, 10), 5, 1, 0)).targets.len(), 10);
    }

    #[test]
    fn few_due_targets_wait_half_a_second_for_more() {
        let slots = for_each(40, 10);
        assert_eq!(cut(&ledger(30, 3), &slots, 5, 1, 0), Decision::After(500));
        assert_eq!(cut(&ledger(30, 3), &slots, 5, 1, 499), Decision::After(1));
        assert_eq!(now(cut(&ledger(30, 3), &slots, 5, 1, 500)).targets, [30, 31, 32]);
        assert_eq!(now(cut(&ledger(0, 3), &slots, 5, 0, 0)).targets, [0, 1, 2], "nothing is in flight");
    }

    #[test]
    fn a_slow_target_does_not_keep_half_of_the_slots_empty() {
        assert_eq!(now(cut(&ledger(2, 9), &for_each(5, 10), 5, 1, 0)).targets.len(), 3);
    }

    #[test]
    fn there_is_a_limit_to_waves_and_slots() {
        assert_eq!(cut(&ledger(8, 9), &for_each(40, 10), 5, MAX_WAVES, 10_000), Decision::Not);
        assert_eq!(cut(&ledger(5, 9), &for_each(5, 1), 5, 1, 10_000), Decision::Not);
        assert_eq!(cut(&ledger(0, 0), &for_each(5, 1), 5, 0, 10_000), Decision::Not);
    }

    #[test]
    fn retries_go_first() {
        let mut ledger = ledger(0, 10);
        (ledger.0[7].attempt, ledger.0[9].model) = (2, 1);
        assert_eq!(now(cut(&ledger, &for_each(4, 2), 5, 0, 0)).targets, [0, 1, 7, 9]);
    }

    #[test]
    fn who_lost_its_pod_twice_gets_a_pod_of_its_own() {
        let mut ledger = ledger(0, 6);
        (ledger.0[1].infrastructure, ledger.0[4].infrastructure) = (1, 2);
        let slots = for_each(40, 3);
        let first = now(cut(&ledger, &slots, 5, 0, 0));
        assert_eq!((first.targets, first.targets_per_pod), (vec![0, 1, 2, 3, 5], 3));
        ledger.0[1].infrastructure = 0;
        let alone = now(cut(&ledger, &slots, 5, 0, 0));
        assert_eq!((alone.targets, alone.targets_per_pod), (vec![4], 1));
        (ledger.0[1].infrastructure, ledger.0[4].infrastructure) = (1, 0);
        let alone = now(cut(&ledger, &slots, 2, 0, 0));
        assert_eq!((alone.targets, alone.targets_per_pod), (vec![1], 1), "it can afford no other loss");
    }
}
