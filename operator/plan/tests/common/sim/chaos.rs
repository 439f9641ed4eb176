//! What goes wrong between 0 and `faults_end`, and how it is made right then.

use super::{Event, SECOND, Sim, operator::revision_name};
use crate::common::track as fixture;
use trackway_crds::names;
use trackway_plan::Finished;

impl Sim {
    pub fn go_wrong(&mut self) {
        if !self.faults {
            return;
        }
        match self.rng.between(0, 99) {
            0..14 => self.delete_by_hand(),
            14..28 => {
                if let Some(uid) = self.any_job() {
                    let pods = self.cluster.job(&uid).map_or(0, |job| job.pods.len());
                    let index = self.rng.index(0, pods.max(1) - 1);
                    self.work(Event::Vanish(uid, u32::try_from(index).unwrap()));
                }
            }
            28..40 => self.cluster.edit(|spec| spec.suspend = !spec.suspend),
            40..52 => self.stream_away = !self.stream_away,
            52..64 => {
                let refuse = self.cluster.refuse.is_none();
                self.cluster.refuse = refuse.then(|| "exceeded quota: pods=10".into());
            }
            64..76 => self.take_a_name(),
            76..86 => self.offered = if self.rng.chance(60) { Some(self.rng.index(0, 1)) } else { None },
            86 => self.revision_lost = true,
            87 => self.cluster.edit(|spec| spec.cancel = true),
            88..92 => self.forge(),
            _ => {}
        }
        self.count("chaos");
        self.touch();
        // Some worlds are mad, most are only bad; a run that has ended is left alone after a while.
        let most = [5, 20, 60, 200][usize::try_from(self.seed % 4).unwrap()];
        if self.finished_at.is_none_or(|at| self.now < at + 120 * SECOND) {
            self.within(0, most, Event::Chaos);
        }
    }

    pub fn go_right(&mut self) {
        self.faults = false;
        self.stream_away = false;
        self.cluster.refuse = None;
        self.offered = self.offered.or(Some(0));
        if self.cluster.run().spec.suspend {
            self.cluster.edit(|spec| spec.suspend = false);
        }
        for operator in &mut self.operators {
            operator.next = self.now;
        }
    }

    fn any_job(&mut self) -> Option<String> {
        let count = self.cluster.shared_jobs().len();
        let index = if count == 0 { return None } else { self.rng.index(0, count - 1) };
        Some(self.cluster.shared_jobs()[index].uid.clone())
    }

    fn delete_by_hand(&mut self) {
        let Some(job) = self.any_job().and_then(|uid| self.cluster.job(&uid).cloned()) else { return };
        if self.rng.chance(30) {
            self.cluster.change_job(&job.name, &job.uid, |job| job.deleting = true);
            self.at(self.now + 5 * SECOND, Event::Remove(job.uid));
        } else {
            self.remove(&job.uid);
        }
    }

    pub fn remove(&mut self, uid: &str) {
        let Some(name) = self.cluster.job(uid).map(|job| job.name.clone()) else { return };
        self.cluster.delete(&name, uid);
        self.job_gone(uid);
        self.touch();
    }

    /// Somebody has a Job of a name that may be wanted soon.
    fn take_a_name(&mut self) {
        let stage = self.rng.index(0, self.revisions[0].stages.len() - 1);
        let stage = self.revisions[0].stages[stage].name.clone();
        let number = |sim: &mut Self, most: i64| u32::try_from(sim.rng.between(1, most)).unwrap();
        let (attempt, try_) = (number(self, 3), number(self, 5));
        let name = match self.rng.between(0, 9) {
            0 => names::job_name(fixture::RUN, fixture::RUN_UID, names::DEBUGGER, 1, try_),
            1..5 => names::wave_job_name(fixture::RUN, fixture::RUN_UID, &stage, attempt, try_.min(2)),
            _ => names::job_name(fixture::RUN, fixture::RUN_UID, &stage, attempt, try_),
        };
        if self.cluster.shared_jobs().iter().any(|job| job.name == name) {
            return;
        }
        let kind = self.rng.between(0, 2);
        self.cluster.add_job(&name, |job| match kind {
            0 => job.owned = false,
            1 => job.revision = Some(revision_name(2)),
            _ => job.ended = Some(Finished { ok: true, reason: "Complete".into(), message: String::new() }),
        });
    }
}
