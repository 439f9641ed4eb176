//! A model API server: one run with every version it ever had, its Jobs, and what a release or deletion does to them.

use super::track;
use std::{collections::BTreeMap, sync::Arc};
use trackway_crds::{BatchRunSpec, BatchRunStatus, contracts::Assignment};
use trackway_plan::{JobIntent, JobView};

/// The run as it was at one resourceVersion.
#[derive(Clone, Debug)]
pub struct Version {
    pub resource_version: u64,
    pub generation: i64,
    pub spec: BatchRunSpec,
    pub status: BatchRunStatus,
}

/// What a create came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Created {
    Made(String),
    Exists,
    Refused(String),
}

/// Somebody else wrote first.
#[derive(Debug, PartialEq, Eq)]
pub struct Conflict;

pub struct Cluster {
    /// Every version of the run, oldest first: a stale reader may see any.
    pub versions: Vec<Version>,
    /// Every state of the Jobs, oldest first: the last one is now.
    pub jobs: Vec<Vec<Arc<JobView>>>,
    /// What each Job's pod is told, by uid.
    pub assignments: BTreeMap<String, Assignment>,
    /// While set, no Job is taken.
    pub refuse: Option<String>,
    made: u32,
}

impl Cluster {
    pub fn new(spec: BatchRunSpec) -> Self {
        let first = Version { resource_version: 1, generation: 1, spec, status: BatchRunStatus::default() };
        Self { versions: vec![first], jobs: vec![Vec::new()], assignments: BTreeMap::new(), refuse: None, made: 0 }
    }

    pub fn run(&self) -> &Version {
        self.versions.last().unwrap()
    }

    pub fn jobs_now(&self) -> Vec<JobView> {
        self.shared_jobs().iter().map(|job| (**job).clone()).collect()
    }

    pub fn shared_jobs(&self) -> &[Arc<JobView>] {
        self.jobs.last().unwrap()
    }

    pub fn job(&self, uid: &str) -> Option<&JobView> {
        self.shared_jobs().iter().find(|job| job.uid == uid).map(|job| &**job)
    }

    /// Somebody edits the spec.
    pub fn edit(&mut self, change: impl FnOnce(&mut BatchRunSpec)) {
        let mut next = self.run().clone();
        change(&mut next.spec);
        next.generation += 1;
        next.resource_version += 1;
        self.versions.push(next);
    }

    /// A status replace with resourceVersion. What is stored is what JSON keeps of it.
    pub fn write_status(&mut self, resource_version: u64, status: &BatchRunStatus) -> Result<(), Conflict> {
        if self.run().resource_version != resource_version {
            return Err(Conflict);
        }
        let mut next = self.run().clone();
        next.status = serde_json::from_str(&serde_json::to_string(status).unwrap()).unwrap();
        next.resource_version += 1;
        self.versions.push(next);
        Ok(())
    }

    pub fn create(&mut self, intent: &JobIntent) -> Created {
        if let Some(message) = &self.refuse {
            return Created::Refused(message.clone());
        }
        if self.shared_jobs().iter().any(|job| job.name == intent.name) {
            return Created::Exists;
        }
        let uid = self.add_job(&intent.name, |job| {
            job.revision = Some(intent.assignment.revision.clone());
            job.wave.clone_from(&intent.assignment.wave);
        });
        self.assignments.insert(uid.clone(), intent.assignment.clone());
        Created::Made(uid)
    }

    /// A Job of ours, suspended, unless `change` makes it something else.
    pub fn add_job(&mut self, name: &str, change: impl FnOnce(&mut JobView)) -> String {
        self.made += 1;
        let uid = format!("job-{}", self.made);
        let mut job = JobView {
            name: name.to_owned(),
            uid: uid.clone(),
            owned: true,
            revision: Some(track::REVISION.into()),
            wave: None,
            suspended: true,
            deleting: false,
            ended: None,
            pods: Vec::new(),
        };
        change(&mut job);
        self.change_jobs(|jobs| jobs.push(Arc::new(job)));
        uid
    }

    /// The patch that unsuspends; `false` when no Job has this name and uid.
    pub fn release(&mut self, name: &str, uid: &str) -> bool {
        self.change_job(name, uid, |job| job.suspended = false)
    }

    /// Background deletion by uid: Job and pods go.
    pub fn delete(&mut self, name: &str, uid: &str) -> bool {
        let found = self.shared_jobs().iter().any(|job| job.name == name && job.uid == uid);
        if found {
            self.change_jobs(|jobs| jobs.retain(|job| job.uid != uid));
        }
        found
    }

    pub fn change_job(&mut self, name: &str, uid: &str, change: impl FnOnce(&mut JobView)) -> bool {
        let Some(index) = self.shared_jobs().iter().position(|job| job.name == name && job.uid == uid) else { return false };
        self.change_jobs(|jobs| change(Arc::make_mut(&mut jobs[index])));
        true
    }

    fn change_jobs(&mut self, change: impl FnOnce(&mut Vec<Arc<JobView>>)) {
        let mut next = self.shared_jobs().to_vec();
        change(&mut next);
        self.jobs.push(next);
    }

    pub fn plan_run(version: &Version) -> trackway_plan::Run<'_> {
        track::run(&version.spec, version.generation)
    }
}
