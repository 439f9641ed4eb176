//! `watch`: runs live, one line per change.

use crate::{
    args::{Global, WatchArgs},
    cluster::Cluster,
    exit::Outcome,
    screen::{Format, Screen},
    table::Table,
    tree::one_line,
};
use anyhow::{Context, bail};
use futures::StreamExt;
use kube::runtime::{WatchStreamExt, watcher};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, sleep_until};
use trackway_crds::{
    BatchRun, Score, labels,
    names::label_hash,
    status::{Failure, Phase},
};

/// The runs of a batch are created one after the other; this long after the last news no more are expected.
const QUIET: Duration = Duration::from_secs(2);
/// How long nothing may show before the reader is told what is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

const HEADINGS: [&str; 10] =
    ["NAME", "TRACK", "TENANT", "PRIORITY", "PHASE", "STAGE", "PROGRESS", "SCORE", "RETRIES", "DURATION"];

pub(crate) async fn run(global: &Global, args: &WatchArgs, screen: &mut Screen) -> anyhow::Result<Outcome> {
    let cluster = Cluster::connect(global).await?;
    let wanted = if args.batch.is_empty() { Wanted::Runs(args.runs.clone()) } else { Wanted::Batches(args.batch.clone()) };
    if let Wanted::Runs(names) = &wanted {
        for name in names {
            cluster.run(name).await?;
        }
    }
    follow(&cluster, &wanted, screen).await
}

/// Which runs are followed.
pub(crate) enum Wanted {
    /// These.
    Runs(Vec<String>),
    /// All of these batches.
    Batches(Vec<String>),
}

impl Wanted {
    fn selector(&self) -> watcher::Config {
        match self {
            Self::Batches(ids) => {
                let hashes = ids.iter().map(|id| label_hash(id)).collect::<Vec<_>>().join(",");
                watcher::Config::default().labels(&format!("{} in ({hashes})", labels::BATCH))
            }
            Self::Runs(names) => match names.as_slice() {
                [one] => watcher::Config::default().fields(&format!("metadata.name={one}")),
                _ => watcher::Config::default(),
            },
        }
    }

    fn takes(&self, run: &BatchRun) -> bool {
        match self {
            Self::Batches(ids) => ids.contains(&run.spec.batch.id),
            Self::Runs(names) => run.metadata.name.as_ref().is_some_and(|name| names.contains(name)),
        }
    }

    fn describe(&self, namespace: &str) -> String {
        match self {
            Self::Batches(ids) => format!("runs of batch {} in namespace {namespace}", ids.join(", ")),
            Self::Runs(names) => format!("runs {} in namespace {namespace}", names.join(", ")),
        }
    }
}

/// Follows until every wanted run has ended.
pub(crate) async fn follow(cluster: &Cluster, wanted: &Wanted, screen: &mut Screen) -> anyhow::Result<Outcome> {
    let events = watcher(cluster.runs(), wanted.selector()).default_backoff().applied_objects();
    let mut events = std::pin::pin!(events);
    let mut view = View::new();
    let mut news = Instant::now();
    let mut told = false;
    loop {
        let deadline = if view.rows.is_empty() { news + PATIENCE } else { news + QUIET };
        let idle = !told && view.rows.is_empty() || view.all_ended(wanted);
        tokio::select! {
            event = events.next() => {
                let Some(event) = event else { bail!("the API server ended the watch: run the command again") };
                let run = match event {
                    Ok(run) => run,
                    Err(error) if is_forbidden(&error) => return Err(error).context("cannot watch BatchRuns"),
                    Err(error) => { screen.note(&format!("trying again: {error}")); continue }
                };
                if wanted.takes(&run) && view.update(&run, screen)? {
                    news = Instant::now();
                }
                if matches!(wanted, Wanted::Runs(_)) && view.all_ended(wanted) {
                    break;
                }
            }
            () = sleep_until(deadline), if idle => {
                if !view.rows.is_empty() { break }
                screen.note(&format!("waiting for {}; is a Track's selector for it, and the collector running?", wanted.describe(&cluster.namespace)));
                told = true;
            }
        }
    }
    if screen.format == Format::People {
        screen.say(&view.rows.values().filter_map(Row::ending).collect::<String>())?;
    }
    Ok(Outcome::good_if(!view.rows.values().any(|row| row.phase == "Failed")))
}

fn is_forbidden(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else { return false };
    matches!(error, kube::Error::Api(status) if status.code == 403 || status.code == 404)
}

/// What is known of the runs so far.
struct View {
    rows: BTreeMap<String, Row>,
    table: Table,
    headed: bool,
}

/// The columns of `kubectl get batchruns`, but for AGE, which changes by itself.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    batch: String,
    track: String,
    tenant: String,
    priority: &'static str,
    phase: String,
    stage: String,
    progress: String,
    score: Option<Score>,
    retries: Option<u32>,
    duration: Option<String>,
    failure: Option<Failure>,
}

impl View {
    fn new() -> Self {
        Self { rows: BTreeMap::new(), table: Table::new(&HEADINGS), headed: false }
    }

    /// Whether every wanted run, and at least one of every wanted batch, is here and has ended.
    fn all_ended(&self, wanted: &Wanted) -> bool {
        let all_here = match wanted {
            Wanted::Runs(names) => names.iter().all(|name| self.rows.contains_key(name)),
            Wanted::Batches(ids) => ids.iter().all(|id| self.rows.values().any(|row| row.batch == *id)),
        };
        all_here && self.rows.values().all(Row::ended)
    }

    /// Shows the run if a column changed, and tells whether it did.
    fn update(&mut self, run: &BatchRun, screen: &mut Screen) -> anyhow::Result<bool> {
        let row = Row::of(run);
        if self.rows.get(&row.name) == Some(&row) {
            return Ok(false);
        }
        if screen.format == Format::People {
            let mut text = String::new();
            if !std::mem::replace(&mut self.headed, true) {
                text = self.table.row(&HEADINGS.map(str::to_owned));
            }
            text.push_str(&self.table.row(&row.cells()));
            screen.say(&text)?;
        } else {
            screen.line(&row)?;
        }
        self.rows.insert(row.name.clone(), row);
        Ok(true)
    }
}

impl Row {
    fn of(run: &BatchRun) -> Self {
        let status = run.status.clone().unwrap_or_default();
        let retries = status.summary.as_ref().map(|summary| summary.retries);
        let summary = status.summary.unwrap_or_default();
        Self {
            name: run.metadata.name.clone().unwrap_or_default(),
            batch: run.spec.batch.id.clone(),
            track: run.spec.track_ref.name.clone(),
            tenant: run.spec.batch.tenant.clone(),
            priority: run.spec.batch.priority.as_str(),
            phase: status.phase.map(|phase| phase.as_str().to_owned()).unwrap_or_default(),
            stage: summary.stage,
            progress: summary.progress,
            score: summary.score,
            retries,
            duration: summary.duration,
            failure: status.failure,
        }
    }

    fn cells(&self) -> [String; 10] {
        [
            self.name.clone(),
            self.track.clone(),
            self.tenant.clone(),
            self.priority.to_owned(),
            self.phase.clone(),
            self.stage.clone(),
            self.progress.clone(),
            self.score.map(|score| score.to_string()).unwrap_or_default(),
            self.retries.map(|retries| retries.to_string()).unwrap_or_default(),
            self.duration.clone().unwrap_or_default(),
        ]
    }

    /// What is said of a failed run at the end: `NAME  Failed 16.4s at insights: best of 3 attempts scored 0.66, needs 0.70`.
    fn ending(&self) -> Option<String> {
        let failure = self.failure.as_ref().filter(|_| self.phase == "Failed")?;
        let took = self.duration.as_ref().map(|duration| format!(" {duration}")).unwrap_or_default();
        let stage = failure.stage.as_deref().unwrap_or_default();
        let at = if stage.is_empty() { String::new() } else { format!(" at {stage}") };
        let message = one_line(&failure.message);
        let message = message.strip_prefix(&format!("{stage}: ")).unwrap_or(&message);
        Some(format!("{}  Failed{took}{at}: {message}   kubectl trackway why {}\n", self.name, self.name))
    }

    fn ended(&self) -> bool {
        [Phase::Succeeded, Phase::Failed, Phase::Cancelled].iter().any(|phase| phase.as_str() == self.phase)
    }
}

#[cfg(test)]
mod tests {
    use super::Row;
    use trackway_crds::BatchRun;

    fn row(status: &str) -> Row {
        let head = r#"{"apiVersion": "trackway.dev/v1alpha1", "kind": "BatchRun", "metadata": {"name": "churn-b3k9q"}, "spec": {
            "trackRef": {"name": "churn"}, "batch": {"id": "b3k9q", "tenant": "acme", "level": "Tenant", "subject": "acme",
            "priority": "High", "events": 41, "readyAt": "2026-11-22T14:00:00.000000Z", "input": {"sha256": "aa", "bytes": 1}}},
            "status": "#;
        Row::of(&serde_json::from_str::<BatchRun>(&format!("{head}{status}}}")).unwrap())
    }

    const FAILURE: &str = r#""summary": {"stage": "notices", "progress": "4/7 20/24", "retries": 5, "duration": "16.4s"}, "failure": {"stage": "notices",
        "class": "quality", "reason": "QualityExhausted", "at": "2026-11-22T14:00:16.400000Z",
        "message": "notices: 7 of 24 targets failed, 6 tolerated"}"#;

    #[test]
    fn a_failed_run_ends_with_one_line_that_says_where_and_why() {
        let row = row(&format!(r#"{{"phase": "Failed", {FAILURE}}}"#));
        let expected =
            "churn-b3k9q  Failed 16.4s at notices: 7 of 24 targets failed, 6 tolerated   kubectl trackway why churn-b3k9q\n";
        assert_eq!(row.ending().as_deref(), Some(expected));
    }

    #[test]
    fn a_run_that_is_being_diagnosed_has_not_ended() {
        let row = row(&format!(r#"{{"phase": "Diagnosing", {FAILURE}}}"#));
        assert!(!row.ended() && row.ending().is_none());
        assert_eq!((row.phase.as_str(), row.progress.as_str()), ("Diagnosing", "4/7 20/24"));
    }
}
