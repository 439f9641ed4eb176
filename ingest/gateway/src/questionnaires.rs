//! Showing questionnaires and taking their answers.
//!
//! The record decides: of two who answer the same question at the same time one wins there. Only then does the tenant's context
//! learn it, and only after that is the record marked as answered, which is what lets runs go on. A crash in between leaves an answer
//! that nobody was told of; giving it again finishes what was begun, and of the last answer so does [`crate::finish`] by itself.

use crate::{
    answers::{self, Answers, Progress, Questionnaire},
    app::App,
    body::{self, Incoming},
    convert::of_nats,
    finish::{self, ROUNDS},
    media::{self, Media},
    problem::{Kind, Problem},
    store::{Store, Versioned},
};
use http::HeaderMap;
use jiff::Timestamp;
use std::time::Duration;
use trackway_crds::contracts::QuestionnaireRecord;

/// Longest body of answers in bytes.
pub const ANSWERS_BYTES: usize = 64 * 1024;
/// When a sender is asked to come again because others wrote in between.
const SOON: Duration = Duration::from_secs(1);

/// Which questionnaire.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name there.
    pub name: &'a str,
}

impl Name<'_> {
    /// Names of Kubernetes, and nothing that means something in a key of NATS.
    fn is_possible(self) -> bool {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        [self.namespace, self.name].iter().all(|part| (1..=63).contains(&part.len()) && part.bytes().all(allowed))
    }
}

/// Shows a questionnaire to its tenant.
///
/// # Errors
/// When the credential is nobody's or another tenant's, there is no such questionnaire, or it cannot be read.
pub async fn show<S: Store>(app: &App<S>, name: Name<'_>, headers: &HeaderMap) -> Result<Questionnaire, Problem> {
    let record = find(app, name, headers).await?.0;
    let progress = answers::progress(&record);
    Ok(Questionnaire { questions: record.questions, expires_at: record.expires_at, progress })
}

/// Takes answers, all of the body or none.
///
/// # Errors
/// As [`show`] and [`answers::answer`]; when the body cannot be read, or the answers cannot be kept.
pub async fn take<S: Store>(app: &App<S>, name: Name<'_>, headers: &HeaderMap, body: &mut Incoming) -> Result<Progress, Problem> {
    let mut found = find(app, name, headers).await?;
    let answers = read(headers, body).await?;
    let now = Timestamp::now();
    for _ in 0..ROUNDS {
        let (record, revision) = found;
        let next = answers::answer(&record, &answers, now)?;
        if next == record || replace(app, name, &next, revision).await? {
            return finish(app, name, next).await;
        }
        found = again(app, name).await?;
    }
    Err(busy())
}

/// How far it has come, once everybody was told so.
async fn finish<S: Store>(app: &App<S>, name: Name<'_>, record: QuestionnaireRecord) -> Result<Progress, Problem> {
    let finished = finish::finish(&app.store, (name.namespace, name.name), &record).await;
    if finished.map_err(|error| of_nats(&error))? { Ok(answers::progress(&record)) } else { Err(busy()) }
}

/// The record, for a bearer of its tenant.
async fn find<S: Store>(app: &App<S>, name: Name<'_>, headers: &HeaderMap) -> Result<Versioned<QuestionnaireRecord>, Problem> {
    let holders = app.keys.holders(headers)?;
    if let Some((source, tenant)) = holders.first() {
        app.limits.admit(source, tenant, 1)?;
    }
    let found = again(app, name).await?;
    if holders.iter().any(|(_, tenant)| **tenant == *found.0.tenant) {
        return Ok(found);
    }
    Err(Problem::new(Kind::OtherTenant, "the questionnaire is another tenant's; use a token of that tenant"))
}

async fn again<S: Store>(app: &App<S>, name: Name<'_>) -> Result<Versioned<QuestionnaireRecord>, Problem> {
    let found = if name.is_possible() {
        let found = app.store.questionnaire(name.namespace, name.name).await;
        found.map_err(|error| of_nats(&error))?
    } else {
        None
    };
    found.ok_or_else(|| Problem::new(Kind::NotFound, "there is no such questionnaire"))
}

async fn replace<S: Store>(app: &App<S>, name: Name<'_>, record: &QuestionnaireRecord, revision: u64) -> Result<bool, Problem> {
    let replaced = app.store.replace_questionnaire(name.namespace, name.name, record, revision).await;
    replaced.map_err(|error| of_nats(&error))
}

async fn read(headers: &HeaderMap, body: &mut Incoming) -> Result<Answers, Problem> {
    if !Media::of(headers)?.is_json() {
        return Err(media::unsupported("answers are read as JSON; send application/json"));
    }
    let bytes = body.read(ANSWERS_BYTES).await?;
    body.reserve(body::parsed_size(&bytes)?)?;
    let value = trackway_sources::json(&bytes).map_err(|error| crate::convert::of_mapping(&error))?;
    serde_json::from_value(value)
        .map_err(|_| Problem::new(Kind::Malformed, r#"send {"answers": {"<id of a question>": <answer>}}"#).about("answers"))
}

fn busy() -> Problem {
    Problem::new(Kind::Unavailable, "others answer it at the same time; send it again").after(SOON)
}
