//! The worker pod's program: one try of one attempt of a stage or of some of its targets, then it ends.

mod publish;
mod settings;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use futures::FutureExt as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::Instant,
};
use trackway_crds::{
    contracts::{ErrorClass, Revision, StageResult},
    names::DEBUGGER,
};
use trackway_store::PayloadStore;
use trackway_worker::{Answers, AttemptJob, Outside, Retriever, attempt_deadline, container, failed_results, run_pod};

use settings::{Arguments, Settings, Step};

/// As a shell reports a process that SIGTERM ended.
const ENDED_BY_SIGTERM: u8 = 143;
/// Time to report that the revision has no such stage.
const WITHOUT_STAGE_MILLIS: u64 = 60_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let started = Instant::now();
    // Fails only when one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(said) => {
            // Standard output and error of a pod are its log; there is nobody else to tell.
            let _ = said.print();
            return if said.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    tracing_subscriber::fmt().json().with_env_filter(&arguments.log).with_writer(std::io::stderr).init();
    let asked_to_end = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => terminate.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        outcome = work(arguments, started) => match outcome {
            Ok(code) => code,
            Err(error) => {
                tracing::error!("no result: {error:#}");
                ExitCode::FAILURE
            }
        },
        _ = asked_to_end => {
            tracing::warn!("asked to end before all was finished; of what was not, nothing is reported, and the next try adopts what is stored");
            ExitCode::from(ENDED_BY_SIGTERM)
        }
    }
}

/// Does the pod's work and hands its results over. An error means that of some of them nobody will hear.
async fn work(arguments: Arguments, started: Instant) -> anyhow::Result<ExitCode> {
    let settings = Settings::read(&arguments)?;
    let assignment = &settings.assignment;
    tracing::info!(
        run = assignment.run.name,
        stage = assignment.stage,
        attempt = assignment.attempt,
        r#try = assignment.try_,
        step = ?arguments.step,
        wave = assignment.wave.as_ref().map(|wave| wave.wave),
        pod_index = settings.pod_index,
        "worker started"
    );
    let connection = publish::Connection::start(settings.nats.clone());
    let revision = settings.revision();
    let (tell, told) = mpsc::unbounded_channel();
    let teller = publish::Teller {
        termination_log: arguments.termination_log.clone(),
        assignment,
        revision: revision.as_ref().ok().map(|(revision, _)| revision),
        pod_uid: &settings.pod_uid,
        connection: connection.clone(),
    };
    let pod = Pod { settings: &settings, revision: &revision, connection: &connection, arguments: &arguments, started };
    let ((), told) = tokio::join!(pod.run(tell), teller.tell_all(told));
    // A failed init container ends the pod before the user's program begins.
    let hindered = told? > 0 && arguments.step == Some(Step::Fetch);
    Ok(if hindered { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

type Files = std::collections::BTreeMap<String, String>;

/// This process.
struct Pod<'a> {
    settings: &'a Settings,
    revision: &'a anyhow::Result<(Revision, Files)>,
    connection: &'a publish::Connection,
    arguments: &'a Arguments,
    started: Instant,
}

impl Pod<'_> {
    /// Sends the results to `tell`, whatever they are.
    async fn run(&self, tell: mpsc::UnboundedSender<StageResult>) {
        let Settings { assignment, pod_index, pod_uid, .. } = self.settings;
        // Sending fails only when nobody takes results any more, and then the process ends.
        let tell = |result| drop(tell.send(result));
        if let Err((class, reason, error)) = self.work(&tell).await {
            let message = self.settings.scrubbed(&format!("{error:#}"));
            failed_results(assignment, *pod_index, pod_uid, class, reason, &message).into_iter().for_each(tell);
        }
    }

    /// An error is why it could not begin.
    async fn work(&self, tell: &(dyn Fn(StageResult) + Send + Sync)) -> Result<(), NotBegun> {
        let Settings { assignment, pod_index, pod_uid, webhooks, .. } = self.settings;
        let (revision, files) = match self.revision {
            Ok(read) => read,
            Err(error) => return Err((ErrorClass::Permanent, "RevisionInvalid", anyhow::anyhow!("{error:#}"))),
        };
        let deadline = attempt_deadline(self.pod_started(), timeout_millis(&assignment.stage, revision));
        let store = open_store(self.settings, self.connection, deadline).await?;
        let job = AttemptJob {
            assignment: assignment.clone(),
            revision: revision.clone(),
            files: files.clone(),
            pod_uid: pod_uid.clone(),
            pod_index: *pod_index,
            deadline,
        };
        let models = self.settings.models();
        let connection = self.connection.clone();
        let retriever = Retriever::new(move |namespace, question| {
            let (connection, namespace) = (connection.clone(), namespace.to_owned());
            async move { connection.ask(&namespace, question).await }.boxed()
        });
        let connection = self.connection.clone();
        let answers = Answers::kept(move |key| {
            let connection = connection.clone();
            async move { connection.answers(&key).await }.boxed()
        });
        let outside = Outside { models: &models, webhooks, retriever: &retriever, answers: &answers };
        let (now, folder) = (jiff::Timestamp::now, &self.arguments.io_dir);
        match self.arguments.step {
            None => run_pod(&job, &store, &outside, now, tell).await,
            Some(Step::Fetch) => container::fetch(&job, &store, &outside, now, folder).await.into_iter().for_each(tell),
            Some(Step::Report) => tell(container::report(&job, &store, &outside, now, folder).await),
        }
        Ok(())
    }

    /// When the pod's time began to run: after a program, when its input was written.
    fn pod_started(&self) -> Instant {
        let written = || std::fs::metadata(self.arguments.io_dir.join("input.json")).ok()?.modified().ok()?.elapsed().ok();
        let before = (self.arguments.step == Some(Step::Report)).then(written).flatten().unwrap_or_default();
        self.started.checked_sub(before).unwrap_or(self.started)
    }
}

fn timeout_millis(stage: &str, revision: &Revision) -> u64 {
    match &revision.debugger {
        Some(debugger) if stage == DEBUGGER => debugger.timeout_millis,
        _ => revision.stage(stage).map_or(WITHOUT_STAGE_MILLIS, |stage| stage.timeout_millis),
    }
}

type NotBegun = (ErrorClass, &'static str, anyhow::Error);

async fn open_store(settings: &Settings, connection: &publish::Connection, deadline: Instant) -> Result<PayloadStore, NotBegun> {
    let nats = if settings.store_url.starts_with("nats://") {
        let connected = connection.wait_until(deadline).await;
        Some(connected.map_err(|error| (ErrorClass::Infrastructure, "StoreUnavailable", error))?)
    } else {
        None
    };
    PayloadStore::open(&settings.store_url, nats.as_ref())
        .context("TRACKWAY_STORE_URL")
        .map_err(|error| (ErrorClass::Permanent, "StoreRefused", error))
}
