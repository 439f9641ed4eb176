//! The language of stories. A line is `[+DURATION] COMMAND [WORDS] [KEY=VALUE]`; `#` begins a comment.
//!
//! ```text
//! stage NAME [threshold= attempts= min.DIMENSION= nojudge context=Fail|Proceed]      before `create run`
//!     [foreach=STAGE.FIELD concurrency= perPod= tolerate=]   [context=Ask within= onTimeout=Fail]
//! retry [infrastructure= model= judge= backoff=INITIAL,FACTOR,MAX]   limits [start= active= deadline= tokens=]   debugger timeout=
//! track waits REASON "MESSAGE" | track ready | revision lost | create run [suspended]
//! pod starts | pod waits REASON "MESSAGE" | pod ends ok|REASON "MESSAGE" | pod lost REASON | job gone | job suspended [job= at=POD]
//! score N [DIMENSION=N generate= judge= tokens= gaps= list=FIELD:COUNT job= pod= feedback= by=message]     done [the same]
//! error CLASS REASON "MESSAGE" [retryAfter= job= by=message]     diagnosis [confidence= found= dropped=]
//! targets 0-3,7 score N | targets 5 error CLASS REASON "MESSAGE" [options as above]
//! questionnaire answered | questionnaire unknown | questionnaire known | questionnaires refused "MESSAGE"
//! suspend | resume | cancel | stream away | stream back | operator away | operator back | operator dies at create | wait
//! jobs refused "MESSAGE" | jobs taken | name taken STAGE ATTEMPT TRY by foreign|spent|other-revision
//! wave taken STAGE WAVE TRY by foreign|spent|stale
//! ```

use super::{
    cluster::Cluster,
    said::{Said, finish, report, report_targets},
    story::{Story, View},
    track,
};
use std::collections::BTreeMap;
use trackway_crds::{
    GoDuration, Score,
    contracts::{ResolvedDebugger, ResolvedForEach, ResolvedStage, TargetAssignment, WaveAssignment},
    names,
    track::{OnMissing, OnTimeout},
};
use trackway_plan::{Finished, JobView, PodView, Waiting};

/// The world after the whole story; `told` is its transcript.
pub fn tell(text: &str) -> Story {
    let mut story = Story::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        story.told.push_str(&format!("> {line}\n"));
        let mut words = words(line);
        if let Some(duration) = words[0].strip_prefix('+').map(str::to_owned) {
            story.pass(i64::try_from(millis(&duration)).unwrap());
            words.remove(0);
        }
        let (options, words): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| word.contains('=') && !word.contains(' '));
        let options = options.iter().filter_map(|o| o.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if setting(&mut story, &words, &options) {
            continue;
        }
        happen(&mut story, &words, &options);
        story.look();
        if matches!(words[0], "score" | "done" | "error" | "diagnosis" | "targets") && !options.contains_key("pod") {
            // Having reported, the pod ends and its Job completes.
            finish(&mut story, &options);
            story.look();
        }
    }
    story
}

pub type Options = BTreeMap<String, String>;

fn words(line: &str) -> Vec<String> {
    let quoted = line.split('"').enumerate();
    let parts = quoted.flat_map(|(n, part)| match n % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![format!("{part} ")],
    });
    parts.collect()
}

pub fn millis(duration: &str) -> u64 {
    duration.parse::<GoDuration>().unwrap().millis()
}

pub fn thousandths(number: &str) -> u16 {
    Score::from_number(number.parse().unwrap()).unwrap().thousandths()
}

/// Lines that say what the track is; `false` for everything that happens.
fn setting(story: &mut Story, words: &[&str], options: &Options) -> bool {
    match words {
        ["stage", name, flags @ ..] => {
            let stage = stage(name, flags, options);
            story.revision.stages.push(stage);
        }
        ["retry"] => story.revision.stages.iter_mut().for_each(|stage| retry(stage, options)),
        ["limits"] => {
            let limits = &mut story.revision.limits;
            for (key, value) in options {
                match key.as_str() {
                    "start" => limits.start_timeout_millis = millis(value),
                    "active" => limits.active_deadline_millis = millis(value),
                    "deadline" => limits.deadline_millis = millis(value),
                    "tokens" => limits.tokens = Some(value.parse().unwrap()),
                    other => panic!("no limit {other}"),
                }
            }
        }
        ["debugger"] => {
            let timeout_millis = options.get("timeout").map_or(120_000, |timeout| millis(timeout));
            story.revision.debugger = Some(ResolvedDebugger { model: track::model("critic"), timeout_millis });
        }
        _ => return false,
    }
    true
}

fn for_each(items: &str, options: &Options) -> ResolvedForEach {
    let (stage, field) = items.split_once('.').unwrap();
    let number = |name: &str, default: u32| options.get(name).map_or(default, |n| n.parse().unwrap());
    ResolvedForEach {
        stage: stage.into(),
        field: field.into(),
        key: "id".into(),
        max_concurrency: number("concurrency", 40),
        targets_per_pod: number("perPod", 10),
        tolerated_failures: options.get("tolerate").map_or_else(Default::default, |tolerate| tolerate.parse().unwrap()),
    }
}

fn stage(name: &str, flags: &[&str], options: &Options) -> ResolvedStage {
    let mut stage = track::stage(name);
    if flags.contains(&"nojudge") {
        stage.judge = None;
    }
    for (key, value) in options {
        match (key.as_str(), key.strip_prefix("min."), stage.judge.as_mut()) {
            ("foreach", ..) => stage.for_each = Some(for_each(value, options)),
            ("concurrency" | "perPod" | "tolerate", ..) => {}
            ("attempts", ..) => stage.retry.quality_max_attempts = value.parse().unwrap(),
            ("context", ..) => {
                stage.work = match value.as_str() {
                    "Ask" => track::asks(options.get("within").map_or(259_200_000, |within| millis(within)), on_timeout(options)),
                    "Fail" => track::validates(OnMissing::Fail),
                    _ => track::validates(OnMissing::Proceed),
                };
            }
            ("within" | "onTimeout", ..) => {}
            ("threshold", _, Some(judge)) => judge.threshold = Score::from_thousandths(thousandths(value)),
            (_, Some(dimension), Some(judge)) => judge.dimensions.push(track::dimension(dimension, 1, thousandths(value))),
            _ => panic!("no option {key}"),
        }
    }
    stage
}

fn on_timeout(options: &Options) -> OnTimeout {
    if options.get("onTimeout").is_some_and(|what| what == "Fail") { OnTimeout::Fail } else { OnTimeout::Proceed }
}

fn retry(stage: &mut ResolvedStage, options: &Options) {
    let retry = &mut stage.retry;
    for (key, value) in options {
        match key.as_str() {
            "infrastructure" => retry.infrastructure_max_tries = value.parse().unwrap(),
            "model" => retry.model_max_tries = value.parse().unwrap(),
            "judge" => retry.judge_max_tries = value.parse().unwrap(),
            "backoff" => {
                let parts: Vec<_> = value.split(',').collect();
                retry.model_backoff.initial_millis = millis(parts[0]);
                retry.model_backoff.factor = parts[1].parse().unwrap();
                retry.model_backoff.max_millis = millis(parts[2]);
            }
            other => panic!("no budget {other}"),
        }
    }
}

fn happen(story: &mut Story, words: &[&str], options: &Options) {
    match words {
        ["wait"] => {}
        ["track", "waits", reason, message] => story.view = View::Waiting((*reason).into(), message.trim().into()),
        ["track", "ready"] => story.view = View::Here,
        ["revision", "lost"] => story.view = View::Lost,
        ["create", "run", rest @ ..] => {
            let mut spec = track::spec();
            spec.suspend = rest.contains(&"suspended");
            story.cluster = Some(Cluster::new(spec));
        }
        ["suspend"] => story.cluster().edit(|spec| spec.suspend = true),
        ["resume"] => story.cluster().edit(|spec| spec.suspend = false),
        ["cancel"] => story.cluster().edit(|spec| spec.cancel = true),
        ["questionnaire", "answered"] => {
            let asked = story.cluster().run().status.stages.iter().find_map(|stage| stage.waits_for().cloned());
            let asked = asked.unwrap_or_else(|| panic!("nothing is waited for; told so far:\n{}", story.told));
            story.answered.insert(asked.name, story.now);
        }
        ["questionnaire", word] => story.questionnaires_away = *word == "unknown",
        ["questionnaires", "refused", message] => story.refuse_questions = Some(message.trim().into()),
        ["stream", word] => story.stream_away = *word == "away",
        ["jobs", "refused", message] => story.cluster().refuse = Some(message.trim().into()),
        ["jobs", "taken"] => story.cluster().refuse = None,
        ["name", "taken", stage, attempt, try_, "by", whom] => take_name(story, [stage, attempt, try_], whom),
        ["wave", "taken", stage, wave, try_, "by", whom] => take_wave(story, [stage, wave, try_], whom),
        ["operator", "dies", "at", "create"] => story.dies_at_create = true,
        ["operator", word] => story.operator_away = *word == "away",
        ["job", "suspended"] => {
            let job = job(story, options);
            story.cluster().change_job(&job.name, &job.uid, |job| job.suspended = true);
        }
        ["job", "gone"] => {
            let job = job(story, options);
            story.cluster().delete(&job.name, &job.uid);
        }
        ["pod", what @ ..] => pod(story, what, options),
        ["targets", indices, said @ ..] => report_targets(story, indices, options, &what(said, options)),
        ["score" | "done" | "error" | "diagnosis", ..] => report(story, options, what(words, options)),
        other => panic!("not a line of a story: {other:?}"),
    }
}

fn what(words: &[&str], options: &Options) -> Said {
    match words {
        ["score", number] => Said::judged(thousandths(number), options),
        ["done"] => Said::done(),
        ["error", class, reason, message] => Said::failed(class, reason, message, options),
        ["diagnosis"] => Said::diagnosis(options),
        other => panic!("nothing a worker says: {other:?}"),
    }
}

fn take_wave(story: &mut Story, of: [&str; 3], whom: &str) {
    let (wave, try_): (u32, u32) = (of[1].parse().unwrap(), of[2].parse().unwrap());
    let name = names::wave_job_name(track::RUN, track::RUN_UID, of[0], wave, try_);
    let target = TargetAssignment { index: 0, attempt: 9, try_: 9 };
    story.cluster().add_job(&name, |job| {
        job.wave = Some(WaveAssignment { wave, targets_per_pod: 1, targets: vec![target] });
        match whom {
            "foreign" => job.owned = false,
            "stale" => {}
            _ => job.ended = Some(Finished { ok: true, reason: "Complete".into(), message: String::new() }),
        }
    });
}

fn take_name(story: &mut Story, of: [&str; 3], whom: &str) {
    let name = names::job_name(track::RUN, track::RUN_UID, of[0], of[1].parse().unwrap(), of[2].parse().unwrap());
    story.cluster().add_job(&name, |job| match whom {
        "foreign" => job.owned = false,
        "other-revision" => job.revision = Some("admin-0ld".into()),
        _ => job.ended = Some(Finished { ok: true, reason: "Complete".into(), message: String::new() }),
    });
}

/// The Job named by `job=N`, else the newest.
pub fn job(story: &mut Story, options: &Options) -> JobView {
    let uid = options.get("job").map(|n| format!("job-{n}"));
    let jobs = story.cluster().jobs_now().to_vec();
    let found = jobs.into_iter().rfind(|job| uid.as_ref().is_none_or(|uid| *uid == job.uid));
    found.unwrap_or_else(|| panic!("there is no such Job; told so far:\n{}", story.told))
}

/// The pod with completion index `index`, made if need be.
pub fn pod_mut(job: &mut JobView, index: u32) -> &mut PodView {
    let at = job.pods.iter().position(|pod| pod.index == index).unwrap_or_else(|| {
        let uid = pod_of(&job.uid);
        let uid = if job.wave.is_some() { format!("{uid}-{index}") } else { uid };
        job.pods.push(PodView { uid, index, ..PodView::default() });
        job.pods.len() - 1
    });
    &mut job.pods[at]
}

pub fn pod_of(job_uid: &str) -> String {
    job_uid.replace("job-", "pod-")
}

fn pod(story: &mut Story, words: &[&str], options: &Options) {
    let finished = |reason: &str, message: &str| Finished {
        ok: reason == "ok",
        reason: if reason == "ok" { "Completed".into() } else { reason.into() },
        message: message.trim().into(),
    };
    let job = job(story, options);
    story.cluster().change_job(&job.name, &job.uid, |job| {
        let all = 0..u32::try_from(job.wave.as_ref().map_or(1, WaveAssignment::pods)).unwrap();
        let at = options.get("at").map(|at| at.parse::<u32>().unwrap());
        for index in at.map_or(all, |at| at..at + 1) {
            let pod = pod_mut(job, index);
            match words {
                ["starts"] => (pod.started, pod.waiting) = (true, None),
                ["waits", reason, message] => {
                    pod.waiting = Some(Waiting { reason: (*reason).into(), message: message.trim().into() });
                }
                ["ends", reason, rest @ ..] => pod.finished = Some(finished(reason, rest.first().unwrap_or(&""))),
                ["lost", ..] => {}
                other => panic!("no pod {other:?}"),
            }
        }
        if let ["lost", reason] = words {
            job.pods.clear();
            job.ended = Some(finished(reason, ""));
        }
    });
}
