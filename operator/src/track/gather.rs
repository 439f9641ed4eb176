//! Reads what a Track refers to: prompts and schemas, ModelEndpoints. Never Secrets.

use super::{Context, Error};
use kube::{ResourceExt, api::ListParams};
use std::collections::BTreeMap;
use trackway_crds::{ModelEndpointSpec, Track};
use trackway_kubernetes::within;
use trackway_resolve::{Fault, Reason};

/// What was read, and the version of each thing read.
pub(crate) struct Sources {
    pub(crate) endpoints: BTreeMap<String, ModelEndpointSpec>,
    pub(crate) files: BTreeMap<String, String>,
    versions: Vec<Option<String>>,
}

/// Everything `track` refers to; the inner error is a fault of the Track.
pub(crate) async fn gather(context: &Context, track: &Track) -> Result<Result<Sources, Fault>, Error> {
    let name = &track.spec.prompts_from.config_map_ref.name;
    let Some(map) = within(&format!("read ConfigMap {name}"), context.config_maps.get_opt(name)).await? else {
        return Ok(Err(Fault {
            path: "spec.promptsFrom.configMapRef.name".into(),
            reason: Reason::PromptMissing,
            message: format!("there is no ConfigMap {name} in this namespace: create it with the prompts the stages name"),
            file: None,
            line: None,
        }));
    };
    let listed = within("list ModelEndpoints", context.endpoints.list(&ListParams::default())).await?;
    let mut versions = vec![map.resource_version()];
    let mut endpoints = BTreeMap::new();
    for endpoint in listed {
        if track.spec.models.iter().any(|model| model.endpoint == endpoint.name_any()) {
            versions.push(endpoint.resource_version());
            endpoints.insert(endpoint.name_any(), endpoint.spec);
        }
    }
    Ok(Ok(Sources { endpoints, files: map.data.unwrap_or_default(), versions }))
}

/// Whether everything is as it was when it was read: a revision must not mix an old prompt with a new schema.
pub(crate) async fn still_current(context: &Context, track: &Track, read: &Sources) -> Result<bool, Error> {
    let again = gather(context, track).await?;
    Ok(again.is_ok_and(|again| again.versions == read.versions))
}
