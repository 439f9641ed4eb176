//! Making a client.

use http::{HeaderValue, header::USER_AGENT};
use kube::{
    Client, Config,
    client::ClientBuilder,
    config::{KubeConfigOptions, KubeconfigError},
};
use std::time::Duration;

/// A watch is silent for at most a minute (bookmarks) and renewed within five: a connection silent for longer is dead.
const SILENCE_LIMIT: Duration = Duration::from_secs(295);
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The kubeconfig has no such context, or cannot be read.
    #[error("kubeconfig context {context:?} cannot be used: name one that `kubectl config get-contexts` shows")]
    Context {
        /// The context asked for.
        context: String,
        /// What is wrong with it.
        source: Box<KubeconfigError>,
    },
    /// Neither a kubeconfig nor a service account.
    #[error("no cluster to talk to: set KUBECONFIG to a kubeconfig file, or run in a pod with a service account")]
    NoCluster(#[source] Box<kube::config::InferConfigError>),
    /// The name cannot be a header.
    #[error("{0:?} cannot be a user agent: use printable ASCII only")]
    UserAgent(String),
    /// The settings found do not make a client.
    #[error("the cluster's settings cannot be used")]
    Settings(#[source] Box<kube::Error>),
    /// The fault that was asked for is none.
    #[cfg(feature = "faults")]
    #[error("{variable}={value:?} is not understood: {allowed}")]
    Fault {
        /// The environment variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
}

/// A client of `context` of the kubeconfig; without one, of the kubeconfig's current context, or of the cluster this pod runs
/// in. `user_agent`, for example `trackway-operator/0.1.0`, is what the cluster's audit log shows. The client never retries by
/// itself. The process must have installed a rustls provider before.
///
/// # Errors
/// [`ClientError`], which says what to set.
pub async fn client(context: Option<&str>, user_agent: &str) -> Result<Client, ClientError> {
    let mut config = match context {
        Some(context) => named(context).await?,
        None => Config::infer().await.map_err(|error| ClientError::NoCluster(Box::new(error)))?,
    };
    let agent = HeaderValue::from_str(user_agent).map_err(|_| ClientError::UserAgent(user_agent.to_owned()))?;
    config.headers.push((USER_AGENT, agent));
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_LIMIT);
    config.read_timeout = Some(SILENCE_LIMIT);
    // Else the time a pooled connection lay idle would count as silence.
    config.reset_reader_on_write = true;
    let builder = ClientBuilder::try_from(config).map_err(|error| ClientError::Settings(Box::new(error)))?;
    #[cfg(feature = "faults")]
    if let Some(layer) = crate::faults::ExitAtWrite::from_env()? {
        return Ok(builder.with_layer(&layer).build());
    }
    Ok(builder.build())
}

async fn named(context: &str) -> Result<Config, ClientError> {
    let options = KubeConfigOptions { context: Some(context.to_owned()), ..KubeConfigOptions::default() };
    Config::from_kubeconfig(&options)
        .await
        .map_err(|source| ClientError::Context { context: context.to_owned(), source: Box::new(source) })
}
