//! A revision and a run to plan for, with the defaults a Track has.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use std::collections::BTreeMap;
use trackway_crds::{
    BatchRunSpec, Score,
    batch_run::{BatchSpec, TrackRef},
    contracts::{
        CONTRACT, Question, Reference, ResolvedAsk, ResolvedBackoff, ResolvedDimension, ResolvedJudge, ResolvedLimits,
        ResolvedModel, ResolvedRetry, ResolvedStage, ResolvedWork, Revision,
    },
    track::{Level, ModelParameters, OnMissing, OnTimeout, Priority},
};
use trackway_plan::Run;

pub const NAMESPACE: &str = "tenant-a";
pub const RUN: &str = "admin-b7k2f9q1";
pub const RUN_UID: &str = "5f0c2a34-9a55-4f0e-8a52-3f3c55f4d2aa";
pub const REVISION: &str = "admin-5d9c1a";

/// When the run was created.
pub fn birth() -> Timestamp {
    "2026-11-22T15:00:00Z".parse().unwrap()
}

/// A reference to a payload that says `text`.
pub fn reference(text: &str) -> Reference {
    Reference::of(text.as_bytes())
}

pub fn spec() -> BatchRunSpec {
    BatchRunSpec {
        track_ref: TrackRef { name: "admin".into() },
        batch: BatchSpec {
            id: "b7k2f9q1".into(),
            tenant: "octo-org".into(),
            level: Level::Tenant,
            subject: "octo-org".into(),
            priority: Priority::High,
            events: 37,
            ready_at: MicroTime(birth()),
            input: reference("batch"),
        },
        suspend: false,
        cancel: false,
    }
}

pub fn run(spec: &BatchRunSpec, generation: i64) -> Run<'_> {
    Run { namespace: NAMESPACE, name: RUN, uid: RUN_UID, generation, created_at: birth(), spec }
}

pub fn revision(stages: Vec<ResolvedStage>) -> Revision {
    Revision {
        contract: CONTRACT,
        track: "admin".into(),
        audience: "Org admin".into(),
        stages,
        debugger: None,
        limits: limits(),
        worker_template: Default::default(),
    }
}

pub fn limits() -> ResolvedLimits {
    ResolvedLimits {
        start_timeout_millis: 300_000,
        active_deadline_millis: 7_200_000,
        deadline_millis: 604_800_000,
        tokens: None,
    }
}

/// A stage that generates and is judged for relevance (weight 2) and clarity.
pub fn stage(name: &str) -> ResolvedStage {
    ResolvedStage {
        name: name.into(),
        work: ResolvedWork::Generate {
            model: Box::new(model("writer")),
            prompt: format!("{name}.md"),
            output_schema: None,
            retrieve: None,
        },
        vars: BTreeMap::new(),
        for_each: None,
        judge: Some(ResolvedJudge {
            model: model("critic"),
            threshold: Score::from_thousandths(700),
            dimensions: vec![dimension("relevance", 2, 0), dimension("clarity", 1, 0)],
        }),
        retry: ResolvedRetry {
            quality_max_attempts: 3,
            infrastructure_max_tries: 5,
            model_max_tries: 6,
            judge_max_tries: 5,
            model_backoff: ResolvedBackoff { initial_millis: 1_000, factor: 2, max_millis: 30_000 },
        },
        timeout_millis: 300_000,
    }
}

/// A context validation that does not ask.
pub fn validates(on_missing: OnMissing) -> ResolvedWork {
    ResolvedWork::ValidateContext { model: Box::new(model("writer")), prompt: "context.md".into(), on_missing, ask: None }
}

/// One that does.
pub fn asks(answer_within_millis: u64, on_timeout: OnTimeout) -> ResolvedWork {
    let ask = Some(ResolvedAsk { answer_within_millis, on_timeout });
    let (model, prompt) = (Box::new(model("writer")), "context.md".into());
    ResolvedWork::ValidateContext { model, prompt, on_missing: OnMissing::Ask, ask }
}

/// The questions that a worker makes of so many gaps, round by round others.
pub fn questions(gaps: u32, attempt: u32) -> Vec<Question> {
    let question = |n| Question {
        id: format!("q{attempt}-{n}"),
        question: format!("What is {n}?"),
        why: "Nobody says.".into(),
        answer: serde_json::json!({"type": "string"}),
    };
    (1..=gaps).map(question).collect()
}

pub fn dimension(name: &str, weight: u32, minimum: u16) -> ResolvedDimension {
    ResolvedDimension {
        name: name.into(),
        weight,
        minimum: Score::from_thousandths(minimum),
        criterion: format!("{name} is good."),
    }
}

pub fn model(role: &str) -> ResolvedModel {
    ResolvedModel {
        role: role.into(),
        endpoint: "main".into(),
        base_url: "http://models.example/v1".into(),
        headers: BTreeMap::new(),
        model: "m".into(),
        timeout_millis: 90_000,
        parameters: ModelParameters::default(),
        api_key_secret_ref: None,
        ca_bundle_ref: None,
    }
}
