//! A fan-out: the world's stage done over a list that an earlier stage wrote.

use serde_json::{Value, json};
use trackway_crds::contracts::{NameKind, Reference, StageResult, StoredName};
use trackway_store::{Name, Scope};
use trackway_worker::AttemptJob;

use crate::world::{NAMESPACE, RUN_UID, Setup, World};

pub const PROMPT: &str = "Write to {{ target.name }} about batch {{ batch.id }}.\n\
                          {% if feedback %}Last time the judge said: {{ feedback.text }}{% endif %}\n";

pub struct Fan {
    pub world: World,
    pub list: Value,
    pub source: Reference,
}

impl Fan {
    /// Four targets with the keys `a` to `d`.
    pub async fn with_rules(rules: &str) -> Self {
        Self::over(json!(["a", "b", "c", "d"].map(|id| json!({"id": id, "name": format!("reader {id}")}))), rules).await
    }

    pub async fn over(list: Value, rules: &str) -> Self {
        let setup = Setup { rules: rules.to_owned(), prompt: PROMPT.to_owned(), ..Setup::default() };
        let mut world = World::new(setup).await;
        let mut solutions = world.revision.stages[0].clone();
        solutions.name = "solutions".to_owned();
        world.revision.stages.insert(0, solutions);
        world.revision.stages[1].for_each = serde_json::from_value(for_each("solutions")).unwrap();
        let output = json!({"targets": list}).to_string();
        let source = world.store.put_blob(&scope(), output.into()).await.unwrap();
        Self { world, list, source }
    }

    /// The pod `pod_index` of a wave of `targets`: index, attempt and try of each.
    pub fn job(&self, targets: &[(u32, u32, u32)], per_pod: u32, pod_index: u32) -> AttemptJob {
        let mut job = self.world.job(1, 1);
        job.assignment.stages.insert("solutions".to_owned(), self.source.clone());
        let targets: Vec<_> =
            targets.iter().map(|(index, attempt, try_)| json!({"index": index, "attempt": attempt, "try": try_})).collect();
        let wave = json!({"wave": 1, "targetsPerPod": per_pod, "targets": targets});
        job.assignment.wave = serde_json::from_value(wave).unwrap();
        job.pod_index = pod_index;
        job
    }

    /// What one pod with all `targets` tells, by index.
    pub async fn run(&self, targets: &[(u32, u32, u32)]) -> Vec<StageResult> {
        let mut results = self.world.run_pod(&self.job(targets, 32, 0)).await;
        results.sort_by_key(|result| result.index);
        results
    }

    pub async fn name(&self, attempt: u32, index: u32, kind: NameKind) -> Option<StoredName> {
        let name = Name { stage: "insights".to_owned(), attempt, index, kind };
        self.world.store.get_name(&scope(), &name).await.unwrap()
    }
}

pub fn scope() -> Scope {
    Scope::run(NAMESPACE, RUN_UID).unwrap()
}

/// A `forEach` over `targets` of `stage`.
pub fn for_each(stage: &str) -> Value {
    json!({"stage": stage, "field": "targets", "key": "id", "maxConcurrency": 40, "targetsPerPod": 4, "toleratedFailures": 0})
}
