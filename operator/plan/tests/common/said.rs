//! What workers of stories say: results on the stream or as the last words of a pod.

use super::{
    commands::{Options, job, millis, pod_of, thousandths},
    story::Story,
    track,
};
use std::collections::BTreeMap;
use trackway_crds::{
    Score,
    contracts::{
        Assignment, CONTRACT, Diagnosis, ErrorClass, Evidence, ListInfo, ResultError, ResultMillis, ResultPhase, StageResult,
        TargetAssignment, Tokens,
    },
};
use trackway_plan::{ArrivedResult, Finished, JobView, wave_targets};

/// The part of a result that differs from one to another.
#[derive(Clone)]
pub struct Said {
    phase: ResultPhase,
    dimensions: BTreeMap<String, u16>,
    error: Option<ResultError>,
    diagnosis: Option<Diagnosis>,
}

impl Said {
    pub fn done() -> Self {
        Self { phase: ResultPhase::Done, dimensions: BTreeMap::new(), error: None, diagnosis: None }
    }

    pub fn judged(overall: u16, options: &Options) -> Self {
        let known = ["relevance", "clarity", "safety"];
        let score = |name: &str| options.get(name).map_or(overall, |number| thousandths(number));
        let dimensions = known.iter().map(|name| ((*name).into(), score(name))).collect();
        Self { phase: ResultPhase::Judged, dimensions, ..Self::done() }
    }

    pub fn failed(class: &str, reason: &str, message: &str, options: &Options) -> Self {
        let class: ErrorClass = serde_json::from_value(class.into()).unwrap();
        let retry_after_millis = options.get("retryAfter").map(|after| millis(after));
        let error = Some(ResultError { class, reason: reason.into(), message: message.trim().into(), retry_after_millis });
        Self { phase: ResultPhase::Error, error, ..Self::done() }
    }

    pub fn diagnosis(options: &Options) -> Self {
        let number = |name: &str, default: u32| options.get(name).map_or(default, |n| n.parse().unwrap());
        let evidence = |n: u32| Evidence { piece: format!("verdict of attempt {n}"), sha256: "f".repeat(64), bytes: 7 };
        let diagnosis = Diagnosis {
            root_cause: "The prompt names no reader.".into(),
            suggested_fix: "Name one.".into(),
            continuation_prompt: "Here is a prompt that names no reader.".into(),
            evidence: (1..=number("found", 1)).map(evidence).collect(),
            dropped_evidence: number("dropped", 0),
            confidence: Score::from_thousandths(options.get("confidence").map_or(800, |number| thousandths(number))),
            model: "m".into(),
            full: track::reference("diagnosis"),
        };
        Self { diagnosis: Some(diagnosis), ..Self::done() }
    }
}

/// The pod of a plain Job reports.
pub fn report(story: &mut Story, options: &Options, said: Said) {
    let job_uid = options.get("job").map_or_else(|| job(story, options).uid, |n| format!("job-{n}"));
    let told = story.cluster().assignments[&job_uid].clone();
    let try_ = TargetAssignment { index: 0, attempt: told.attempt, try_: told.try_ };
    let result = result(&told, try_, pod_of(&job_uid), options, said);
    publish(story, &job_uid, 0, options, vec![result]);
}

/// Pods of a wave report on the targets that `text` lists.
pub fn report_targets(story: &mut Story, text: &str, options: &Options, said: &Said) {
    for index in wave_targets(text, 1_000).unwrap() {
        let (job, position, try_) = told_of(story, options, index);
        let pod = position / job.wave.as_ref().unwrap().targets_per_pod;
        let told = story.cluster().assignments[&job.uid].clone();
        let mut result = result(&told, try_, format!("{}-{pod}", pod_of(&job.uid)), options, said.clone());
        result.key = (!options.contains_key("by")).then(|| format!("key-{index}"));
        publish(story, &job.uid, pod, options, vec![result]);
    }
}

/// The newest Job (or `job=`) that was told of target `index`, the target's position in it, and what it was told.
fn told_of(story: &mut Story, options: &Options, index: u32) -> (JobView, u32, TargetAssignment) {
    let wanted = options.get("job").map(|n| format!("job-{n}"));
    let jobs = story.cluster().jobs_now().to_vec();
    let told = |job: &JobView| {
        let wave = job.wave.as_ref().filter(|_| wanted.as_ref().is_none_or(|uid| *uid == job.uid))?;
        let (position, target) = (0..).zip(&wave.targets).find(|(_, target)| target.index == index)?;
        Some((job.clone(), position, *target))
    };
    jobs.iter().rev().find_map(told).unwrap_or_else(|| panic!("no wave has target {index}; told so far:\n{}", story.told))
}

fn result(told: &Assignment, of: TargetAssignment, pod: String, options: &Options, said: Said) -> StageResult {
    let payload = |kind: &str| Some(track::reference(&format!("{kind} of {} {}", told.stage, told.attempt)));
    let stored = said.phase != ResultPhase::Error;
    let count = |name: &str, default: u64| options.get(name).map_or(default, |n| n.parse().unwrap());
    StageResult {
        contract: CONTRACT,
        run: told.run.uid.clone(),
        stage: told.stage.clone(),
        index: of.index,
        attempt: of.attempt,
        try_: of.try_,
        pod: options.get("pod").cloned().unwrap_or(pod),
        phase: said.phase,
        score: None,
        dimensions: said.dimensions,
        feedback: options.get("feedback").cloned(),
        input: payload("input"),
        output: payload("output").filter(|_| stored),
        record: payload("record"),
        gaps: options.get("gaps").map(|gaps| gaps.parse().unwrap()),
        questions: if options.contains_key("by") || options.contains_key("unasked") {
            Vec::new()
        } else {
            track::questions(options.get("gaps").map_or(0, |gaps| gaps.parse().unwrap()), of.attempt)
        },
        key: None,
        lists: options.get("list").map(|list| lists(list)).unwrap_or_default(),
        diagnosis: said.diagnosis,
        tokens: Tokens { input: count("tokens", 1_200) - 200, output: 200, judge_input: 0, judge_output: 0 },
        millis: ResultMillis {
            generate: options.get("generate").map_or(0, |took| millis(took)),
            judge: options.get("judge").map_or(0, |took| millis(took)),
        },
        error: said.error,
    }
}

/// `targets:7,others:2`.
fn lists(text: &str) -> BTreeMap<String, ListInfo> {
    let list = |part: &str| {
        let (field, count) = part.split_once(':').unwrap();
        (field.to_owned(), ListInfo { count: count.parse().unwrap(), keys_sha256: "f".repeat(64) })
    };
    text.split(',').map(list).collect()
}

/// On the stream, or with `by=message` as the last words of the pod.
fn publish(story: &mut Story, job_uid: &str, pod: u32, options: &Options, results: Vec<StageResult>) {
    if options.contains_key("by") {
        let job = story.cluster().job(job_uid).unwrap().clone();
        story.cluster().change_job(&job.name, &job.uid, |job| {
            let view = super::commands::pod_mut(job, pod);
            view.finished = Some(Finished { ok: true, reason: "Completed".into(), message: String::new() });
            view.results.extend(results);
        });
        return;
    }
    let arrived_at = story.now;
    story.results.extend(results.into_iter().map(|result| ArrivedResult { result, arrived_at }));
}

/// Having reported everything, pods end, and so does their Job.
pub fn finish(story: &mut Story, options: &Options) {
    let named = options.get("job").map(|n| format!("job-{n}"));
    let said: Vec<StageResult> = story.results.iter().map(|arrived| arrived.result.clone()).collect();
    let reported = said.last().map(|result| result.pod.split('-').take(2).collect::<Vec<_>>().join("-").replace("pod-", "job-"));
    let jobs = story.cluster().jobs_now().to_vec();
    let waves = jobs.iter().filter(|job| job.wave.is_some());
    let plain = jobs.iter().find(|job| job.wave.is_none() && Some(&job.uid) == named.as_ref().or(reported.as_ref()));
    for job in waves.chain(plain) {
        story.cluster().change_job(&job.name, &job.uid, |job| end_pods(job, &said));
    }
}

fn end_pods(job: &mut JobView, said: &[StageResult]) {
    let ok = Finished { ok: true, reason: "Completed".into(), message: String::new() };
    let wave = job.wave.clone();
    for pod in &mut job.pods {
        let mine = |told: &TargetAssignment| {
            let of = |result: &&StageResult| {
                (result.index, result.attempt, result.try_) == (told.index, told.attempt, told.try_) && result.pod == pod.uid
            };
            pod.results.iter().chain(said).any(|result| of(&result))
        };
        let index = usize::try_from(pod.index).unwrap();
        if wave.as_ref().is_none_or(|wave| wave.of_pod(index).iter().all(mine)) {
            pod.finished.get_or_insert_with(|| ok.clone());
        }
    }
    let pods = wave.as_ref().map_or(1, |wave| wave.pods());
    if job.pods.len() >= pods && job.pods.iter().all(|pod| pod.finished.is_some()) {
        job.ended.get_or_insert(ok);
    }
}
