//! Finishing a questionnaire: the tenant's context learns what was answered, then the record says that all of it is.
//!
//! Who gives the last answer does it. Should the gateway be killed at that moment, any gateway finds the record and does it: all of
//! it can be repeated, and done by several at once.

use crate::{
    answers,
    store::{Met, Store},
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use trackway_crds::contracts::QuestionnaireRecord;
use trackway_nats::NatsError;
use trackway_service::unless;

/// How often somebody else may write in between before it is given up for now.
pub const ROUNDS: usize = 16;
/// How long a questionnaire whose gateway was killed waits at most for another look.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// Teaches the tenant's context what was answered, and marks the questionnaire (namespace, name) as answered when everything is.
/// `false`: others always wrote in between, or it is another one by now.
///
/// # Errors
/// When a part of it cannot be read or kept.
pub async fn finish<S: Store>(store: &S, of: (&str, &str), record: &QuestionnaireRecord) -> Result<bool, NatsError> {
    let (namespace, name) = of;
    if record.answered_at.is_some() {
        return Ok(true);
    }
    if !learn(store, namespace, record).await? {
        return Ok(false);
    }
    if !answers::progress(record).answered {
        return Ok(true);
    }
    let answered_at = record.answers.values().map(|answer| answer.at).max();
    for _ in 0..ROUNDS {
        let Some((record, revision)) = store.questionnaire(namespace, name).await? else { return Ok(false) };
        // Answers never change: whoever wrote in between has at most marked it, or moved its end. Unless it is another one by now.
        if !answers::progress(&record).answered {
            return Ok(false);
        }
        let marked = QuestionnaireRecord { answered_at, ..record };
        if record.answered_at.is_some() || store.replace_questionnaire(namespace, name, &marked, revision).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn learn<S: Store>(store: &S, namespace: &str, record: &QuestionnaireRecord) -> Result<bool, NatsError> {
    for _ in 0..ROUNDS {
        let known = store.context(namespace, &record.tenant).await?;
        let revision = known.as_ref().map(|(_, revision)| *revision);
        let Some(next) = answers::context(known.as_ref().map(|(context, _)| context), record) else { return Ok(true) };
        if store.replace_context(namespace, &next, revision).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Finishes what killed gateways have left, now and every [`LOOK_EVERY`], until `stop`.
pub async fn keep_finished<S: Store>(store: S, stop: CancellationToken) {
    let mut from = 0;
    while let Some(next) = unless(&stop, look(&store, from)).await {
        from = next;
        if unless(&stop, tokio::time::sleep(LOOK_EVERY)).await.is_none() {
            return;
        }
    }
}

/// Finishes those that were written at or after revision `from`, and returns where the next look begins.
async fn look<S: Store>(store: &S, from: u64) -> u64 {
    let (mut next, mut last, mut again) = (from, None, None);
    loop {
        match store.next_questionnaire(next).await {
            Ok(Some(met)) => {
                if !is_finished(store, &met).await {
                    again.get_or_insert(met.revision);
                }
                last = Some(met.revision);
                next = met.revision.saturating_add(1);
            }
            Ok(None) => break,
            Err(error) => {
                tracing::warn!(%error, "cannot look for answered questionnaires that nobody was told of; looks again");
                again.get_or_insert(next);
                break;
            }
        }
    }
    // The last one is met again by the next look. Where it is not, the bucket was made anew and counts from its beginning.
    again.or(last).unwrap_or_default()
}

/// Whether nothing is left to do, after doing it.
async fn is_finished<S: Store>(store: &S, met: &Met) -> bool {
    let Met { namespace, name, record, .. } = met;
    let unfinished = |record: &&QuestionnaireRecord| {
        record.answered_at.is_none() && !record.questions.is_empty() && answers::progress(record).answered
    };
    let Some(record) = record.as_ref().filter(unfinished) else { return true };
    match finish(store, (namespace, name), record).await {
        Ok(true) => tracing::info!(namespace, questionnaire = name, "finished a questionnaire that was answered and not marked"),
        Ok(false) => return false,
        Err(error) => {
            tracing::warn!(namespace, questionnaire = name, %error, "cannot finish an answered questionnaire; tries again");
            return false;
        }
    }
    true
}

#[cfg(test)]
#[path = "finish_tests.rs"]
mod tests;
