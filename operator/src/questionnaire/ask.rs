//! Making a questionnaire, or joining the one of the same questions.

use super::record::{Record, key};
use crate::run;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use trackway_crds::{
    BatchRun, Questionnaire, QuestionnaireSpec,
    contracts::{CONTRACT, QuestionnaireRecord},
    labels,
    names::label_hash,
};
use trackway_kubernetes::{ApiError, Creation, create, within};
use trackway_nats::{KeyCreation, KeyUpdate, Kv, NatsError};
use trackway_plan::{Asking, Refusal};

/// Lost races until somebody else may try.
const ROUNDS: usize = 8;

/// Why it did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Nats(#[from] NatsError),
    /// Nothing will change until somebody changes something.
    #[error("{0}")]
    Refused(String),
}

/// Sees to it that the questionnaire of `asking` is there, with its record, and open for long enough. `Some`: it is refused, and
/// would be again.
pub(crate) async fn ask(context: &run::Context, run: &BatchRun, asking: &Asking) -> Result<Option<Refusal>, AskError> {
    let batch = &run.spec.batch;
    let spec = QuestionnaireSpec {
        tenant: batch.tenant.clone(),
        subject: batch.subject.clone(),
        questions: asking.questions.clone(),
        expires_at: MicroTime(asking.expires_at),
    };
    let asked = async {
        resource(context, &asking.name, &spec).await?;
        let kv = Kv::questionnaires(&context.nats);
        record(&kv, &key(&context.namespace, &asking.name), &spec).await.map(|_| ())
    };
    let message = match asked.await {
        Ok(()) => return Ok(None),
        Err(AskError::Refused(message)) => message,
        Err(AskError::Api(error @ (ApiError::Permanent { .. } | ApiError::NotFound { .. }))) => error.to_string(),
        Err(AskError::Nats(error @ NatsError::Permanent { .. })) => error.to_string(),
        Err(error) => return Err(error),
    };
    Ok(Some(Refusal { name: asking.name.clone(), message }))
}

/// Makes the record of a questionnaire that has lost it.
pub(super) async fn restore(kv: &Kv, namespace: &str, name: &str, spec: &QuestionnaireSpec) -> Result<Record, super::Error> {
    record(kv, &key(namespace, name), spec).await.map_err(|error| match error {
        AskError::Api(error) => error.into(),
        AskError::Nats(error) => error.into(),
        AskError::Refused(message) => super::Error::Record(message),
    })
}

async fn resource(context: &run::Context, name: &str, spec: &QuestionnaireSpec) -> Result<(), AskError> {
    let mut wanted = Questionnaire::new(name, spec.clone());
    wanted.metadata.namespace = Some(context.namespace.clone());
    wanted.metadata.labels = Some(BTreeMap::from([
        (labels::MANAGED_BY.to_owned(), labels::MANAGER.to_owned()),
        (labels::TENANT.to_owned(), label_hash(&spec.tenant)),
    ]));
    if let Creation::Created(_) = create(&context.questionnaires, &wanted).await? {
        return Ok(());
    }
    let found = within(&format!("read Questionnaire {name}"), context.questionnaires.get(name)).await?;
    let is = &found.spec;
    if (&is.tenant, &is.subject, &is.questions) != (&spec.tenant, &spec.subject, &spec.questions) {
        let message = format!("there is another Questionnaire {name}, which asks something else: delete it");
        return Err(AskError::Refused(message));
    }
    if is.expires_at.0 < spec.expires_at.0 {
        let version = found.resource_version();
        let patch = Patch::Merge(json!({"metadata": {"resourceVersion": version}, "spec": {"expiresAt": spec.expires_at}}));
        let parameters = PatchParams::default();
        let moved = context.questionnaires.patch(name, &parameters, &patch);
        within(&format!("move the end of Questionnaire {name}"), moved).await?;
    }
    Ok(())
}

/// The record, made or open until `spec.expires_at` at least. One that is answered stays as it is.
async fn record(kv: &Kv, key: &str, spec: &QuestionnaireSpec) -> Result<Record, AskError> {
    let new = QuestionnaireRecord {
        contract: CONTRACT,
        tenant: spec.tenant.clone(),
        questions: spec.questions.clone(),
        expires_at: spec.expires_at.0,
        answers: BTreeMap::new(),
        answered_at: None,
    };
    let new = json!(new);
    for _ in 0..ROUNDS {
        let bytes = new.to_string().into_bytes();
        if let KeyCreation::Created(_) = kv.create(key, bytes.clone().into()).await? {
            return Record::read(&bytes).map_err(AskError::Refused);
        }
        let Some(entry) = kv.get(key).await? else { continue };
        let known = Record::read(&entry.value).map_err(AskError::Refused)?;
        if known.answered_at.is_some() || known.expires_at >= spec.expires_at.0 {
            same(&entry.value, &new)?;
            return Ok(known);
        }
        let moved = moved(&entry.value, &new, spec.expires_at.0)?;
        if let KeyUpdate::Updated(_) = kv.update(key, moved.clone().into(), entry.revision).await? {
            return Record::read(&moved).map_err(AskError::Refused);
        }
    }
    let (action, reason) = (format!("make the record of questionnaire {key}"), "others keep writing it".to_owned());
    Err(AskError::Nats(NatsError::Transient { action, reason }))
}

/// The same record, open for longer; what was answered is carried over unread.
fn moved(value: &[u8], new: &Value, expires_at: Timestamp) -> Result<Vec<u8>, AskError> {
    let mut record = same(value, new)?;
    record["expiresAt"] = json!(expires_at);
    Ok(record.to_string().into_bytes())
}

fn same(value: &[u8], new: &Value) -> Result<Value, AskError> {
    let known: Value = serde_json::from_slice(value).map_err(|error| AskError::Refused(error.to_string()))?;
    if known["tenant"] == new["tenant"] && known["questions"] == new["questions"] {
        return Ok(known);
    }
    Err(AskError::Refused("the record of that name asks something else: delete it from the bucket questionnaires".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inv13_a_record_is_moved_without_its_answers_being_looked_at() {
        let at: Timestamp = "2026-11-25T15:00:00Z".parse().unwrap();
        let new = json!({"tenant": "octo-org", "questions": [{"id": "plan"}]});
        let known = json!({"tenant": "octo-org", "questions": [{"id": "plan"}], "expiresAt": "2026-11-23T15:00:00Z",
            "answers": {"plan": {"value": {"any": ["thing"]}, "at": "?"}}});
        let after: Value = serde_json::from_slice(&moved(known.to_string().as_bytes(), &new, at).unwrap()).unwrap();
        assert_eq!((&after["answers"], &after["expiresAt"]), (&known["answers"], &json!(at)));
        let other = json!({"tenant": "octo-org", "questions": [{"id": "seats"}]});
        assert!(moved(known.to_string().as_bytes(), &other, at).unwrap_err().to_string().contains("asks something else"));
    }
}
