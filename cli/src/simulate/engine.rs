//! The loop the operator runs, against Jobs that are tasks of this process.

use super::pods::{Means, Pods};
use crate::submit::Batch;
use anyhow::ensure;
use bytes::Bytes;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::task::LocalSet;
use trackway_crds::{
    BatchRun, BatchRunSpec, BatchRunStatus,
    batch_run::{BatchSpec, TrackRef},
    contracts::{Revision, StageResult},
    ledger::{Ledger, TargetState},
    names::{DEBUGGER, run_name},
    status::{Phase, StagePhase, StageStatus},
};
use trackway_plan::{After, Observed, Plan, QuestionnaireView, RevisionView, Run, check, plan};
use trackway_resolve::{Resolved, revision_name};
use trackway_store::PayloadStore;
use trackway_worker::{Answers, Models};

/// Namespace of a simulated run and its payloads.
pub(crate) const NAMESPACE: &str = "simulated";

/// A run that has ended, or waits for answers.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// The run with its last status.
    pub run: BatchRun,
    /// What it executed.
    pub revision: Revision,
}

/// What a simulation works with. Notices are never sent.
#[derive(Debug)]
pub struct Outfit {
    /// Where payloads go.
    pub store: PayloadStore,
    /// The models.
    pub models: Models,
    /// What the tenant has answered, by question id.
    pub answers: BTreeMap<String, serde_json::Value>,
    /// What the program of a container stage would write, by stage: images cannot be run here.
    pub containers: BTreeMap<String, Bytes>,
}

/// Runs `resolved` on `batch` to its end, or until it waits for answers that were not given. `tell` hears what happens, in words.
///
/// # Errors
/// When the store fails, or the planner breaks one of its own rules.
pub async fn simulate(resolved: &Resolved, batch: &Batch, outfit: Outfit, tell: impl FnMut(&str)) -> anyhow::Result<Simulated> {
    let world = World::new(resolved, batch, outfit).await?;
    LocalSet::new().run_until(world.live(tell)).await
}

/// What a cluster would hold.
struct World {
    name: String,
    uid: String,
    created_at: Timestamp,
    spec: BatchRunSpec,
    status: BatchRunStatus,
    revision_name: String,
    revision: Arc<Revision>,
    pods: Pods,
}

impl World {
    /// Observe, plan, check, apply, until the run has ended.
    async fn live(mut self, mut tell: impl FnMut(&str)) -> anyhow::Result<Simulated> {
        loop {
            self.pods.hear()?;
            let plan = self.plan()?;
            plan.events.iter().for_each(|event| tell(&event.note));
            if let Some(intent) = plan.create {
                self.pods.create(intent);
                continue;
            }
            for question in plan.ask.iter().flat_map(|asking| &asking.questions) {
                tell(&format!("  {}: {} ({})", question.id, question.question, question.why));
            }
            if let Some(status) = plan.status {
                self.status = status;
                self.forget();
            }
            for act in plan.after {
                match act {
                    After::Release { uid, .. } => self.pods.release(&uid)?,
                    After::Delete { uid, .. } => self.pods.delete(&uid),
                }
            }
            // There is no gateway here that would take an answer.
            let waits = self.status.phase == Some(Phase::WaitingForContext);
            if waits || self.status.phase.is_some_and(Phase::is_finished) {
                return Ok(self.ended());
            }
            self.pods.wait(plan.requeue.unwrap_or(Duration::from_secs(1))).await?;
        }
    }

    async fn new(resolved: &Resolved, batch: &Batch, outfit: Outfit) -> anyhow::Result<Self> {
        let now = Timestamp::now();
        let info = &batch.info;
        let Outfit { store, models, answers, containers } = outfit;
        let answers = Answers::given(answers);
        let input = store.put_batch(NAMESPACE, Bytes::from(batch.document.clone())).await?;
        let spec = BatchRunSpec {
            track_ref: TrackRef { name: resolved.revision.track.clone() },
            batch: BatchSpec {
                id: info.id.clone(),
                tenant: info.tenant.clone(),
                level: info.level,
                subject: info.subject.clone(),
                priority: info.priority,
                events: info.counts.events,
                ready_at: MicroTime(info.ready_at),
                input,
            },
            suspend: false,
            cancel: false,
        };
        let name = run_name(&resolved.revision.track, &info.id);
        let revision = Arc::new(resolved.revision.clone());
        let files = resolved.files.clone();
        Ok(Self {
            // A uid of its own, so that a folder may hold many simulations of one batch.
            uid: format!("{name}-{}", now.as_microsecond()),
            name,
            created_at: now,
            spec,
            status: BatchRunStatus::default(),
            revision_name: revision_name(&resolved.revision.track, resolved),
            revision: revision.clone(),
            pods: Pods::new(Means { revision, files, store, models, answers, containers }),
        })
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        let run = Run {
            namespace: NAMESPACE,
            name: &self.name,
            uid: &self.uid,
            generation: 1,
            created_at: self.created_at,
            spec: &self.spec,
        };
        let observed = Observed {
            revision: RevisionView::Available { name: self.revision_name.clone(), revision: self.revision.clone() },
            jobs: self.pods.jobs.clone(),
            results: self.pods.results.clone(),
            results_known: true,
            questionnaire: QuestionnaireView::Open,
            refusal: None,
        };
        let plan = plan(&run, &self.status, &observed, Timestamp::now());
        let faults = check(&run, &self.status, &observed, &plan);
        ensure!(faults.is_empty(), "the planner broke a rule of its own, please report it: {faults:?}");
        Ok(plan)
    }

    /// Drops the results that are on record: only those of open tries matter.
    fn forget(&mut self) {
        let diagnosing = self.status.phase == Some(Phase::Diagnosing);
        let open: Vec<_> = self.status.stages.iter().filter(|stage| stage.phase == StagePhase::Running).map(Open::of).collect();
        self.pods.results.retain(|arrived| match arrived.result.stage.as_str() {
            DEBUGGER => diagnosing,
            _ => open.iter().any(|open| open.is_about(&arrived.result)),
        });
    }

    fn ended(self) -> Simulated {
        let mut run = BatchRun::new(&self.name, self.spec);
        run.metadata.namespace = Some(NAMESPACE.to_owned());
        run.metadata.uid = Some(self.uid);
        run.status = Some(self.status);
        Simulated { run, revision: (*self.revision).clone() }
    }
}

/// A stage in work, and where its targets stand.
struct Open<'a> {
    stage: &'a str,
    ledger: Option<Ledger>,
}

impl<'a> Open<'a> {
    fn of(stage: &'a StageStatus) -> Self {
        let ledger = stage.targets.as_ref().and_then(|targets| Ledger::decode(&targets.ledger).ok());
        Self { stage: &stage.name, ledger }
    }

    fn is_about(&self, result: &StageResult) -> bool {
        let target = |ledger: &Ledger| ledger.0.get(usize::try_from(result.index).unwrap_or(usize::MAX)).copied();
        self.stage == result.stage
            && self.ledger.as_ref().is_none_or(|ledger| {
                target(ledger).is_some_and(|target| {
                    target.state == TargetState::Running && (target.attempt, target.try_()) == (result.attempt, result.try_)
                })
            })
    }
}
