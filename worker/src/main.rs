//! The worker pod's program: one try of one attempt of one stage, then it ends.

mod publish;
mod settings;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};
use trackway_crds::contracts::{ErrorClass, StageResult};
use trackway_store::PayloadStore;
use trackway_worker::{AttemptJob, attempt_deadline, failed_result, run_attempt};

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
            tracing::warn!("asked to end before the attempt was finished; nothing is reported, the next try adopts what is stored");
            ExitCode::from(ENDED_BY_SIGTERM)
        }
    }
}

/// Does the attempt and hands its result over. An error means that nobody will hear of it.
async fn work(arguments: Arguments, started: Instant) -> anyhow::Result<()> {
    let settings = Settings::read(&arguments)?;
    let assignment = &settings.assignment;
    tracing::info!(
        run = assignment.run.name,
        stage = assignment.stage,
        attempt = assignment.attempt,
        r#try = assignment.try_,
        "worker started"
    );
    let nats = publish::Connection::start(settings.nats.clone());
    let result = attempt(&settings, &nats, started).await;
    publish::hand_over(&arguments.termination_log, assignment, nats, &result).await
}

/// The attempt's result, whatever it is.
async fn attempt(settings: &Settings, nats: &publish::Connection, started: Instant) -> StageResult {
    let assignment = &settings.assignment;
    let failed = |class, reason: &str, error: &anyhow::Error| {
        failed_result(assignment, &settings.pod_uid, class, reason, &settings.scrubbed(&format!("{error:#}")))
    };
    let (revision, files) = match settings.revision() {
        Ok(read) => read,
        Err(error) => return failed(ErrorClass::Permanent, "RevisionInvalid", &error),
    };
    let timeout = revision.stage(&assignment.stage).map_or(WITHOUT_STAGE_MILLIS, |stage| stage.timeout_millis);
    let deadline = attempt_deadline(started, timeout);
    let store = match open_store(settings, nats, deadline).await {
        Ok(store) => store,
        Err((class, reason, error)) => return failed(class, reason, &error),
    };
    let job = AttemptJob { assignment: assignment.clone(), revision, files, pod_uid: settings.pod_uid.clone(), deadline };
    run_attempt(&job, &store, &settings.models(), jiff::Timestamp::now).await
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
