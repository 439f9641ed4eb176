//! The record of a questionnaire in its bucket, as far as the operator looks at it.

use jiff::Timestamp;
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeMap;
use trackway_crds::BatchRunStatus;
use trackway_nats::Kv;
use trackway_plan::QuestionnaireView;

use crate::run;

/// A record without what was answered.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) expires_at: Timestamp,
    #[serde(default)]
    answers: BTreeMap<String, IgnoredAny>,
    #[serde(default)]
    pub(crate) answered_at: Option<Timestamp>,
}

impl Record {
    pub(crate) fn read(value: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(value)
            .map_err(|error| format!("the questionnaire's record is not what its contract says: {error}"))
    }

    pub(crate) fn answered(&self) -> usize {
        self.answers.len()
    }
}

/// The key of a questionnaire's record.
pub(crate) fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}.{name}")
}

/// Where the questionnaire stands that `status` waits for.
pub(crate) async fn view(context: &run::Context, status: &BatchRunStatus) -> QuestionnaireView {
    let Some(asked) = status.stages.iter().find_map(|stage| stage.waits_for()) else { return QuestionnaireView::Unknown };
    if !context.nats.is_connected() {
        return QuestionnaireView::Unknown;
    }
    let read = Kv::questionnaires(&context.nats).get(&key(&context.namespace, &asked.name)).await;
    match read.map_err(|error| error.to_string()).and_then(|entry| entry.map(|entry| Record::read(&entry.value)).transpose()) {
        Ok(record) => record.and_then(|record| record.answered_at).map_or(QuestionnaireView::Open, QuestionnaireView::Answered),
        Err(error) => {
            tracing::warn!(questionnaire = asked.name, %error, "whether it is answered is not known now");
            QuestionnaireView::Unknown
        }
    }
}
