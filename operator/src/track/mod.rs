//! Makes a Track into a revision: gather → resolve → publish → report. A run starts only from a published revision, so a Track that
//! is wrong says so before any batch meets it.

mod gather;
mod publish;
mod sweep;

pub(crate) use sweep::sweep;

use gather::Sources;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt, runtime::controller::Action};
use std::{sync::Arc, time::Duration};
use trackway_crds::{ModelEndpoint, Track, TrackStatus, conditions};
use trackway_kubernetes::{ApiError, replace_status_fenced};
use trackway_resolve::{Fault, config_map_data, resolve, revision_name};

use crate::metrics::Metrics;

const RETRY: Duration = Duration::from_secs(2);
/// Somebody else wrote: the newer object is on its way.
const RETRY_CONFLICT: Duration = Duration::from_millis(100);
/// A net under lost watch events.
const NET: Duration = Duration::from_secs(300);

/// Everything a reconcile of Tracks of one namespace needs.
pub(crate) struct Context {
    pub(crate) track_api: Api<Track>,
    pub(crate) config_maps: Api<ConfigMap>,
    pub(crate) endpoints: Api<ModelEndpoint>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Why a reconcile ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("the Track's sources changed while they were read")]
    Torn,
}

/// Publishes the revision of one Track, or says what is wrong with it.
pub(crate) async fn reconcile(track: Arc<Track>, context: Arc<Context>) -> Result<Action, Error> {
    let sources = gather::gather(&context, &track).await?;
    let outcome = match &sources {
        Ok(Sources { endpoints, files, .. }) => resolve(&track.name_any(), &track.spec, endpoints, files),
        Err(missing) => Err(vec![missing.clone()]),
    };
    let mut status = track.status.clone().unwrap_or_default();
    status.observed_generation = track.metadata.generation;
    match outcome {
        Ok(resolved) => {
            let name = revision_name(&track.name_any(), &resolved);
            publish::publish(&context.config_maps, &track, &name, config_map_data(&resolved)).await?;
            if let Ok(read) = &sources
                && !gather::still_current(&context, &track, read).await?
            {
                return Err(Error::Torn);
            }
            ready(&mut status, &track, true, "Resolved", &format!("new runs execute revision {name}"));
            status.revision = Some(name);
        }
        Err(faults) => {
            let reason = faults.first().map_or("SpecInvalid", |fault| fault.reason.as_str());
            ready(&mut status, &track, false, reason, &described(&faults));
        }
    }
    if track.status.as_ref() != Some(&status) {
        write(&context, &track, status).await?;
    }
    Ok(Action::requeue(NET))
}

/// What to do after a reconcile that ended early.
pub(crate) fn error_policy(track: Arc<Track>, error: &Error, context: Arc<Context>) -> Action {
    if matches!(error, Error::Api(ApiError::Conflict { .. })) {
        tracing::debug!(track = track.name_any(), %error, "lost a race, looks again");
        return Action::requeue(RETRY_CONFLICT);
    }
    tracing::warn!(track = track.name_any(), %error, "Track not resolved yet, tries again");
    Metrics::count(&context.metrics.errors, "track");
    Action::requeue(RETRY)
}

fn ready(status: &mut TrackStatus, track: &Track, holds: bool, reason: &str, message: &str) {
    let (generation, now) = (track.metadata.generation, jiff::Timestamp::now());
    conditions::set(&mut status.conditions, "Ready", holds.into(), reason, message, generation, now);
}

fn described(faults: &[Fault]) -> String {
    let more = if faults.len() > 1 { format!(" (and {} more: kubectl trackway lint)", faults.len() - 1) } else { String::new() };
    // The suffix must survive the condition's bound.
    let first = faults.first().map(ToString::to_string).unwrap_or_default();
    let room = trackway_crds::status::MAX_MESSAGE_BYTES.saturating_sub(more.len());
    format!("{}{more}", trackway_crds::text::cut(&first, room))
}

async fn write(context: &Context, track: &Track, status: TrackStatus) -> Result<(), Error> {
    let mut next = track.clone();
    next.metadata.managed_fields = None;
    tracing::info!(track = track.name_any(), revision = status.revision, "Track resolved");
    next.status = Some(status);
    replace_status_fenced(&context.track_api, &track.name_any(), &next).await?;
    Ok(())
}
