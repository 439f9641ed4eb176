//! What the tenant has answered so far: read once a pod from the bucket of answers, and on record from then on.

use std::{collections::BTreeMap, fmt, time::Duration};

use bytes::Bytes;
use futures::future::BoxFuture;
use serde_json::Value;
use tokio::time::Instant;
use trackway_crds::{
    contracts::{CONTRACT, ErrorClass, NameKind, StageInput, TenantContext},
    names::label_hash,
};
use trackway_nats::{NatsError, with_retry};

use crate::{
    AttemptJob,
    failure::{Failure, Step},
    job::Env,
    stored::Stored,
};

/// How long a bucket that is away is asked again.
const LIMIT: Duration = Duration::from_secs(30);

/// Answers by question id, as prompts see them in `context`.
pub(crate) type Context = BTreeMap<String, Value>;
type Reading = BoxFuture<'static, Result<Option<Bytes>, NatsError>>;

/// Where the tenant's answers are.
pub struct Answers {
    given: Context,
    read: Option<Box<dyn Fn(String) -> Reading + Send + Sync>>,
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").field("given", &self.given.len()).field("offline", &self.read.is_none()).finish()
    }
}

impl Answers {
    /// In the bucket `context`: `read` brings the value of a key, once, with a limit of its own.
    pub fn kept(read: impl Fn(String) -> Reading + Send + Sync + 'static) -> Self {
        Self { given: Context::new(), read: Some(Box::new(read)) }
    }

    /// These, by question id, for where there is no bucket.
    #[must_use]
    pub fn given(given: BTreeMap<String, Value>) -> Self {
        Self { given, read: None }
    }
}

/// The tenant's answers so far.
pub(crate) async fn answers(job: &AttemptJob, env: Env<'_>) -> Step<Context> {
    let answers = env.outside.answers;
    let Some(read) = &answers.read else { return Ok(answers.given.clone()) };
    let key = format!("{}.{}", job.assignment.run.namespace, label_hash(&job.assignment.batch.tenant));
    let deadline = job.deadline.min(Instant::now() + LIMIT);
    let found = with_retry(Some(deadline), "read the tenant's answers", || read(key.clone())).await?;
    let Some(found) = found else { return Ok(Context::new()) };
    let kept: TenantContext = serde_json::from_slice(&found).map_err(|error| {
        Failure::permanent("ContextInvalid", format!("the tenant's answers are not what their contract says: {error}"))
    })?;
    if kept.contract != CONTRACT {
        let message =
            format!("the tenant's answers follow contract {}, this worker knows {CONTRACT}: use one release", kept.contract);
        return Err(Failure::permanent("ContextInvalid", message));
    }
    Ok(kept.answers.into_iter().map(|(id, answer)| (id, answer.value)).collect())
}

/// What an earlier pod of this attempt has put on record, else `now`: an answer that comes between two tries must not make them
/// two requests.
pub(crate) async fn adopted(now: &Context, stored: &Stored<'_>, attempt: u32) -> Step<Context> {
    let Some(found) = stored.named(&stored.name_of(attempt, NameKind::Input)).await? else { return Ok(now.clone()) };
    let input: StageInput = stored.read(&format!("the input of attempt {attempt}"), &found.reference).await?;
    Ok(input.context)
}

impl From<NatsError> for Failure {
    #[track_caller]
    fn from(error: NatsError) -> Self {
        match error {
            NatsError::Transient { .. } => Self::new(ErrorClass::Infrastructure, "ContextUnavailable", error.to_string()),
            NatsError::Permanent { .. } => Self::new(ErrorClass::Permanent, "ContextRefused", error.to_string()),
        }
    }
}
