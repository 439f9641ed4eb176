//! Results of everything that is open: heard as they came, or read from the stream where something may have been missed.

use super::{Context, observe::ObserveError, open::Open, open::OpenTry};
use jiff::Timestamp;
use std::collections::HashSet;
use trackway_nats::NatsError;
use trackway_plan::{ArrivedResult, JobView, PodView};

/// The results of `open`, and whether all of them are known: a missing one has not been published.
pub(crate) async fn results(
    context: &Context,
    uid: &str,
    open: &Open,
    jobs: &[JobView],
) -> Result<(Vec<ArrivedResult>, bool), ObserveError> {
    let now = Timestamp::now();
    let jobs: Vec<_> = jobs.iter().filter(|job| open.jobs.iter().any(|open| open.uid == job.uid)).collect();
    let unheard = context.memory.unheard(uid, open, now);
    let mut known = unheard.iter().all(|open| is_told(open, &jobs));
    // The last words of a pod of several targets are only a digest: the stream has the whole.
    let wanted: Vec<_> = unheard.into_iter().filter(|open| !is_told_in_full(open, &jobs)).collect();
    let due = context.memory.is_due(uid, now) || is_overdue(open, &wanted, &jobs);
    if !wanted.is_empty() && due && context.nats.is_connected() {
        known = ask(context, uid, &wanted).await? || known;
    }
    let seen: HashSet<&str> = jobs.iter().flat_map(|job| &job.pods).map(|pod| pod.uid.as_str()).collect();
    Ok((context.memory.results(uid, open, &seen, now), known))
}

/// Reads the subjects of `wanted`. Returns whether the stream answered.
async fn ask(context: &Context, uid: &str, wanted: &[&OpenTry]) -> Result<bool, ObserveError> {
    let subjects: Vec<_> = wanted.iter().map(|open| open.subject.clone()).collect();
    let asked_at = Timestamp::now();
    match trackway_nats::read_results(&context.nats, &subjects).await {
        Ok(found) => {
            for (subject, payload) in found {
                context.hear(uid, &subject, &payload);
            }
            context.memory.asked(uid, asked_at);
            Ok(true)
        }
        Err(error @ NatsError::Permanent { .. }) => Err(ObserveError::Results(error)),
        Err(error) => {
            tracing::warn!(%error, "results cannot be read now; termination messages still count");
            Ok(false)
        }
    }
}

fn is_told(open: &OpenTry, jobs: &[&JobView]) -> bool {
    jobs.iter().any(|job| tells(job, open))
}

fn is_told_in_full(open: &OpenTry, jobs: &[&JobView]) -> bool {
    jobs.iter().any(|job| job.wave.is_none() && tells(job, open))
}

/// Whether the last words of a pod of `job` hold the result of `open`.
fn tells(job: &JobView, open: &OpenTry) -> bool {
    // Questions have no room in last words: whoever is to hear them must hear the stream.
    let mut results = job.pods.iter().flat_map(|pod| &pod.results).filter(|result| !result.lacks_questions());
    results.any(|result| (result.index, result.attempt, result.try_) == (open.index, open.attempt, open.try_))
}

/// Whether something is over whose result should have come by now.
fn is_overdue(open: &Open, wanted: &[&OpenTry], jobs: &[&JobView]) -> bool {
    let gone = open.jobs.len() > jobs.len();
    gone || jobs.iter().any(|job| {
        let over = job.deleting || job.ended.is_some();
        over || job.pods.iter().any(|pod| pod.finished.is_some() && wanted.iter().any(|open| works_on(job, pod, open)))
    })
}

fn works_on(job: &JobView, pod: &PodView, open: &OpenTry) -> bool {
    let Some(wave) = &job.wave else { return true };
    let targets = wave.of_pod(usize::try_from(pod.index).unwrap_or(usize::MAX));
    targets.iter().any(|target| (target.index, target.attempt, target.try_) == (open.index, open.attempt, open.try_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use trackway_crds::contracts::{TargetAssignment, WaveAssignment};
    use trackway_plan::Finished;

    fn open(indexes: &[u32]) -> Open {
        let open = |index: &u32| OpenTry { subject: format!("RESULTS.n.u.s.1.1.{index}"), index: *index, attempt: 1, try_: 1 };
        let job = super::super::open::OpenJob { name: "j".into(), uid: "j-1".into() };
        Open { tries: indexes.iter().map(open).collect(), jobs: vec![job] }
    }

    fn wave(finished: &[bool]) -> JobView {
        let targets = (0..4).map(|index| TargetAssignment { index, attempt: 1, try_: 1 }).collect();
        let over = Finished { ok: true, reason: "Completed".into(), message: String::new() };
        let pod =
            |(index, finished): (u32, &bool)| PodView { index, finished: finished.then(|| over.clone()), ..PodView::default() };
        JobView {
            name: "j".into(),
            uid: "j-1".into(),
            owned: true,
            revision: None,
            wave: Some(WaveAssignment { wave: 1, targets_per_pod: 2, targets }),
            suspended: false,
            deleting: false,
            ended: None,
            pods: (0..).zip(finished).map(pod).collect(),
        }
    }

    #[test]
    fn the_stream_is_asked_when_a_pod_is_over_that_owes_a_result() {
        let overdue = |indexes: &[u32], job: &JobView| {
            let open = open(indexes);
            is_overdue(&open, &open.tries.iter().collect::<Vec<_>>(), &[job])
        };
        assert!(!overdue(&[0, 1, 2, 3], &wave(&[false, false])), "both pods work");
        assert!(overdue(&[1, 3], &wave(&[true, false])), "the first pod owes target 1");
        assert!(!overdue(&[2, 3], &wave(&[true, false])), "the first pod has reported all of its own");
    }

    #[test]
    fn the_stream_is_asked_when_a_job_is_gone_or_over() {
        let open = open(&[2]);
        let wanted: Vec<_> = open.tries.iter().collect();
        assert!(is_overdue(&open, &wanted, &[]));
        let ended = JobView { deleting: true, ..wave(&[]) };
        assert!(is_overdue(&open, &wanted, &[&ended]));
    }
}
