//! The vectorizer as a running process.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, value_parser};
use prometheus_client::registry::Registry;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trackway_crds::GoDuration;
use trackway_lake::partitions::{Component, FlushPolicy, Metrics as Ranges, write_owned};
use trackway_llm::{EmbeddingClient, EmbeddingModel, Endpoint};
use trackway_nats::{Kv, Nats, NatsConfig, with_retry};
use trackway_service::{Probes, serve, unless};
use trackway_sources::{Binding, IngestConfig};
use trackway_store::{Files, StoreError};

use crate::answers::Answers;
use crate::cache::Cache;
use crate::embedder::Embedder;
use crate::metrics::Metrics;
use crate::segment::tenant_prefix;
use crate::writer::VectorWriter;

/// Name among the members.
const COMPONENT: &str = "vectorizer";
/// Most events of one range: its vectors are made before any of them is stored.
const ROWS: usize = 2_000;
/// Most bytes of one range's events.
const RANGE_BYTES: u64 = 8 << 20;
/// Bytes of events that may wait in memory.
const MEMORY_BYTES: u64 = 16 << 20;
/// Ranges whose vectors are made at the same time: it is waiting for the model.
const FLUSHES_AT_ONCE: usize = 4;
const MIB: usize = 1 << 20;
/// Holds the API key of the embedding model's server.
const API_KEY_VARIABLE: &str = "TRACKWAY_EMBEDDINGS_API_KEY";

/// What the vectorizer is told.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Where the lake lies, the same as the lake writer's: s3://BUCKET/PREFIX?endpoint=…, file:///PATH, or nats://.
    #[arg(long, env = "TRACKWAY_LAKE_URL")]
    pub lake_url: String,
    /// The ingest's configuration file: whose events a namespace may be told.
    #[arg(long, env = "TRACKWAY_INGEST_CONFIG")]
    pub config: PathBuf,
    /// Address of the embedding model's server, up to and including the version, for example https://llm.example/v1.
    #[arg(long, env = "TRACKWAY_EMBEDDINGS_URL")]
    pub embeddings_url: String,
    /// The embedding model's name. Vectors that another model has made are not found any more.
    #[arg(long, env = "TRACKWAY_EMBEDDINGS_MODEL")]
    pub embeddings_model: String,
    /// Length of the vectors to ask for, where the model can shorten them. Default: the model's own.
    #[arg(long, env = "TRACKWAY_EMBEDDINGS_DIMENSIONS", value_parser = value_parser!(u32).range(1..=8192))]
    pub embeddings_dimensions: Option<u32>,
    /// PEM file with the authority that signed the server's certificate.
    #[arg(long, env = "TRACKWAY_EMBEDDINGS_CA_FILE")]
    pub embeddings_ca_file: Option<PathBuf>,
    /// Events get their vectors at the latest so long after they were read: 1s to 1h. Shorter makes more and smaller files.
    #[arg(long, env = "TRACKWAY_VECTORS_FLUSH_AGE", default_value = "60s", value_parser = flush_age)]
    pub flush_age: Duration,
    /// Bytes of vectors and events kept in memory, over all tenants.
    #[arg(long, env = "TRACKWAY_VECTORS_CACHE_BYTES", default_value_t = 256 * MIB)]
    pub cache_bytes: usize,
    /// Where probes and metrics are served.
    #[arg(long, env = "TRACKWAY_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
}

/// What a vectorizer needs.
#[derive(Debug)]
pub struct Settings {
    /// How NATS is reached.
    pub nats: NatsConfig,
    /// Where the lake lies, see [`Files::open`].
    pub lake_url: String,
    /// Which namespaces may be told of which tenants.
    pub bindings: Vec<Binding>,
    /// The embedding model.
    pub model: EmbeddingModel,
    /// How old an event becomes without a vector.
    pub flush_age: Duration,
    /// Bytes of vectors and events kept in memory.
    pub cache_bytes: usize,
    /// This process among its replicas; new with every start. Letters, digits, `-` and `_`.
    pub instance: String,
    /// Where probes and metrics are served.
    pub listener: TcpListener,
}

impl Settings {
    /// Settings of a process told `arguments`.
    ///
    /// # Errors
    /// When a file cannot be read, the configuration has faults, NATS' variables are missing or contradict each other, or the
    /// address cannot be listened on.
    pub async fn new(arguments: Arguments, instance: String) -> anyhow::Result<Self> {
        let file = arguments.config.display();
        let text = std::fs::read_to_string(&arguments.config).with_context(|| format!("cannot read the configuration {file}"))?;
        let bindings = IngestConfig::parse(&text).with_context(|| format!("configuration {file}"))?.namespaces;
        let ca_bundle_pem = arguments
            .embeddings_ca_file
            .as_ref()
            .map(|file| std::fs::read(file).with_context(|| format!("cannot read the certificates {}", file.display())));
        let endpoint = Endpoint {
            // Never a flag: whoever lists processes would read it.
            api_key: std::env::var(API_KEY_VARIABLE).ok().filter(|key| !key.is_empty()).map(SecretString::from),
            ca_bundle_pem: ca_bundle_pem.transpose()?,
            ..Endpoint::at(arguments.embeddings_url)
        };
        let dimensions = arguments.embeddings_dimensions.map(|dimensions| dimensions as usize);
        let listen = arguments.listen;
        Ok(Self {
            nats: NatsConfig::from_env(COMPONENT)?,
            lake_url: arguments.lake_url,
            bindings,
            model: EmbeddingModel { endpoint, model: arguments.embeddings_model, dimensions },
            flush_age: arguments.flush_age,
            cache_bytes: arguments.cache_bytes,
            instance,
            listener: TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?,
        })
    }
}

/// Runs until `stop` is cancelled. What was read and has no vectors yet is read again by whoever has the partition next.
///
/// # Errors
/// What a person must mend: NATS or the store refuse what they are asked, the model's address is none, the listener breaks.
pub async fn run(settings: Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let Settings { nats, lake_url, bindings, model, flush_age, cache_bytes, instance, listener } = settings;
    let mut registry = Registry::with_prefix("trackway_vectors");
    let ranges = Ranges::register(&mut registry);
    let metrics = Metrics::register(&mut registry);
    let probes = Probes::new(registry, "the stream of events");
    let embedder = Arc::new(Embedder::new(EmbeddingClient::new(model).context("the embedding model")?));
    // Before anything is waited for: a process that waits for NATS is alive, and killing it mends nothing.
    let server = tokio::spawn(serve(listener, probes.clone(), stop.clone()));
    let work = async {
        let Some(nats) = unless(&stop, Nats::connect(&nats, None)).await else { return Ok(()) };
        let nats = nats.context("cannot use NATS")?;
        probes.connected(nats.clone());
        let Some(files) = unless(&stop, open_lake(&lake_url, &nats)).await else { return Ok(()) };
        let files = files.context("cannot use the lake")?;
        let cache = Arc::new(Cache::new(files.clone(), embedder.model(), cache_bytes, metrics.clone()));
        let writer = VectorWriter { files, embedder: Arc::clone(&embedder), skipped: metrics.skipped.clone() };
        let answers = Arc::new(Answers { bindings, embedder: Arc::clone(&embedder), cache, metrics: metrics.clone() });
        let component = Component {
            name: COMPONENT,
            instance,
            checkpoints: Kv::vectors(&nats),
            policy: FlushPolicy { rows: ROWS, bytes: RANGE_BYTES, age: flush_age },
            memory_bytes: MEMORY_BYTES,
            flushes_at_once: FLUSHES_AT_ONCE,
            metrics: ranges,
        };
        let writing = write_owned(&nats, component, Arc::new(writer), || probes.working(), &stop);
        let answering = async { answers.run(&nats, &stop).await.context("cannot answer questions") };
        tokio::try_join!(writing, answering).map(|_| ())
    };
    let worked = work.await;
    // Also when it ended by itself, so that the server ends with it.
    stop.cancel();
    server.await.context("the server of probes broke")?.context("cannot serve probes")?;
    worked
}

fn flush_age(text: &str) -> Result<Duration, String> {
    let millis = text.parse::<GoDuration>().map_err(|error| error.to_string())?.millis();
    let age = Duration::from_millis(millis);
    let allowed = Duration::from_secs(1)..=Duration::from_secs(3600);
    if allowed.contains(&age) { Ok(age) } else { Err(format!("{text} is not allowed: use 1s to 1h")) }
}

/// Asks once, so that wrong credentials are told at the start and not at the first flush.
async fn open_lake(url: &str, nats: &Nats) -> Result<Files, StoreError> {
    let files = Files::open_from_env(url, Some(nats))?;
    let nobodys = tenant_prefix("-");
    with_retry(None, "look into the lake", || files.list(&nobodys)).await?;
    Ok(files)
}
