//! One connection of one component.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{Context, ContextBuilder};
use async_nats::{ConnectErrorKind, ConnectOptions};
use secrecy::ExposeSecret;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout};

use crate::link::{Denial, Link};
use crate::{Credentials, NatsConfig, NatsError, with_retry};

/// How long one request waits for its answer before it counts as lost.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A connection to NATS that mends itself: it reconnects for as long as it is held. Clones share it.
#[derive(Clone)]
pub struct Nats(Arc<Connection>);

struct Connection {
    jetstream: Context,
    link: Arc<Link>,
    who: String,
    url: String,
}

impl std::fmt::Debug for Nats {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Nats").field("url", &self.0.url).field("who", &self.0.who).finish_non_exhaustive()
    }
}

impl Nats {
    /// Connects, trying again until `deadline` (`None`: for ever, for long-lived components). Once connected it reconnects for
    /// ever; operations meanwhile fail as transient after 5 s each.
    ///
    /// # Errors
    /// [`NatsError::Permanent`] for refused credentials, unreadable files or a wrong URL, at once;
    /// [`NatsError::Transient`] when the deadline has come.
    pub async fn connect(config: &NatsConfig, deadline: Option<Instant>) -> Result<Self, NatsError> {
        with_retry(deadline, "connect to NATS", || connect_once(config)).await
    }

    /// The URL of the configuration, for messages and to compare with others.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Whether the connection stands at this moment, for health checks.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.link.state().borrow().up
    }

    pub(crate) fn jetstream(&self) -> &Context {
        &self.0.jetstream
    }

    /// Which connection this is; it changes with every reconnect.
    pub(crate) fn generation(&self) -> u64 {
        self.0.link.state().borrow().generation
    }

    /// Waits until the connection is another than `generation`.
    pub(crate) async fn reconnected_since(&self, generation: u64) {
        let mut state = self.0.link.state();
        if state.wait_for(|state| state.up && state.generation != generation).await.is_err() {
            // The sender lives in `self`, so this end is never reached while we are called.
            std::future::pending::<()>().await;
        }
    }

    /// Runs one request. `subjects` are what it publishes to, whole or their first tokens: a denial of one of
    /// them ends the wait at once.
    /// Nothing is sent while there is no connection, so that no stale request is flushed later.
    pub(crate) async fn request<T, F>(&self, action: &str, subjects: &[&str], request: F) -> Result<T, NatsError>
    where
        F: Future<Output = Result<T, NatsError>>,
    {
        let mut denials = self.0.link.denials();
        self.wait_until_up(action).await?;
        let denied = async {
            loop {
                match denials.recv().await {
                    Ok(denial) if subjects.iter().any(|subject| denial.concerns(subject)) => return denial,
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            outcome = request => outcome.map_err(|error| self.explain(action, error)),
            denial = denied => Err(self.denied(action, &denial)),
        }
    }

    async fn wait_until_up(&self, action: &str) -> Result<(), NatsError> {
        let mut state = self.0.link.state();
        match timeout(ANSWER_LIMIT, state.wait_for(|state| state.up)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(self.explain(action, NatsError::transient(action, format!("not connected to {} now", self.0.url)))),
        }
    }

    fn denied(&self, action: &str, denial: &Denial) -> NatsError {
        let reason =
            format!("{} may not {} {:?}: allow it in the NATS server's permissions", self.0.who, denial.verb, denial.subject);
        NatsError::permanent(action, reason)
    }

    /// A request that got no answer may have a cause the connection knows.
    fn explain(&self, action: &str, error: NatsError) -> NatsError {
        let NatsError::Transient { reason, .. } = &error else { return error };
        let state = self.0.link.state().borrow().clone();
        if let Some(subject) = state.inbox_denied {
            return self.denied(action, &Denial { verb: "subscribe to its replies at", subject });
        }
        if state.refused && !state.up {
            return NatsError::permanent(action, refused(&self.0.who, &self.0.url));
        }
        match state.problem {
            Some(problem) => NatsError::transient(action, format!("{reason}; the connection reports: {problem}")),
            None => error,
        }
    }
}

fn refused(who: &str, url: &str) -> String {
    format!("{url} refuses {who}: compare the component's NATS credentials with the server's users")
}

async fn connect_once(config: &NatsConfig) -> Result<Nats, NatsError> {
    let action = "connect to NATS";
    let servers = config.servers()?;
    let who = config.credentials.who();
    let link = Arc::new(Link::new(&config.inbox_prefix));
    let heard = Arc::clone(&link);
    let options = options(config).await?.event_callback(move |event| {
        heard.hear(event);
        std::future::ready(())
    });
    let client = options.connect(servers).await.map_err(|error| match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            NatsError::permanent(action, refused(&who, &config.url))
        }
        ConnectErrorKind::ServerParse => NatsError::permanent(action, format!("{}: {error}", config.url)),
        _ => NatsError::transient(action, format!("{}: {error}", config.url)),
    })?;
    let jetstream = ContextBuilder::new().timeout(ANSWER_LIMIT).ack_timeout(ANSWER_LIMIT).build(client);
    Ok(Nats(Arc::new(Connection { jetstream, link, who, url: config.url.clone() })))
}

async fn options(config: &NatsConfig) -> Result<ConnectOptions, NatsError> {
    let options = ConnectOptions::new()
        .name(&config.name)
        .custom_inbox_prefix(&config.inbox_prefix)
        .request_timeout(Some(ANSWER_LIMIT))
        .ping_interval(Duration::from_secs(15));
    let options = match &config.ca_file {
        Some(path) => options.add_root_certificates(path.clone()),
        None => options,
    };
    Ok(match &config.credentials {
        Credentials::None => options,
        Credentials::UserPassword { user, password } => {
            options.user_and_password(user.clone(), password.expose_secret().to_owned())
        }
        Credentials::Token(token) => options.token(token.expose_secret().to_owned()),
        Credentials::File(path) => options
            .credentials_file(path)
            .await
            .map_err(|error| NatsError::permanent("connect to NATS", format!("credentials file {}: {error}", path.display())))?,
    })
}
