//! What all requests share.

use crate::{body::Memory, keys::Keys, limits::Limits, metrics::Metrics, store::Store};
use std::sync::Arc;
use tokio::sync::Semaphore;
use trackway_sources::IngestConfig;

/// Memory for bodies and what is made of them, in bytes, for all requests together.
const MEMORY: usize = 128 * 1024 * 1024;
/// Requests in hand at the same time; others are asked to come again.
const REQUESTS: usize = 1_024;

/// What all requests share.
#[derive(Debug)]
pub struct App<S> {
    /// The sources.
    pub config: Arc<IngestConfig>,
    /// Their credentials.
    pub keys: Keys,
    /// How fast they may send.
    pub limits: Limits,
    /// Where things are kept.
    pub store: S,
    /// What is counted.
    pub metrics: Metrics,
    /// What bodies may take together.
    pub memory: Memory,
    /// A permit for each request in hand.
    pub requests: Semaphore,
}

impl<S: Store> App<S> {
    /// A gateway for the sources of `config`.
    #[must_use]
    pub fn new(config: Arc<IngestConfig>, keys: Keys, store: S, metrics: Metrics) -> Self {
        let (memory, requests) = (Memory::new(MEMORY), Semaphore::new(REQUESTS));
        Self { limits: Limits::new(&config), config, keys, store, metrics, memory, requests }
    }
}
