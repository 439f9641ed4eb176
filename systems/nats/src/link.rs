//! What the client's events tell about the connection.

use async_nats::{ClientError, Event, ServerError};
use tokio::sync::{broadcast, watch};

/// The connection as last heard of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LinkState {
    /// How many times a connection was made; grows with every reconnect.
    pub(crate) generation: u64,
    pub(crate) up: bool,
    /// The last complaint since the connection was made or lost.
    pub(crate) problem: Option<String>,
    /// The server refused our credentials.
    pub(crate) refused: bool,
    /// The server refused the subscription replies arrive on.
    pub(crate) inbox_denied: Option<String>,
}

/// A subject the server did not let us use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) verb: &'static str,
    pub(crate) subject: String,
}

impl Denial {
    /// Reads the server's `Permissions Violation for Publish to "SUBJECT"`.
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("Permissions Violation for ").or_else(|| text.strip_prefix("permissions violation for "))?;
        let verb = if rest.get(..7)?.eq_ignore_ascii_case("publish") { "publish to" } else { "subscribe to" };
        let subject = rest.split('"').nth(1)?.to_owned();
        Some(Self { verb, subject })
    }

    /// True for `subject` itself and everything under it.
    pub(crate) fn concerns(&self, subject: &str) -> bool {
        self.subject.strip_prefix(subject).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }
}

/// Receives the client's events; everybody who waits for NATS looks here.
#[derive(Debug)]
pub(crate) struct Link {
    state: watch::Sender<LinkState>,
    denials: broadcast::Sender<Denial>,
    inbox_prefix: String,
}

impl Link {
    pub(crate) fn new(inbox_prefix: &str) -> Self {
        let denials = broadcast::Sender::new(64);
        Self { state: watch::Sender::default(), denials, inbox_prefix: format!("{inbox_prefix}.") }
    }

    pub(crate) fn state(&self) -> watch::Receiver<LinkState> {
        self.state.subscribe()
    }

    pub(crate) fn denials(&self) -> broadcast::Receiver<Denial> {
        self.denials.subscribe()
    }

    /// Takes one event of the client.
    pub(crate) fn hear(&self, event: Event) {
        match event {
            Event::Connected => self.state.send_modify(|state| {
                *state = LinkState { generation: state.generation + 1, up: true, ..LinkState::default() };
            }),
            Event::Disconnected | Event::Closed => self.state.send_modify(|state| state.up = false),
            Event::ServerError(ServerError::Other(text)) if Denial::parse(&text).is_some() => self.deny(&text),
            Event::ServerError(error) => {
                let refused = error == ServerError::AuthorizationViolation;
                self.complain(error.to_string(), refused);
            }
            Event::ClientError(ClientError::Other(text)) => {
                let refused = text.contains("authorization violation");
                self.complain(text, refused);
            }
            Event::ClientError(error) => self.complain(error.to_string(), false),
            Event::SlowConsumer(_) | Event::LameDuckMode | Event::Draining => tracing::warn!(%event, "NATS connection"),
        }
    }

    fn complain(&self, text: String, refused: bool) {
        tracing::warn!(problem = text, "NATS connection");
        self.state.send_modify(|state| {
            state.refused |= refused;
            state.problem = Some(text);
        });
    }

    fn deny(&self, text: &str) {
        let Some(denial) = Denial::parse(text) else { return };
        tracing::error!(subject = denial.subject, "NATS permission denied: cannot {}", denial.verb);
        if denial.verb == "subscribe to" && denial.subject.starts_with(&self.inbox_prefix) {
            self.state.send_modify(|state| state.inbox_denied = Some(denial.subject.clone()));
        }
        // No receiver means nobody waits for an answer on this subject.
        self.denials.send(denial).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_subject_is_read_from_the_servers_words() {
        let parsed = Denial::parse("Permissions Violation for Publish to \"RESULTS.b.1\"").unwrap();
        assert_eq!(parsed, Denial { verb: "publish to", subject: "RESULTS.b.1".to_owned() });
        assert!(parsed.concerns("RESULTS.b.1") && parsed.concerns("RESULTS.b") && !parsed.concerns("RESULTS.b.11"));
        assert!(!Denial { subject: "RESULTS.b.11".to_owned(), ..parsed }.concerns("RESULTS.b.1"));
        let parsed = Denial::parse("Permissions Violation for Subscription to \"_INBOX.x.*\" using queue \"q\"").unwrap();
        assert_eq!(parsed, Denial { verb: "subscribe to", subject: "_INBOX.x.*".to_owned() });
        assert_eq!(Denial::parse("Stale Connection"), None);
    }

    #[test]
    fn a_new_connection_forgets_old_complaints_and_counts_on() {
        let link = Link::new("_INBOX_a");
        link.hear(Event::Connected);
        link.hear(Event::ClientError(ClientError::Other("authorization violation: nats: authorization violation".to_owned())));
        link.hear(Event::ServerError(ServerError::Other(
            "Permissions Violation for Subscription to \"_INBOX_a.x.*\"".to_owned(),
        )));
        assert!(link.state().borrow().refused && link.state().borrow().inbox_denied.is_some());
        link.hear(Event::Connected);
        assert_eq!(*link.state().borrow(), LinkState { generation: 2, up: true, ..LinkState::default() });
    }
}
