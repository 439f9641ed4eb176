//! The language of stories. A line is `[+DURATION] COMMAND [WORDS] [KEY=VALUE]`; `#` begins a comment.
//!
//! ```text
//! stage NAME [threshold= attempts= min.DIMENSION= nojudge context=Fail|Proceed]      before `create run`
//! retry [infrastructure= model= judge= backoff=INITIAL,FACTOR,MAX]   limits [start= active= deadline=]
//! track waits REASON "MESSAGE" | track ready | revision lost | create run [suspended]
//! pod starts | pod waits REASON "MESSAGE" | pod ends ok|REASON "MESSAGE" | pod lost REASON | job gone | job suspended
//! score N [DIMENSION=N generate= judge= gaps= job= pod= feedback= by=message]     done [the same]
//! error CLASS REASON "MESSAGE" [retryAfter= job= by=message]
//! suspend | resume | cancel | stream away | stream back | operator away | operator back | wait
//! jobs refused "MESSAGE" | jobs taken | name taken STAGE ATTEMPT TRY by foreign|spent|other-revision
//! ```

use super::{
    cluster::Cluster,
    story::{Story, View},
    track,
};
use std::collections::BTreeMap;
use trackway_crds::{
    GoDuration, Score,
    contracts::{CONTRACT, ErrorClass, ResolvedStage, ResolvedWork, ResultError, ResultMillis, ResultPhase, StageResult, Tokens},
    names,
    track::OnMissing,
};
use trackway_plan::{ArrivedResult, Finished, JobView, PodView, Waiting};

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
        if matches!(words[0], "score" | "done" | "error") && !options.contains_key("pod") {
            // Having reported, the pod ends and its Job completes.
            finish(&mut story, &options);
            story.look();
        }
    }
    story
}

type Options = BTreeMap<String, String>;

fn words(line: &str) -> Vec<String> {
    let quoted = line.split('"').enumerate();
    let parts = quoted.flat_map(|(n, part)| match n % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![format!("{part} ")],
    });
    parts.collect()
}

fn millis(duration: &str) -> u64 {
    duration.parse::<GoDuration>().unwrap().millis()
}

fn thousandths(number: &str) -> u16 {
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
                    other => panic!("no limit {other}"),
                }
            }
        }
        _ => return false,
    }
    true
}

fn stage(name: &str, flags: &[&str], options: &Options) -> ResolvedStage {
    let mut stage = track::stage(name);
    if flags.contains(&"nojudge") {
        stage.judge = None;
    }
    for (key, value) in options {
        match (key.as_str(), key.strip_prefix("min."), stage.judge.as_mut()) {
            ("attempts", ..) => stage.retry.quality_max_attempts = value.parse().unwrap(),
            ("context", ..) => {
                let on_missing = if value == "Fail" { OnMissing::Fail } else { OnMissing::Proceed };
                stage.work = ResolvedWork::ValidateContext {
                    model: Box::new(track::model("writer")),
                    prompt: "context.md".into(),
                    on_missing,
                };
            }
            ("threshold", _, Some(judge)) => judge.threshold = Score::from_thousandths(thousandths(value)),
            (_, Some(dimension), Some(judge)) => judge.dimensions.push(track::dimension(dimension, 1, thousandths(value))),
            _ => panic!("no option {key}"),
        }
    }
    stage
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
        ["stream", word] => story.stream_away = *word == "away",
        ["jobs", "refused", message] => story.cluster().refuse = Some(message.trim().into()),
        ["jobs", "taken"] => story.cluster().refuse = None,
        ["name", "taken", stage, attempt, try_, "by", whom] => take_name(story, [stage, attempt, try_], whom),
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
        ["score", number] => report(story, options, judged(thousandths(number), options)),
        ["done"] => report(story, options, Said { phase: ResultPhase::Done, ..Said::default() }),
        ["error", class, reason, message] => report(story, options, failed(class, reason, message.trim(), options)),
        other => panic!("not a line of a story: {other:?}"),
    }
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
fn job(story: &mut Story, options: &Options) -> JobView {
    let uid = options.get("job").map(|n| format!("job-{n}"));
    let jobs = story.cluster().jobs_now().to_vec();
    let found = jobs.into_iter().rfind(|job| uid.as_ref().is_none_or(|uid| *uid == job.uid));
    found.unwrap_or_else(|| panic!("there is no such Job; told so far:\n{}", story.told))
}

fn change_pod(story: &mut Story, options: &Options, change: impl FnOnce(&mut JobView)) {
    let job = job(story, options);
    story.cluster().change_job(&job.name, &job.uid, |job| {
        if job.pods.is_empty() {
            job.pods.push(PodView { uid: pod_of(&job.uid), ..PodView::default() });
        }
        change(job);
    });
}

fn pod_of(job_uid: &str) -> String {
    job_uid.replace("job-", "pod-")
}

fn pod(story: &mut Story, words: &[&str], options: &Options) {
    let finished = |reason: &str, message: &str| Finished {
        ok: reason == "ok",
        reason: if reason == "ok" { "Completed".into() } else { reason.into() },
        message: message.trim().into(),
    };
    change_pod(story, options, |job| match words {
        ["starts"] => (job.pods[0].started, job.pods[0].waiting) = (true, None),
        ["waits", reason, message] => {
            job.pods[0].waiting = Some(Waiting { reason: (*reason).into(), message: message.trim().into() });
        }
        ["ends", reason, rest @ ..] => {
            job.pods[0].finished = Some(finished(reason, rest.first().unwrap_or(&"")));
        }
        ["lost", reason] => {
            job.pods.clear();
            job.ended = Some(finished(reason, ""));
        }
        other => panic!("no pod {other:?}"),
    });
}

/// The part of a result that differs from one to another.
struct Said {
    phase: ResultPhase,
    dimensions: BTreeMap<String, u16>,
    error: Option<ResultError>,
}

impl Default for Said {
    fn default() -> Self {
        Self { phase: ResultPhase::Judged, dimensions: BTreeMap::new(), error: None }
    }
}

fn judged(overall: u16, options: &Options) -> Said {
    let known = ["relevance", "clarity", "safety"];
    let score = |name: &str| options.get(name).map_or(overall, |number| thousandths(number));
    Said { dimensions: known.iter().map(|name| ((*name).into(), score(name))).collect(), ..Said::default() }
}

fn failed(class: &str, reason: &str, message: &str, options: &Options) -> Said {
    let class: ErrorClass = serde_json::from_value(class.into()).unwrap();
    let retry_after_millis = options.get("retryAfter").map(|after| millis(after));
    let error = Some(ResultError { class, reason: reason.into(), message: message.into(), retry_after_millis });
    Said { phase: ResultPhase::Error, error, ..Said::default() }
}

fn report(story: &mut Story, options: &Options, said: Said) {
    let job_uid = options.get("job").map_or_else(|| job(story, options).uid, |n| format!("job-{n}"));
    let told = story.cluster().assignments[&job_uid].clone();
    let payload = |kind: &str| Some(track::reference(&format!("{kind} of {} {}", told.stage, told.attempt)));
    let stored = said.phase != ResultPhase::Error;
    let result = StageResult {
        contract: CONTRACT,
        run: told.run.uid.clone(),
        stage: told.stage.clone(),
        index: 0,
        attempt: told.attempt,
        try_: told.try_,
        pod: options.get("pod").cloned().unwrap_or_else(|| pod_of(&job_uid)),
        phase: said.phase,
        score: None,
        dimensions: said.dimensions,
        feedback: options.get("feedback").cloned(),
        input: payload("input"),
        output: payload("output").filter(|_| stored),
        record: payload("record").filter(|_| stored),
        gaps: options.get("gaps").map(|gaps| gaps.parse().unwrap()),
        key: None,
        lists: BTreeMap::new(),
        diagnosis: None,
        tokens: Tokens { input: 1_000, output: 200, judge_input: 0, judge_output: 0 },
        millis: ResultMillis {
            generate: options.get("generate").map_or(0, |took| millis(took)),
            judge: options.get("judge").map_or(0, |took| millis(took)),
        },
        error: said.error,
    };
    if options.contains_key("by") {
        change_pod(story, options, |job| {
            job.pods[0].finished = Some(Finished { ok: true, reason: "Completed".into(), message: String::new() });
            job.pods[0].results = vec![result];
        });
    } else {
        let arrived_at = story.now;
        story.results.push(ArrivedResult { result, arrived_at });
    }
}

fn finish(story: &mut Story, options: &Options) {
    let uid = options.get("job").map(|n| format!("job-{n}"));
    let jobs = story.cluster().jobs_now().to_vec();
    let reported = story.results.last().map(|arrived| arrived.result.pod.replace("pod-", "job-"));
    let Some(job) = jobs.iter().find(|job| Some(&job.uid) == uid.as_ref().or(reported.as_ref())) else { return };
    let (name, uid) = (job.name.clone(), job.uid.clone());
    story.cluster().change_job(&name, &uid, |job| {
        let ok = Finished { ok: true, reason: "Completed".into(), message: String::new() };
        for pod in &mut job.pods {
            pod.finished.get_or_insert_with(|| ok.clone());
        }
        job.ended.get_or_insert(ok);
    });
}
