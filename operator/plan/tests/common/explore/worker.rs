//! The Job controller and workers: a released Job's pods run, store before they judge, adopt what is stored, say each target once.

use super::{Action, World, case::Say};
use crate::common::{report, track as fixture};
use std::{collections::BTreeMap, sync::Arc};
use trackway_crds::{
    contracts::{ErrorClass, ResolvedWork, ResultPhase, StageResult, TargetAssignment},
    names::DEBUGGER,
};
use trackway_plan::{ArrivedResult, Finished, JobView, PodView, Waiting};

#[derive(Clone, Debug, Hash)]
pub struct Pod {
    uid: String,
    tasks: Vec<TargetAssignment>,
    /// How many of them have been said.
    said: usize,
    started: bool,
    /// Ended, or dead.
    ended: bool,
    deadline: i64,
}

impl Pod {
    pub fn is_at_work(&self) -> bool {
        !self.ended
    }
}

impl World {
    /// A Job was unsuspended: its controller makes its pods.
    pub fn released(&mut self, uid: &str) {
        if !self.history.uids.contains(uid) {
            self.broken.push(format!("inv01 at {} ms: {uid} runs a pod and no status ever named it", self.now));
        }
        let told = self.facts.told[uid].clone();
        if Some(&told.revision) != self.history.revision.as_ref() {
            self.broken.push(format!("inv06 at {} ms: {uid} executes {}", self.now, told.revision));
        }
        let limits = &self.case.revision.limits;
        let timeout = match (self.case.revision.stage(&told.stage), &self.case.revision.debugger) {
            (Some(stage), _) => stage.timeout_millis,
            (None, debugger) => debugger.as_ref().map_or(0, |debugger| debugger.timeout_millis),
        };
        let deadline = self.now + i64::try_from(limits.start_timeout_millis + timeout).unwrap();
        let mut views = Vec::new();
        for index in 0..report::pods(&told) {
            let pod_uid = format!("{uid}/{index}");
            let tasks = report::tasks(&told, index);
            let waiting = match tasks.first().map(|task| self.says(&told.stage, *task)) {
                Some(Say::Waits(reason)) => Some(Waiting { reason: reason.into(), message: "nothing to be done".into() }),
                _ => None,
            };
            views.push(PodView { uid: pod_uid.clone(), waiting, index, ..PodView::default() });
            let pod = Pod { uid: pod_uid, tasks, said: 0, started: false, ended: false, deadline };
            self.pods.insert((uid.to_owned(), index), pod);
        }
        self.change_job(uid, |job| job.pods = views);
    }

    fn says(&self, stage: &str, task: TargetAssignment) -> Say {
        self.case.say(stage, task.index, task.attempt, task.try_)
    }

    /// What the pod's next target comes to.
    fn next_say(&self, uid: &str, pod: &Pod) -> Option<(TargetAssignment, Say)> {
        let task = *pod.tasks.get(pod.said)?;
        Some((task, self.says(&self.facts.told[uid].stage, task)))
    }

    pub fn offer_work(&self, actions: &mut Vec<Action>) {
        for ((uid, index), pod) in self.pods.iter().filter(|(_, pod)| !pod.ended) {
            match self.next_say(uid, pod) {
                Some((_, Say::Waits(_))) => {}
                _ if !pod.started => actions.push(Action::Start(uid.clone(), *index)),
                Some((_, Say::Hangs)) => {}
                Some(_) => actions.push(Action::Report(uid.clone(), *index, false)),
                None => actions.push(Action::End(uid.clone(), *index)),
            }
        }
    }

    pub fn offer_faults_of_pods(&self, actions: &mut Vec<Action>) {
        for ((uid, index), pod) in self.pods.iter().filter(|(_, pod)| !pod.ended) {
            let next = self.next_say(uid, pod);
            if self.left.lost_results > 0 && pod.started && matches!(next, Some((_, Say::Score(_) | Say::Error(_)))) {
                actions.push(Action::Report(uid.clone(), *index, true));
            }
            if self.left.lost_pods > 0 && pod.started {
                actions.push(Action::Die(uid.clone(), *index, false));
                if matches!(next, Some((_, Say::Score(_)))) {
                    actions.push(Action::Die(uid.clone(), *index, true));
                }
            }
            if self.left.forgeries > 0 && matches!(next, Some((_, Say::Score(_)))) {
                actions.push(Action::Forge(uid.clone()));
            }
        }
    }

    pub fn work(&mut self, action: &Action) {
        match action {
            Action::Start(uid, index) => {
                // The pods of a Job start together: in which order tells nothing new.
                let starts = |pod: &Pod| !pod.ended && !matches!(self.next_say(uid, pod), Some((_, Say::Waits(_))));
                let all = self.pods.range((uid.clone(), *index)..).take_while(|((job, _), _)| job == uid);
                let all: Vec<u32> = all.filter(|(_, pod)| starts(pod)).map(|((_, index), _)| *index).collect();
                all.iter().for_each(|index| self.change_pod(uid, *index, |pod| pod.started = true));
                self.change_job(uid, |job| {
                    let started = job.pods.iter_mut().filter(|pod| all.contains(&pod.index));
                    started.for_each(|pod| (pod.started, pod.waiting) = (true, None));
                });
            }
            Action::Report(uid, index, lost) => {
                self.left.lost_results -= u8::from(*lost);
                self.report(uid, *index, *lost);
            }
            Action::End(uid, index) => self.end(uid, *index),
            Action::Die(uid, index, stored) => {
                self.left.lost_pods -= 1;
                if *stored && let Some(task) = self.pods[&(uid.clone(), *index)].tasks.get(self.pods[&(uid.clone(), *index)].said)
                {
                    let task = *task;
                    self.result(uid, *index, task);
                }
                self.die(uid, *index, "Evicted");
            }
            Action::Forge(uid) => self.forge(uid),
            _ => {}
        }
    }

    fn change_job(&mut self, uid: &str, change: impl FnOnce(&mut JobView)) {
        self.change_jobs(|jobs| {
            if let Some(job) = jobs.iter_mut().find(|job| job.uid == uid) {
                change(job);
            }
        });
    }

    fn change_pod(&mut self, uid: &str, index: u32, change: impl FnOnce(&mut Pod)) {
        if let Some(pod) = self.pods.get_mut(&(uid.to_owned(), index)) {
            change(pod);
        }
    }

    /// What the pod would say of `task`. Whatever it stores is stored once; who comes second takes what is there.
    fn result(&mut self, uid: &str, index: u32, task: TargetAssignment) -> StageResult {
        let told = self.facts.told[uid].clone();
        let pod = self.pods[&(uid.to_owned(), index)].uid.clone();
        let case = Arc::clone(&self.case);
        let stage = case.revision.stage(&told.stage);
        let mut result = report::blank(&told, task, &pod, ResultPhase::Done);
        let error = match self.says(&told.stage, task) {
            Say::Error(class) => Some(report::error(class, "SomethingWentWrong", "it went wrong")),
            Say::Later => {
                let mut error = report::error(ErrorClass::Model, "TooManyRequests", "429");
                error.retry_after_millis = Some(10_000);
                Some(error)
            }
            _ => None,
        };
        if let Some(error) = error {
            result.phase = ResultPhase::Error;
            result.error = Some(error);
            return result;
        }
        let key = (told.stage.clone(), task.attempt, task.index);
        let facts = Arc::make_mut(&mut self.facts);
        if !facts.outputs.contains_key(&key) {
            *facts.generations.entry(key.clone()).or_default() += 1;
            let text = format!("output of {key:?} by {pod}");
            facts.outputs.insert(key.clone(), fixture::reference(&text));
        }
        result.output = facts.outputs.get(&key).cloned();
        result.input = Some(fixture::reference("input"));
        if told.stage == DEBUGGER {
            result.diagnosis = Some(report::diagnosis());
            return result;
        }
        let score = if let Say::Score(score) = case.say(&told.stage, task.index, task.attempt, task.try_) { score } else { 800 };
        if let Some(judge) = stage.and_then(|stage| stage.judge.as_ref()) {
            let scores: BTreeMap<_, _> = judge.dimensions.iter().map(|dimension| (dimension.name.clone(), score)).collect();
            result.dimensions = facts.verdicts.entry(key).or_insert(scores).clone();
            result.phase = ResultPhase::Judged;
        }
        if matches!(stage.map(|stage| &stage.work), Some(ResolvedWork::ValidateContext { .. })) {
            let gaps = u32::from(case.say(&told.stage, 0, task.attempt, task.try_) == Say::Gaps);
            result.gaps = Some(gaps);
            result.questions = fixture::questions(gaps, task.attempt);
        }
        result.lists = report::lists(&case.revision, &told.stage, case.listed);
        result
    }

    fn report(&mut self, uid: &str, index: u32, lost: bool) {
        let pod = &self.pods[&(uid.to_owned(), index)];
        let Some((task, say)) = self.next_say(uid, pod) else { return };
        if say == Say::Kills {
            return self.die(uid, index, "OOMKilled");
        }
        let result = self.result(uid, index, task);
        self.change_pod(uid, index, |pod| pod.said += 1);
        let arrived_at = self.moment();
        let facts = Arc::make_mut(&mut self.facts);
        let key = (result.stage.clone(), result.attempt, result.index);
        facts.said.entry((key, result.try_)).or_default().push(result.clone());
        if !lost {
            self.publish(ArrivedResult { result, arrived_at });
        }
    }

    /// One message for each subject, the first.
    fn publish(&mut self, arrived: ArrivedResult) {
        let subject = |result: &StageResult| (result.stage.clone(), result.attempt, result.index, result.try_);
        let facts = Arc::make_mut(&mut self.facts);
        if !facts.stream.iter().any(|other| subject(&other.result) == subject(&arrived.result)) {
            facts.stream.push(arrived);
            self.touch();
        }
    }

    fn forge(&mut self, uid: &str) {
        self.left.forgeries -= 1;
        let open = self.pods.iter().find(|((job, _), pod)| job == uid && !pod.ended);
        let Some((task, _)) = open.and_then(|(_, pod)| self.next_say(uid, pod)) else { return };
        let told = self.facts.told[uid].clone();
        let mut result = report::blank(&told, task, "a-stranger", ResultPhase::Judged);
        let judge = self.case.revision.stage(&told.stage).and_then(|stage| stage.judge.clone());
        result.dimensions =
            judge.into_iter().flat_map(|judge| judge.dimensions).map(|dimension| (dimension.name, 1000)).collect();
        result.output = Some(fixture::reference("forged"));
        let arrived_at = self.moment();
        self.publish(ArrivedResult { result, arrived_at });
    }

    fn end(&mut self, uid: &str, index: u32) {
        let (pod, told) = (self.pods[&(uid.to_owned(), index)].uid.clone(), self.facts.told[uid].clone());
        let said = self.facts.said.iter().filter(|((key, _), _)| key.0 == told.stage).flat_map(|(_, said)| said);
        let said: Vec<StageResult> = said.filter(|said| said.pod == pod).cloned().collect();
        let results = report::last_words(&told, self.case.revision.stage(&told.stage), &pod, &said);
        self.change_pod(uid, index, |pod| pod.ended = true);
        let over = self.pods.iter().filter(|((job, _), _)| job == uid).all(|(_, pod)| pod.ended);
        self.change_job(uid, |job| {
            let ok = Finished { ok: true, reason: "Completed".into(), message: String::new() };
            if let Some(view) = job.pods.iter_mut().find(|pod| pod.index == index) {
                (view.finished, view.results) = (Some(ok), results);
            }
            if over {
                let ok = job.pods.iter().all(|pod| pod.finished.as_ref().is_some_and(|finished| finished.ok));
                job.ended =
                    Some(Finished { ok, reason: if ok { "Complete" } else { "FailedIndexes" }.into(), message: String::new() });
            }
        });
    }

    /// A pod dies without a word; with the last one its Job ends.
    fn die(&mut self, uid: &str, index: u32, reason: &str) {
        self.change_pod(uid, index, |pod| pod.ended = true);
        let over = self.pods.iter().filter(|((job, _), _)| job == uid).all(|(_, pod)| pod.ended);
        let dead = Finished { ok: false, reason: reason.into(), message: String::new() };
        self.change_job(uid, |job| {
            if let Some(pod) = job.pods.iter_mut().find(|pod| pod.index == index) {
                pod.finished = Some(dead.clone());
            }
            if over {
                job.ended = Some(dead);
            }
        });
    }

    pub fn job_deadlines(&self) -> impl Iterator<Item = i64> + '_ {
        self.pods.values().filter(|pod| !pod.ended).map(|pod| pod.deadline)
    }

    pub fn end_late_jobs(&mut self) {
        let late = self.pods.iter().filter(|(_, pod)| !pod.ended && pod.deadline <= self.now);
        let late: Vec<_> = late.map(|(key, _)| key.clone()).collect();
        for (uid, index) in late {
            self.die(&uid, index, "DeadlineExceeded");
        }
    }
}
