//! `source try`: what a request to a source would become, without sending it.

mod look;
mod text;

use crate::{
    args::{Global, SourceArgs, SourceTryArgs, SourceVerb},
    cluster::Cluster,
    exit::Outcome,
    screen::{Format, Screen},
};
use anyhow::{Context, anyhow, bail};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::ListParams};
use look::{Request, look};
use trackway_kubernetes::within;
use trackway_sources::IngestConfig;

/// What the chart labels the configuration with, and its key.
const SELECTOR: &str = "app.kubernetes.io/component=ingest";
const KEY: &str = "ingest.yaml";

pub(crate) async fn run(global: &Global, args: &SourceArgs, screen: &mut Screen) -> anyhow::Result<Outcome> {
    let SourceVerb::Try(args) = &args.verb;
    let (text, place) = configuration(global, args).await?;
    let config = IngestConfig::parse(&text).with_context(|| place)?;
    let body = std::fs::read(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let headers: Vec<(&str, &str)> = args.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let source = config.source(&args.id).ok_or_else(|| no_such_source(&config, &args.id))?;
    let tenant = match &args.tenant {
        Some(tenant) if source.credentials.iter().any(|credential| credential.tenant == *tenant) => tenant,
        Some(tenant) => bail!("source {} has no credential of tenant {tenant}: {}", source.id, tenants(source)),
        None => source.credentials.first().map(|credential| &credential.tenant).context("the source has no credential")?,
    };
    let request = Request { source, tenant, headers: &headers, body: &body, now: Timestamp::now() };
    let seen = match look(&config, &request) {
        Ok(seen) => seen,
        Err(error) => {
            screen.note(&format!("the gateway would refuse it: {error}"));
            if screen.format != Format::People {
                screen.data(screen.format, &serde_json::json!({"error": error.to_string()}))?;
            }
            return Ok(Outcome::Bad);
        }
    };
    if screen.format == Format::People {
        screen.say(&text::render(&seen))?;
        if args.tenant.is_none() && source.credentials.iter().any(|credential| credential.tenant != *tenant) {
            screen.note(&format!("the credential decides the tenant; {}: try another with --tenant", tenants(source)));
        }
    } else {
        screen.data(screen.format, &seen)?;
    }
    Ok(Outcome::Good)
}

/// The configuration's text and where it is from.
async fn configuration(global: &Global, args: &SourceTryArgs) -> anyhow::Result<(String, String)> {
    if let Some(path) = &args.config {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        return Ok((text, path.display().to_string()));
    }
    let cluster = Cluster::connect(global).await?;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let action = format!("list ConfigMaps of {} with {SELECTOR}", cluster.namespace);
    let list = within(&action, maps.list(&ListParams::default().labels(SELECTOR))).await?;
    let text = |map: ConfigMap| Some((map.data?.remove(KEY)?, format!("ConfigMap {}", map.metadata.name?)));
    let mut found: Vec<(String, String)> = list.items.into_iter().filter_map(text).collect();
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => bail!(
            "namespace {} has no ConfigMap labelled {SELECTOR} with the key {KEY}: name the release's namespace (-n), or give --config FILE",
            cluster.namespace
        ),
        (Some(_), more) => bail!("namespace {} has {} configurations of ingest: give --config FILE", cluster.namespace, more + 1),
    }
}

fn no_such_source(config: &IngestConfig, id: &str) -> anyhow::Error {
    let ids: Vec<&str> = config.sources.iter().map(|source| source.id.as_str()).collect();
    let there_are = if ids.is_empty() { "it has none".to_owned() } else { format!("it has {}", ids.join(", ")) };
    anyhow!("the configuration has no source {id}: {there_are}")
}

fn tenants(source: &trackway_sources::Source) -> String {
    let tenants: std::collections::BTreeSet<&str> =
        source.credentials.iter().map(|credential| credential.tenant.as_str()).collect();
    format!("it has credentials of {}", tenants.into_iter().collect::<Vec<_>>().join(", "))
}
