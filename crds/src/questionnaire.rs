//! Questionnaire: what runs wait for.

#![allow(clippy::duplicated_attributes, reason = "each print column says its own type")]

use crate::contracts::Question;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Questions to a tenant, made by the operator when a context validation finds gaps (`onMissing: Ask`). Runs that ask the same share
/// one; they wait without a pod and go on when it is answered, through the gateway. Answers are kept with the tenant's context in
/// NATS, never here.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "trackway.dev",
    version = "v1alpha1",
    kind = "Questionnaire",
    plural = "questionnaires",
    shortname = "qn",
    category = "trackway",
    namespaced,
    status = "QuestionnaireStatus",
    derive = "PartialEq",
    printcolumn(name = "Tenant", type_ = "string", json_path = ".spec.tenant"),
    printcolumn(name = "Questions", type_ = "string", json_path = ".spec.questions[*].id"),
    printcolumn(name = "Answered", type_ = "string", json_path = ".status.answered"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Waiting", type_ = "integer", json_path = ".status.waiting"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expiresAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.tenant == oldSelf.tenant && self.subject == oldSelf.subject && self.questions.map(q, q.id) == oldSelf.questions.map(q, q.id)").message("spec cannot be changed but for expiresAt: a questionnaire is its questions"))]
pub struct QuestionnaireSpec {
    /// Whose answers are wanted; only a credential of this tenant may give them.
    #[schemars(length(min = 1, max = 128))]
    pub tenant: String,
    /// Whom the batches are about: the tenant's or a user's id.
    #[schemars(length(min = 1, max = 128))]
    pub subject: String,
    /// What is asked.
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["id".into()]))]
    pub questions: Vec<Question>,
    /// From then on answers come too late. It is moved when another run asks the same and would wait longer.
    pub expires_at: MicroTime,
}

/// How far the answers have come.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct QuestionnaireStatus {
    /// Where it stands, for people; machines read the conditions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<QuestionnairePhase>,
    /// Questions answered of all: `1/3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub answered: Option<String>,
    /// When the last question was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at: Option<MicroTime>,
    /// Runs that wait for it.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub waiting: u32,
    /// `Answered`: True when every question is; else its reason is `Open` or `Expired`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// Where a questionnaire stands.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuestionnairePhase {
    /// Answers are taken.
    Open,
    /// Every question is answered.
    Answered,
    /// Nobody answered in time.
    Expired,
}

impl QuestionnairePhase {
    /// As written in resources.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::Answered => "Answered",
            Self::Expired => "Expired",
        }
    }
}
