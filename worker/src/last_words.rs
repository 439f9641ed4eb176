//! What a pod writes as its termination message.

use trackway_crds::{
    contracts::{Assignment, CONTRACT, PodDigest, Revision, StageResult, TargetDigest},
    text::cut,
};

/// Most targets of one digest; a pod has no more.
const MAX_TARGETS_TOLD: usize = 32;
/// Most bytes of an error's reason.
const MAX_REASON: usize = 24;

/// The termination message after `results`: the result itself, or in a fan-out the digest of all targets that came to an end so
/// far. `None`: there is nothing to say yet.
#[must_use]
pub fn last_words(
    assignment: &Assignment,
    revision: Option<&Revision>,
    pod_uid: &str,
    results: &[StageResult],
) -> Option<serde_json::Result<Vec<u8>>> {
    let last = results.last()?;
    if assignment.wave.is_none() {
        // There is no room for questions; the stream has them.
        return Some(serde_json::to_vec(&StageResult { questions: Vec::new(), ..last.clone() }));
    }
    let judge = revision.and_then(|revision| revision.stage(&assignment.stage)).and_then(|stage| stage.judge.as_ref());
    let dimensions: Vec<&str> =
        judge.iter().flat_map(|judge| &judge.dimensions).map(|dimension| dimension.name.as_str()).collect();
    let digest = PodDigest {
        contract: CONTRACT,
        run: assignment.run.uid.clone(),
        stage: assignment.stage.clone(),
        pod: pod_uid.to_owned(),
        targets: results.iter().take(MAX_TARGETS_TOLD).map(|result| target(result, &dimensions)).collect(),
    };
    Some(serde_json::to_vec(&digest))
}

fn target(result: &StageResult, dimensions: &[&str]) -> TargetDigest {
    let scores = dimensions.iter().map(|name| result.dimensions.get(*name).copied()).collect::<Option<Vec<u16>>>();
    TargetDigest {
        i: result.index,
        a: result.attempt,
        t: result.try_,
        d: scores.filter(|scores| !scores.is_empty()),
        e: result.error.as_ref().map(|error| error.class),
        r: result.error.as_ref().map(|error| cut(&error.reason, MAX_REASON)),
        n: result.tokens.total(),
    }
}
