//! How the payload store and NATS are reached from where a person sits: by flags and environment, else by what the chart left in
//! the namespace (ConfigMap and Secret `trackway-client`), and through a port-forward where NATS is only inside the cluster.

mod forward;

use crate::{args::ReachArgs, cluster::Cluster, screen::Screen};
use anyhow::{Context, anyhow};
use forward::Forward;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, timeout};
use trackway_kubernetes::within;
use trackway_nats::{Credentials, Nats, NatsConfig};
use trackway_store::PayloadStore;

/// Name of the ConfigMap and the Secret the chart makes in every bound namespace.
const CLIENT: &str = "trackway-client";
/// How long a person waits for NATS.
const CONNECT_LIMIT: Duration = Duration::from_secs(15);
/// How long a person waits for what only rounds off an answer.
const SOON: Duration = Duration::from_secs(5);

/// An open store, and what it needs to stay open.
pub(crate) struct Reach {
    pub(crate) store: PayloadStore,
    pub(crate) nats: Option<Nats>,
    _forward: Option<Forward>,
}

impl Reach {
    /// Opens the payload store; NATS only if the store is there.
    pub(crate) async fn store(cluster: &Cluster, args: &ReachArgs, screen: &mut Screen) -> anyhow::Result<Self> {
        Self::open(cluster, args, false, CONNECT_LIMIT, |note| screen.note(note)).await
    }

    /// Opens the payload store for what only rounds off an answer: without a word.
    pub(crate) async fn store_soon(cluster: &Cluster, args: &ReachArgs) -> anyhow::Result<Self> {
        Self::open(cluster, args, false, SOON, |_| ()).await
    }

    /// Opens the payload store and NATS.
    pub(crate) async fn store_and_nats(cluster: &Cluster, args: &ReachArgs, screen: &mut Screen) -> anyhow::Result<(Self, Nats)> {
        let reach = Self::open(cluster, args, true, CONNECT_LIMIT, |note| screen.note(note)).await?;
        let nats = reach.nats.clone().ok_or_else(|| anyhow!("no NATS connection was made"))?;
        Ok((reach, nats))
    }

    async fn open(
        cluster: &Cluster,
        args: &ReachArgs,
        nats_wanted: bool,
        limit: Duration,
        note: impl FnMut(&str),
    ) -> anyhow::Result<Self> {
        let settings = Settings::read(cluster, args).await?;
        let in_nats = settings.store_url.starts_with("nats://") || settings.store_url.starts_with("tls://");
        let (nats, forward) = if nats_wanted || in_nats { settings.connect(cluster, limit, note).await? } else { (None, None) };
        // The connection says where; behind a port-forward the URL's own host means nothing here.
        let url = if in_nats { "nats://" } else { settings.store_url.as_str() };
        let variables = std::env::vars().chain(settings.s3.clone());
        let store = PayloadStore::open_with(url, nats.as_ref(), variables)?;
        Ok(Self { store, nats, _forward: forward })
    }
}

/// What only rounds off an answer, unless it takes too long.
pub(crate) async fn soon<T>(asked: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let limit = 2 * SOON;
    timeout(limit, asked).await.map_err(|_| anyhow!("the payload store does not answer within {limit:?}"))?
}

struct Settings {
    store_url: String,
    nats_url: Option<String>,
    /// Service and its namespace to forward to.
    service: Option<(String, String)>,
    credentials: Credentials,
    inbox_prefix: String,
    /// `AWS_…` variables of the Secret.
    s3: Vec<(String, String)>,
}

impl Settings {
    async fn read(cluster: &Cluster, args: &ReachArgs) -> anyhow::Result<Self> {
        // Whoever says everything by flags needs nothing of the cluster.
        let complete = args.store_url.as_ref().is_some_and(|url| !url.starts_with("nats://")) || args.nats_url.is_some();
        let (map, secret) = if complete && args.store_url.is_some() { Default::default() } else { chart_leaves(cluster).await? };
        let store_url = args.store_url.clone().or_else(|| map.get("storeURL").cloned());
        let store_url = store_url.ok_or_else(|| {
            anyhow!(
                "no ConfigMap {CLIENT} with a storeURL in namespace {}: is Trackway bound to it? Or give --store-url",
                cluster.namespace
            )
        })?;
        let user = args.nats_user.clone().or_else(|| secret.get("user").cloned());
        let password =
            args.nats_password.as_ref().map(|password| password.expose().to_owned()).or_else(|| secret.get("password").cloned());
        let credentials = match (user, password) {
            (Some(user), Some(password)) => Credentials::UserPassword { user, password: password.into() },
            _ => Credentials::None,
        };
        let service = map.get("natsService").cloned().zip(map.get("natsNamespace").cloned());
        Ok(Self {
            store_url,
            nats_url: args.nats_url.clone().or_else(|| map.get("natsURL").cloned()),
            service: service.filter(|_| args.nats_url.is_none()),
            credentials,
            inbox_prefix: secret.get("inboxPrefix").cloned().unwrap_or_else(|| "_INBOX_client".to_owned()),
            s3: secret.into_iter().filter(|(name, _)| name.starts_with("AWS_")).collect(),
        })
    }

    async fn connect(
        &self,
        cluster: &Cluster,
        limit: Duration,
        mut note: impl FnMut(&str),
    ) -> anyhow::Result<(Option<Nats>, Option<Forward>)> {
        let url = self.nats_url.clone().ok_or_else(|| anyhow!("no NATS server is known: give --nats-url nats://HOST:PORT"))?;
        let (url, forward) = match self.behind_service(&url) {
            Some((service, namespace, port)) => {
                note(&format!("reaching NATS by a port-forward to Service {namespace}/{service}"));
                let forward = Forward::to_service(&cluster.client, namespace, service, port).await?;
                (format!("nats://{}", forward.address()), Some(forward))
            }
            None => (url, None),
        };
        let config = NatsConfig {
            url,
            credentials: self.credentials.clone(),
            inbox_prefix: self.inbox_prefix.clone(),
            ca_file: None,
            name: "client".to_owned(),
        };
        let nats = Nats::connect(&config, Some(Instant::now() + limit)).await?;
        Ok((Some(nats), forward))
    }

    /// The Service to forward to, when the URL is one that only pods can use.
    fn behind_service<'a>(&'a self, url: &str) -> Option<(&'a str, &'a str, u16)> {
        let (service, namespace) = self.service.as_ref()?;
        let port = port_of(url, service)?;
        (!in_a_pod()).then_some((service, namespace, port))
    }
}

/// The port of `service` in a URL that names it; `None` for a URL that leads elsewhere.
fn port_of(url: &str, service: &str) -> Option<u16> {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).split(',').next()?;
    let (host, port) = host.trim_end_matches('/').rsplit_once(':').unwrap_or((host.trim_end_matches('/'), "4222"));
    let named = host == service || host.starts_with(&format!("{service}."));
    if named { port.parse().ok() } else { None }
}

fn in_a_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

type Texts = BTreeMap<String, String>;

/// ConfigMap and Secret of the namespace; empty where there is none.
async fn chart_leaves(cluster: &Cluster) -> anyhow::Result<(Texts, Texts)> {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let map = within(&format!("get ConfigMap {}/{CLIENT}", cluster.namespace), maps.get_opt(CLIENT)).await?;
    let secrets: Api<Secret> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
    let secret = within(&format!("get Secret {}/{CLIENT}", cluster.namespace), secrets.get_opt(CLIENT)).await?;
    let text = |(name, value): (String, k8s_openapi::ByteString)| {
        let value = String::from_utf8(value.0).ok().with_context(|| format!("Secret {CLIENT}: {name} is not text"))?;
        anyhow::Ok((name, value))
    };
    let secret =
        secret.and_then(|secret| secret.data).unwrap_or_default().into_iter().map(text).collect::<anyhow::Result<_>>()?;
    Ok((map.and_then(|map| map.data).unwrap_or_default(), secret))
}

#[cfg(test)]
mod tests {
    use super::port_of;

    #[test]
    fn only_the_services_own_url_is_forwarded() {
        for (url, port) in [
            ("nats://trackway-nats.trackway.svc:4222", Some(4222)),
            ("nats://trackway-nats", Some(4222)),
            ("tls://trackway-nats.trackway:4443/", Some(4443)),
            ("nats://nats.example.org:4222", None),
            ("nats://trackway-nats-2.trackway.svc:4222", None),
        ] {
            assert_eq!(port_of(url, "trackway-nats"), port, "{url}");
        }
    }
}
