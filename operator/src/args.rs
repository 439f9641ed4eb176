//! Settings, from flags or environment.

use clap::Parser;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::time::Duration;
use trackway_crds::duration::GoDuration;
use trackway_nats::{Credentials, NatsConfig, StreamSettings};

/// Takes BatchRuns through their Tracks.
#[derive(Parser, Clone, Debug)]
#[command(
    version,
    about,
    after_help = "Example:\n  trackway-operator --namespaces growth --nats-url nats://127.0.0.1:4222 \\\n    --store-url nats:// --worker-image trackway-worker:0.1.0"
)]
pub struct Args {
    /// Namespaces to work in, separated by commas.
    #[arg(long, env = "TRACKWAY_NAMESPACES", value_delimiter = ',', required = true)]
    pub namespaces: Vec<String>,
    /// NATS server that holds results.
    #[arg(long, env = "TRACKWAY_NATS_URL")]
    pub nats_url: String,
    /// NATS server as worker pods reach it; default: the same.
    #[arg(long, env = "TRACKWAY_WORKER_NATS_URL")]
    pub worker_nats_url: Option<String>,
    /// NATS user.
    #[arg(long, env = "TRACKWAY_NATS_USER")]
    pub nats_user: Option<String>,
    /// NATS password.
    #[arg(long, env = "TRACKWAY_NATS_PASSWORD", hide_env_values = true)]
    pub nats_password: Option<SecretString>,
    /// Where NATS replies arrive; private to the operator.
    #[arg(long, env = "TRACKWAY_NATS_INBOX_PREFIX", default_value = "_INBOX_operator")]
    pub nats_inbox_prefix: String,
    /// Copies of each stream: 1, or 3 in a cluster of as many NATS servers.
    #[arg(long, env = "TRACKWAY_NATS_REPLICAS", default_value_t = 1)]
    pub nats_replicas: usize,
    /// How long an event is kept, and so how long a repeat of it is recognised.
    #[arg(long, env = "TRACKWAY_EVENTS_MAX_AGE", default_value = "216h")]
    pub events_max_age: GoDuration,
    /// Size of the stream of events in bytes, beyond which new events are refused; default: no limit of its own.
    #[arg(long, env = "TRACKWAY_EVENTS_MAX_BYTES")]
    pub events_max_bytes: Option<u64>,
    /// Payload store, handed on to workers; the operator itself never opens it.
    #[arg(long, env = "TRACKWAY_STORE_URL")]
    pub store_url: String,
    /// Image of the worker.
    #[arg(long, env = "TRACKWAY_WORKER_IMAGE")]
    pub worker_image: String,
    /// Pull policy of the worker's image.
    #[arg(long, env = "TRACKWAY_WORKER_IMAGE_PULL_POLICY", default_value = "IfNotPresent")]
    pub worker_image_pull_policy: String,
    /// Service account of worker pods; it needs no rights, and its token is not mounted.
    #[arg(long, env = "TRACKWAY_WORKER_SERVICE_ACCOUNT", default_value = "trackway-worker")]
    pub worker_service_account: String,
    /// Secret in each namespace with the workers' credentials: `nats-user`, `nats-password`, `nats-inbox-prefix`, and for an S3 store
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`.
    #[arg(long, env = "TRACKWAY_WORKER_SECRET", default_value = "trackway-worker")]
    pub worker_secret: String,
    /// Name of the lease that makes one operator the leader.
    #[arg(long, env = "TRACKWAY_LEASE_NAME", default_value = "trackway-operator")]
    pub lease_name: String,
    /// Namespace of the lease.
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    pub lease_namespace: String,
    /// How long a lease holds without being renewed, in seconds.
    #[arg(long, env = "TRACKWAY_LEASE_SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(2..=120))]
    pub lease_seconds: u64,
    /// Who this operator is among its replicas.
    #[arg(long, env = "POD_NAME", default_value = "trackway-operator")]
    pub identity: String,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "TRACKWAY_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Runs worked on at the same time.
    #[arg(long, env = "TRACKWAY_CONCURRENCY", default_value_t = 16)]
    pub concurrency: u16,
}

impl Args {
    /// What the streams are made with.
    #[must_use]
    pub fn streams(&self) -> StreamSettings {
        StreamSettings {
            replicas: self.nats_replicas,
            events_max_age: Duration::from_millis(self.events_max_age.millis()),
            events_max_bytes: self.events_max_bytes,
        }
    }

    /// How to reach NATS.
    ///
    /// # Errors
    /// A user without password, or the other way round.
    pub fn nats(&self) -> anyhow::Result<NatsConfig> {
        let credentials = match (&self.nats_user, &self.nats_password) {
            (None, None) => Credentials::None,
            (Some(user), Some(password)) => Credentials::UserPassword { user: user.clone(), password: password.clone() },
            _ => anyhow::bail!("TRACKWAY_NATS_USER and TRACKWAY_NATS_PASSWORD belong together: set both or neither"),
        };
        Ok(NatsConfig {
            url: self.nats_url.clone(),
            credentials,
            inbox_prefix: self.nats_inbox_prefix.clone(),
            ca_file: None,
            name: "operator".into(),
        })
    }
}
