//! When each worker began: its own log says so in its first line.

use anyhow::Context;
use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, ResourceExt,
    api::{ListParams, LogParams},
};
use serde::Deserialize;
use std::collections::HashMap;
use trackway_crds::labels;

/// Set by Kubernetes on the pods of a Job.
const JOB_NAME: &str = "batch.kubernetes.io/job-name";
/// Logs read at the same time.
const READS_AT_ONCE: usize = 8;

#[derive(Deserialize)]
struct Line {
    timestamp: Timestamp,
    fields: Fields,
}

#[derive(Deserialize)]
struct Fields {
    message: String,
}

/// When the worker of each Job in `namespace` began, by the name of the Job.
pub(crate) async fn of_workers(client: &Client, namespace: &str) -> anyhow::Result<HashMap<String, Timestamp>> {
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let ours = ListParams::default().labels(&format!("{}={}", labels::MANAGED_BY, labels::MANAGER));
    let of_job = |pod: Pod| Some((pod.labels().get(JOB_NAME)?.clone(), pod.name_any()));
    let workers: Vec<(String, String)> = pods.list(&ours).await?.items.into_iter().filter_map(of_job).collect();
    let starts = stream::iter(workers).map(|(job, pod)| {
        let pods = pods.clone();
        async move {
            let text = pods.logs(&pod, &LogParams::default()).await.with_context(|| format!("log of pod {pod}"))?;
            anyhow::Ok(started_at(&text).map(|at| (job, at)))
        }
    });
    starts.buffer_unordered(READS_AT_ONCE).try_filter_map(|start| std::future::ready(Ok(start))).try_collect().await
}

fn started_at(log: &str) -> Option<Timestamp> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Line>(line).ok());
    let mut started = lines.filter(|line| line.fields.message == "worker started");
    started.next().map(|line| line.timestamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_instruction_is_read_from_the_workers_log() {
        let log = concat!(
            "not JSON\n",
            r#"{"timestamp":"2026-11-22T18:22:36.5Z","level":"INFO","fields":{"message":"worker started","run":"r"},"target":"w"}"#,
            "\n",
            r#"{"timestamp":"2026-11-22T18:22:37.5Z","level":"INFO","fields":{"message":"result stored"},"target":"w"}"#,
        );
        assert_eq!(started_at(log), "2026-11-22T18:22:36.5Z".parse().ok());
        assert_eq!(started_at(""), None);
    }
}
