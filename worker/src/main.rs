//! The worker pod's program: one try of one attempt of a stage or of some of its targets, then it ends.

mod publish;
mod settings;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
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
use trackway_worker::{AttemptJob, Outside, attempt_deadline, failed_results, run_pod};

use settings::{Arguments, Settings};

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
            Ok(()) => ExitCode::SUCCESS,
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
async fn work(arguments: Arguments, started: Instant) -> anyhow::Result<()> {
    let settings = Settings::read(&arguments)?;
    let assignment = &settings.assignment;
    tracing::info!(
        run = assignment.run.name,
        stage = assignment.stage,
        attempt = assignment.attempt,
        r#try = assignment.try_,
        wave = assignment.wave.as_ref().map(|wave| wave.wave),
        pod_index = settings.pod_index,
        "worker started"
    );
    let connection = publish::Connection::start(settings.nats.clone());
    let revision = settings.revision();
    let (tell, told) = mpsc::unbounded_channel();
    let teller = publish::Teller {
        termination_log: arguments.termination_log,
        assignment,
        revision: revision.as_ref().ok().map(|(revision, _)| revision),
        pod_uid: &settings.pod_uid,
        connection: connection.clone(),
    };
    let ((), outcome) = tokio::join!(pod(&settings, &revision, &connection, started, tell), teller.tell_all(told));
    outcome
}

type Files = std::collections::BTreeMap<String, String>;

/// Sends the pod's results to `tell`, whatever they are.
async fn pod(
    settings: &Settings,
    revision: &anyhow::Result<(Revision, Files)>,
    connection: &publish::Connection,
    started: Instant,
    tell: mpsc::UnboundedSender<StageResult>,
) {
    // Sending fails only when nobody takes results any more, and then the process ends.
    let tell = |result| drop(tell.send(result));
    let assignment = &settings.assignment;
    let failed = |class, reason: &str, error: &anyhow::Error| {
        let message = settings.scrubbed(&format!("{error:#}"));
        failed_results(assignment, settings.pod_index, &settings.pod_uid, class, reason, &message).into_iter().for_each(tell);
    };
    let (revision, files) = match revision {
        Ok(read) => read,
        Err(error) => return failed(ErrorClass::Permanent, "RevisionInvalid", error),
    };
    let deadline = attempt_deadline(started, timeout_millis(&assignment.stage, revision));
    let store = match open_store(settings, connection, deadline).await {
        Ok(store) => store,
        Err((class, reason, error)) => return failed(class, reason, &error),
    };
    let job = AttemptJob {
        assignment: assignment.clone(),
        revision: revision.clone(),
        files: files.clone(),
        pod_uid: settings.pod_uid.clone(),
        pod_index: settings.pod_index,
        deadline,
    };
    let models = settings.models();
    run_pod(&job, &store, &Outside { models: &models }, jiff::Timestamp::now, &tell).await;
}

fn timeout_millis(stage: &str, revision: &Revision) -> u64 {
    match &revision.debugger {
        Some(debugger) if stage == DEBUGGER => debugger.timeout_millis,
        _ => revision.stage(stage).map_or(WITHOUT_STAGE_MILLIS, |stage| stage.timeout_millis),
    }
}

type StoreFailure = (ErrorClass, &'static str, anyhow::Error);

async fn open_store(
    settings: &Settings,
    connection: &publish::Connection,
    deadline: Instant,
) -> Result<PayloadStore, StoreFailure> {
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
