//! Stories with a real NATS server: what Trackway relies on, and what happens when it goes away.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test's helpers fail the test the same way it does")]

mod batches;
mod buckets;
mod dlq;
mod events;
mod keys;
mod members;
mod permissions;
mod results;
mod retrieve;
mod streams;

use std::time::Duration;

use trackway_nats::{Credentials, Nats, NatsConfig, StreamSettings, ensure_streams};
use trackway_test_support::NatsServer;

/// Longer than any wait of these tests should be.
const LIMIT: Duration = Duration::from_secs(30);

fn config(server: &NatsServer) -> NatsConfig {
    NatsConfig {
        url: server.url(),
        credentials: Credentials::None,
        inbox_prefix: "_INBOX_test".to_owned(),
        ca_file: None,
        name: "test".to_owned(),
    }
}

fn config_of(server: &NatsServer, user: &str) -> NatsConfig {
    let credentials = Credentials::UserPassword { user: user.to_owned(), password: "secret".to_owned().into() };
    NatsConfig { credentials, inbox_prefix: format!("_INBOX_{user}"), ..config(server) }
}

/// A server with all streams, and a connection to it.
async fn ready() -> (NatsServer, Nats) {
    let server = NatsServer::start().await.unwrap();
    let nats = Nats::connect(&config(&server), None).await.unwrap();
    ensure_streams(&nats, StreamSettings::default()).await.unwrap();
    (server, nats)
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.expect("it takes too long")
}
