//! Publishes a revision: an immutable ConfigMap named by its content. It has no owner: runs need it after the Track is gone.

use super::Error;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt};
use serde_json::json;
use std::collections::BTreeMap;
use trackway_crds::{Track, labels};
use trackway_kubernetes::{ApiError, create, within};

/// Makes sure the revision `name` exists with exactly `data`.
pub(crate) async fn publish(
    api: &Api<ConfigMap>,
    track: &Track,
    name: &str,
    data: BTreeMap<String, String>,
) -> Result<(), Error> {
    if let Some(found) = within(&format!("read revision {name}"), api.get_opt(name)).await? {
        return same(name, &found, &data);
    }
    let built = serde_json::from_value(json!({
        "metadata": {
            "name": name,
            "namespace": track.namespace(),
            "labels": {labels::MANAGED_BY: labels::MANAGER, labels::TRACK: track.name_any()},
        },
        "immutable": true,
        "data": data,
    }));
    let action = format!("create revision {name}");
    let map: ConfigMap =
        built.map_err(|error| ApiError::Permanent { action: action.clone(), reason: error.to_string(), code: None })?;
    create(api, &map).await?;
    let found = within(&format!("read revision {name}"), api.get(name)).await?;
    same(name, &found, &data)
}

fn same(name: &str, found: &ConfigMap, data: &BTreeMap<String, String>) -> Result<(), Error> {
    if found.data.as_ref() == Some(data) && found.immutable == Some(true) {
        return Ok(());
    }
    let reason = "a ConfigMap of that name exists with other content; delete it".to_owned();
    Err(Error::Api(ApiError::Permanent { action: format!("publish revision {name}"), reason, code: None }))
}
