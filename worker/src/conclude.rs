//! The end of a try: its result, and what is kept of a failure.

use std::time::Duration;

use tokio::time::Instant;
use trackway_crds::contracts::{CONTRACT, ErrorClass, FailureRecord, Reference, StageResult, StoredVerdict};

use crate::{
    failure::{Failure, Step},
    job::{Env, Task},
    report::Report,
    stored::Stored,
};

/// Longest time spent on keeping the record of a failure: it must not hold up its report.
const RECORD_LIMIT: Duration = Duration::from_secs(1);

/// The result of a try, whatever came of it. A failure is put on record first, for whoever has to explain it.
pub(crate) async fn conclude(
    task: Task<'_>,
    env: Env<'_>,
    mut report: Report,
    outcome: Step<Option<StoredVerdict>>,
) -> StageResult {
    let result = match outcome {
        Ok(verdict) => report.finished(task, verdict.as_ref()),
        Err(failure) => {
            report.record = failure_record(task, env, &report, &failure).await;
            report.failed(task, &failure, env.outside)
        }
    };
    let error = result.error.as_ref();
    tracing::info!(
        phase = ?result.phase,
        index = result.index,
        attempt = result.attempt,
        r#try = result.try_,
        score = result.score,
        class = error.map(|error| error.class.as_str()),
        reason = error.map(|error| error.reason.as_str()),
        generate_millis = result.millis.generate,
        judge_millis = result.millis.judge,
        "attempt finished"
    );
    result
}

/// Keeps how the try went wrong, as well as it can: the result tells the failure in any case.
async fn failure_record(task: Task<'_>, env: Env<'_>, report: &Report, failure: &Failure) -> Option<Reference> {
    // A store that was away all the time is not asked again.
    if failure.class == ErrorClass::Infrastructure && failure.reason == "StoreUnavailable" {
        return None;
    }
    let scrubbed = |text: &String| env.outside.scrubbed(text);
    let record = FailureRecord {
        contract: CONTRACT,
        stage: task.job.assignment.stage.clone(),
        index: task.part.index,
        attempt: task.part.attempt,
        try_: task.part.try_,
        class: failure.class,
        reason: failure.reason.to_owned(),
        chain: std::iter::once(&failure.message).chain(&failure.causes).map(scrubbed).collect(),
        location: format!("{}:{}", failure.location.file(), failure.location.line()),
        at: (env.clock)(),
        calls: report.calls.clone(),
    };
    // The try's own deadline may be what has passed.
    let (assignment, part) = (&task.job.assignment, (task.part.attempt, task.part.index));
    let deadline = Instant::now() + RECORD_LIMIT;
    let kept = async {
        let stored = Stored::of(env.store, &assignment.run, &assignment.stage, part, deadline)?;
        stored.put_json("the failure's record", &record).await
    };
    kept.await.map_err(|error| tracing::warn!(reason = error.reason, "the failure's record could not be stored")).ok()
}
