//! What a namespace looks like when a story in it has failed.

use crate::{Cluster, cluster::RELEASE_NAMESPACE, operator::tail, place::operator_log};
use k8s_openapi::api::{core::v1::Event, core::v1::Pod};
use kube::{
    Api, ResourceExt,
    api::{ListParams, LogParams},
};
use std::fmt::Write;
use trackway_crds::{BatchRun, Track, status::StageStatus};

const POD_LINES: i64 = 12;
const OPERATOR_LINES: i64 = 40;
const PODS: usize = 12;
const EVENTS: usize = 40;

/// Everything worth reading about `namespace`. What cannot be had is left out.
pub(crate) async fn of(cluster: &Cluster, namespace: &str) -> String {
    let mut text = format!("──── namespace {namespace}\n");
    // Writing to a String cannot fail.
    let _ = tracks(cluster, namespace, &mut text).await;
    let _ = runs(cluster, namespace, &mut text).await;
    let _ = events(cluster, namespace, &mut text).await;
    let _ = pods(cluster, namespace, POD_LINES, &mut text).await;
    let log = operator_log(namespace);
    if log.exists() {
        let _ = writeln!(text, "──── operator\n{}", tail(&log, 60));
    } else {
        let _ = pods(cluster, RELEASE_NAMESPACE, OPERATOR_LINES, &mut text).await;
    }
    text
}

async fn tracks(cluster: &Cluster, namespace: &str, text: &mut String) -> anyhow::Result<()> {
    for track in Api::<Track>::namespaced(cluster.client.clone(), namespace).list(&ListParams::default()).await? {
        let ready = track.status.iter().flat_map(|status| &status.conditions).find(|condition| condition.type_ == "Ready");
        let ready = ready.map(|ready| format!("{} {}: {}", ready.status, ready.reason, ready.message));
        writeln!(text, "track {} ready {}", track.name_any(), ready.unwrap_or_default())?;
    }
    Ok(())
}

async fn runs(cluster: &Cluster, namespace: &str, text: &mut String) -> anyhow::Result<()> {
    for run in Api::<BatchRun>::namespaced(cluster.client.clone(), namespace).list(&ListParams::default()).await? {
        text.push_str(&tree(&run));
    }
    Ok(())
}

/// A run as a picture.
pub(crate) fn tree(run: &BatchRun) -> String {
    let status = run.status.clone().unwrap_or_default();
    let phase = status.phase.map_or("no phase", |phase| phase.as_str());
    let mut text = format!("run {} {phase} {:?}\n", run.name_any(), status.summary);
    for stage in &status.stages {
        text.push_str(&branch(stage));
    }
    if let Some(failure) = &status.failure {
        let _ = writeln!(text, "   failure {} {}: {}", failure.class.as_str(), failure.reason, failure.message);
    }
    text
}

fn branch(stage: &StageStatus) -> String {
    let mut text = format!("├─ {} {:?} {:?} {:?}\n", stage.name, stage.phase, stage.millis, stage.used);
    for attempt in &stage.attempts {
        let error = attempt.error.as_ref().map(|error| format!("{} {}: {}", error.class.as_str(), error.reason, error.message));
        let score = attempt.score.map(|score| score.to_string()).unwrap_or_default();
        let _ = writeln!(
            text,
            "│  attempt {} try {} {score} {:?} {}",
            attempt.attempt,
            attempt.try_,
            attempt.verdict,
            error.unwrap_or_default()
        );
    }
    text
}

async fn events(cluster: &Cluster, namespace: &str, text: &mut String) -> anyhow::Result<()> {
    let mut events = Api::<Event>::namespaced(cluster.client.clone(), namespace).list(&ListParams::default()).await?.items;
    let at = |event: &Event| {
        let exact = event.event_time.as_ref().map(|at| at.0);
        exact.or_else(|| event.last_timestamp.as_ref().map(|at| at.0)).unwrap_or_default()
    };
    events.sort_by_key(at);
    let skipped = events.len().saturating_sub(EVENTS);
    for event in &events[skipped..] {
        let (reason, message) = (event.reason.clone().unwrap_or_default(), event.message.clone().unwrap_or_default());
        writeln!(text, "event {} {} {reason}: {message}", at(event), event.involved_object.name.clone().unwrap_or_default())?;
    }
    Ok(())
}

async fn pods(cluster: &Cluster, namespace: &str, lines: i64, text: &mut String) -> anyhow::Result<()> {
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let mut pods = api.list(&ListParams::default()).await?.items;
    pods.sort_by_key(|pod| std::cmp::Reverse(pod.metadata.creation_timestamp.as_ref().map(|at| at.0)));
    for pod in pods.iter().take(PODS) {
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        let parameters = LogParams { tail_lines: Some(lines), ..LogParams::default() };
        let log = api.logs(&pod.name_any(), &parameters).await.unwrap_or_else(|error| format!("no log: {error}"));
        writeln!(text, "──── pod {} {phase}\n{}", pod.name_any(), log.trim_end())?;
    }
    Ok(())
}
